"""The S3 side of a data repository association: its bucket and prefix, as this machine's S3 holds them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from moto.s3.models import FakeKey, s3_backends

from pcinfra.localcloud.cfn.clients import clients
from pcinfra.localcloud.gate import turn

NOT_IN_TABLE = "N/A"
"""What FSx's table of event logs shows where a failure has no error code of its own."""

_CODES = {
    "AccessDenied": "S3AccessDenied",
    "403": "S3AccessDenied",
    "NoSuchKey": "S3FileDeleted",
    "404": "S3FileDeleted",
    "InvalidObjectState": "S3ObjectInUnsupportedTier",
    "KeyTooLongError": "PathSizeTooLong",
}
"""S3's error to FSx's (FSx for Lustre user guide, "Data repository event logs")."""


class Failed(Exception):
    """A file cannot be moved; the text is the error code of FSx's completion report."""


@dataclass(frozen=True, slots=True)
class Object:
    """An object with its body and what is kept with it."""

    body: bytes
    metadata: dict[str, str]
    modified: datetime


@dataclass(frozen=True, slots=True)
class Repository:
    """A prefix of a bucket; ``prefix`` is empty or ends with a slash. Paths are keys without it."""

    bucket: str
    prefix: str

    @property
    def exists(self) -> bool:
        return self.bucket in s3_backends.bucket_accounts

    def listing(self) -> dict[str, str]:
        """Return path -> mark of every object. A mark changes whenever the object is written."""
        with turn("fsx.list"):
            keys = self._keys()
            found = {name: key for name, key in keys.items() if name.startswith(self.prefix) and name != self.prefix}
            marks = {name.removeprefix(self.prefix): _mark(key) for name, key in found.items()}
        return {path: mark for path, mark in marks.items() if mark}

    def mark(self, path: str) -> str:
        """Return the object's mark; empty when there is none."""
        return _mark(self._keys().get(self.prefix + path)) if self.exists else ""

    def get(self, path: str) -> Object:
        """Read an object. Raises :class:`Failed`."""
        try:
            answer = self._s3().get_object(Bucket=self.bucket, Key=self.prefix + path)
            return Object(answer["Body"].read(), answer["Metadata"], answer["LastModified"])
        except ClientError as error:
            raise Failed(_code(error)) from error

    def put(self, path: str, body: bytes, **more: Any) -> None:
        """Write an object. Raises :class:`Failed`."""
        self.put_key(self.prefix + path, body, **more)

    def put_key(self, key: str, body: bytes, **more: Any) -> None:
        """Write an object anywhere in the bucket. Raises :class:`Failed`."""
        try:
            self._s3().put_object(Bucket=self.bucket, Key=key, Body=body, **more)
        except ClientError as error:
            raise Failed(_code(error)) from error

    def delete(self, path: str) -> None:
        """Delete an object, if there is one. Raises :class:`Failed`."""
        if not self.mark(path):
            return
        try:
            self._s3().delete_object(Bucket=self.bucket, Key=self.prefix + path)
        except ClientError as error:
            raise Failed(_code(error)) from error

    def _keys(self) -> Any:
        partition, account = s3_backends.bucket_accounts[self.bucket]
        return s3_backends[account][partition].buckets[self.bucket].keys

    def _s3(self) -> Any:
        if not self.exists:
            raise Failed(NOT_IN_TABLE)
        partition, account = s3_backends.bucket_accounts[self.bucket]
        bucket = s3_backends[account][partition].buckets[self.bucket]
        return clients(account, bucket.region_name)("s3")


def _mark(key: Any) -> str:
    """A deleted object of a bucket with versions is there still, as a delete marker."""
    return f"{key.etag} {key.version_id} {key.last_modified.timestamp()}" if isinstance(key, FakeKey) else ""


def _code(error: ClientError) -> str:
    return _CODES.get(error.response["Error"]["Code"], NOT_IN_TABLE)


def trouble(bucket: str, region: str, imports: bool) -> str:
    """Return why an association is MISCONFIGURED, empty when it is not.

    DataRepositoryAssociation: "until the configuration is corrected, automatic import and export will not work".

    Args:
        region: of the file system.
        imports: whether the association imports automatically.
    """
    owner = s3_backends.bucket_accounts.get(bucket)
    if owner is None:
        return f"The S3 bucket {bucket} does not exist."
    partition, account = owner
    its = s3_backends[account][partition].buckets[bucket].region_name
    return f"Automatic import needs the S3 bucket in {region}; it is in {its}." if imports and its != region else ""
