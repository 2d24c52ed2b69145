"""S3 where moto does not answer as AWS does: policies with conditions, default encryption, names of buckets.

moto already keeps the names of all accounts apart (BucketAlreadyExists) and answers 200 to the creation of one's own
bucket in us-east-1, BucketAlreadyOwnedByYou elsewhere (S3 API reference, CreateBucket).
"""

from __future__ import annotations

import re
from typing import Any

from moto.iam.access_control import PermissionResult
from moto.moto_server.utilities import RegexConverter
from moto.s3.exceptions import InvalidBucketName
from moto.s3.models import FakeBucket, S3Backend

from pcinfra.localcloud.services.patching import put
from pcinfra.localcloud.services.policy import Request, decide

_ACTIONS = {"s3:HeadObject": "s3:GetObject", "s3:PostObject": "s3:PutObject", "s3:PatchObject": "s3:PutObject"}
"""S3 names the permission after the operation; HEAD needs s3:GetObject (S3 API reference, HeadObject)."""

_RESULTS = {
    "allow": PermissionResult.PERMITTED,
    "deny": PermissionResult.DENIED,
    "none": PermissionResult.NEUTRAL,
}

DEFAULT_ENCRYPTION = {"Rule": {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}}
"""S3 user guide: since January 5, 2023 every bucket has SSE-S3 as its base level of encryption."""


def install() -> None:
    """Change moto's S3."""
    put(FakeBucket, get_permission=_permission)
    _encrypt_by_default()
    _check_names()
    _take_any_key()


def _permission(self: Any, action: str, resource: str) -> Any:
    """Evaluate the bucket's policy; moto takes every condition that it cannot evaluate for a deny.

    The transport counts as secure: the local cloud listens on loopback, where there is no TLS, and a policy that
    refuses plain HTTP (pcluster's own has one) would lock everybody out.
    """
    if self.policy is None:
        return PermissionResult.NEUTRAL
    context = {
        "aws:securetransport": "true",
        "s3:tlsversion": "1.3",
        "aws:principalaccount": self.account_id,
        "aws:principaltype": "Account",
        "s3:resourceaccount": self.account_id,
    }
    request = Request(_ACTIONS.get(action, action), resource, self.account_id, context)
    return _RESULTS[decide(self.policy.decode(), request)]


def _encrypt_by_default() -> None:
    init = FakeBucket.__init__

    def init_encrypted(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.encryption = self.encryption or DEFAULT_ENCRYPTION

    def delete(self: Any, bucket_name: str) -> None:
        """DeleteBucketEncryption "resets the default encryption for the bucket as SSE-S3"."""
        self.get_bucket(bucket_name).encryption = DEFAULT_ENCRYPTION

    put(FakeBucket, __init__=init_encrypted)
    put(S3Backend, delete_bucket_encryption=delete)


def _check_names() -> None:
    create = S3Backend.create_bucket

    def create_if_valid(self: Any, bucket_name: str, *args: Any, **kwargs: Any) -> Any:
        if not valid_name(bucket_name):
            raise InvalidBucketName()
        return create(self, bucket_name, *args, **kwargs)

    put(S3Backend, create_bucket=create_if_valid)


def _take_any_key() -> None:
    """A key may have line breaks in it; the patterns of moto's paths end at the first."""
    init = RegexConverter.__init__

    def init_for_all(self: Any, url_map: Any, *items: Any) -> None:
        init(self, url_map, *items)
        self.regex = f"(?s:{self.regex})"

    put(RegexConverter, __init__=init_for_all)


def valid_name(name: str) -> bool:
    """Return whether a general purpose bucket may have this name (S3 user guide, "Bucket naming rules")."""
    return (
        re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name) is not None
        and ".." not in name
        and re.fullmatch(r"\d{1,3}(\.\d{1,3}){3}", name) is None
        and not name.startswith(("xn--", "sthree-", "amzn-s3-demo-"))
        and not name.endswith(("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"))
    )
