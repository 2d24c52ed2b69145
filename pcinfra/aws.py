"""The only door to boto3: sessions, retries, error mapping and the count of calls.

Everything above speaks :class:`Cloud`; fakes for tests implement it. Nothing here knows what is called.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from pcinfra import errors

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError


@dataclass(frozen=True, slots=True)
class Target:
    """Where the calls go. Nothing else tells AWS from the local cloud.

    Args:
        region: AWS region, for example ``us-east-1``.
        endpoint: URL that answers every service; empty means AWS itself.
        profile: named profile of the AWS configuration; empty means the default chain.
        credentials: access key id and secret access key; empty means the default chain.
        registry: whether images can be pushed to its ECR. The local cloud answers ECR's API only, so that an
            image there is its manifest.
    """

    region: str
    endpoint: str = ""
    profile: str = ""
    credentials: tuple[str, str] | tuple[()] = ()
    registry: bool = True

    def environment(self) -> dict[str, str]:
        """Return the variables that send another AWS program to the same place."""
        env = {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        if self.profile:
            env["AWS_PROFILE"] = self.profile
        if self.endpoint:
            env["AWS_ENDPOINT_URL"] = self.endpoint
        if self.credentials:
            env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = self.credentials
        return env


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call goes on: ``attempts`` in all, and seconds to wait for a connection and for an answer.

    Between attempts boto3 waits a random part of 1, 2, 4 ... 20 seconds (botocore, retry mode "standard").
    """

    attempts: int = 8
    connect: float = 10
    read: float = 60


class Cloud(Protocol):
    """One account in one region."""

    @property
    def region(self) -> str: ...

    @property
    def account(self) -> str:
        """The 12 digits of the account in use."""
        ...

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """Make one API call and return its answer.

        Args:
            service: boto3's name, for example ``cloudformation``.
            operation: AWS's name of the operation, for example ``DescribeStacks``.

        Raises:
            CloudError: the subclass that says how to go on; ``code`` is AWS's error code.
        """
        ...

    def pages(self, service: str, operation: str, key: str, /, **parameters: Any) -> list[Any]:
        """Make a paginated call to its end and return the list under ``key``."""
        ...


class Aws:
    """The :class:`Cloud` behind a :class:`Target`. Safe to share between threads.

    ``calls`` counts every request that is sent, retries too, by ``service.Operation``.
    """

    def __init__(self, target: Target, patience: Patience | None = None) -> None:
        self.target = target
        self.patience = patience or Patience()
        self.calls: Counter[str] = Counter()
        self._clients: dict[str, BaseClient] = {}
        self._lock = threading.Lock()
        self._counting = threading.Lock()

    @property
    def region(self) -> str:
        return self.target.region

    def hurried(self, patience: Patience) -> Aws:
        """Return the same account behind the same session, with another patience and a count of its own."""
        other = Aws(self.target, patience)
        other._session, other._lock = self._session, self._lock
        return other

    @cached_property
    def account(self) -> str:
        return str(self.call("sts", "GetCallerIdentity")["Account"])

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        from botocore import xform_name

        with _mapped(f"{service}:{operation}"):
            answer: dict[str, Any] = getattr(self._client(service), xform_name(operation))(**parameters)
        if service == "s3":
            _check_region(answer, self.region, f"{service}:{operation}")
        return answer

    def pages(self, service: str, operation: str, key: str, /, **parameters: Any) -> list[Any]:
        from botocore import xform_name

        with _mapped(f"{service}:{operation}"):
            client, name = self._client(service), xform_name(operation)
            if client.can_paginate(name):
                pages = client.get_paginator(name).paginate(**parameters)
            else:
                pages = _by_token(getattr(client, name), parameters)
            return [item for page in pages for item in page.get(key, [])]

    def presigned(self, service: str, operation: str, seconds: int, /, **parameters: Any) -> str:
        """Return an address by which anybody can make one call, for so long; makes no call itself."""
        from botocore import xform_name

        with _mapped(f"{service}:{operation}"):
            made = self._client(service).generate_presigned_url(
                xform_name(operation), Params=parameters, ExpiresIn=seconds
            )
        return str(made)

    def signature(self, service: str, address: str) -> dict[str, str]:
        """Return the headers that sign a GET of ``address``; makes no call itself.

        Raises:
            CredentialsError: there is nothing to sign with.
        """
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        with _mapped(f"{service}:sign"):
            keys = self.target.credentials
            credentials = Credentials(*keys) if keys else self._session.get_credentials()
            request = AWSRequest("GET", address)
            SigV4Auth(credentials, service, self.target.region).add_auth(request)
        return dict(request.headers.items())

    def _client(self, service: str) -> BaseClient:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._new_client(service)
            return self._clients[service]

    @cached_property
    def _session(self) -> Any:
        import boto3

        return boto3.Session(region_name=self.target.region, profile_name=self.target.profile or None)

    def _new_client(self, service: str) -> BaseClient:
        from botocore.config import Config

        config = Config(
            retries={"mode": "standard", "total_max_attempts": self.patience.attempts},
            connect_timeout=self.patience.connect,
            read_timeout=self.patience.read,
            max_pool_connections=32,
        )
        keys: Mapping[str, str] = {}
        if self.target.credentials:
            key_id, secret = self.target.credentials
            keys = {"aws_access_key_id": key_id, "aws_secret_access_key": secret}
        client: BaseClient = self._session.client(
            service, endpoint_url=self.target.endpoint or None, config=config, **keys
        )
        client.meta.events.register("before-send", self._count)
        return client

    def _count(self, event_name: str, **_: object) -> None:
        with self._counting:
            self.calls[event_name.removeprefix("before-send.")] += 1


def _by_token(method: Callable[..., dict[str, Any]], parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the pages of an operation that boto3 has no paginator for, by ``NextToken``."""
    page = method(**parameters)
    yield page
    while page.get("NextToken"):
        page = method(**parameters, NextToken=page["NextToken"])
        yield page


@contextmanager
def _mapped(where: str) -> Iterator[None]:
    """Turn boto3's exceptions into those of our tree."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _refusal(error, where) from error
    except BotoCoreError as error:
        raise _no_answer(error, where) from error
    except ResponseParserError as error:
        why = (
            "the answer cannot be read: the connection broke off, or a log-in page of the network has answered for AWS"
        )
        raise errors.Unreachable(why, where=where, hint=_NETWORK, code="ResponseParserError") from error


def _check_region(answer: Mapping[str, Any], region: str, where: str) -> None:
    """Refuse an answer about a bucket of another region: boto3 follows S3's redirects there silently.

    Source: S3 API reference, HeadBucket, header x-amz-bucket-region.
    """
    there = _headers(answer).get("x-amz-bucket-region", region)
    if there != region:
        raise _elsewhere(f"the bucket is in {there}, not in {region}", there, where, "PermanentRedirect")


def _elsewhere(why: str, there: str, where: str, code: str) -> errors.CloudError:
    hint = f"region: {there or 'the region of the bucket'} in pcinfra.yaml, or another bucket.name"
    return errors.CloudError(why, where=where, hint=hint, code=code)


def _headers(answer: Mapping[str, Any]) -> Mapping[str, str]:
    headers: Mapping[str, str] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers


_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_INVALID = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "AuthFailure",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
}
_SKEWED = {"RequestTimeTooSkewed", "RequestInTheFuture"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled", "403"}
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
    "ProvisionedThroughputExceededException",
    "RequestThrottled",
    "RequestThrottledException",
    "ThrottledException",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "BandwidthLimitExceeded",
}
_ELSEWHERE = {"301", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_EXISTS = {
    "AlreadyExistsException", "BucketAlreadyExists", "BucketAlreadyOwnedByYou", "OperationAborted",
    "RepositoryAlreadyExistsException", "RepositoryNotEmptyException", "ImageAlreadyExistsException", "BucketNotEmpty",
    "OperationInProgressException", "ResourceConflictException", "EntityAlreadyExists",
    "ResourceAlreadyExistsException", "InvalidPermission.Duplicate",
}  # fmt: skip
_LOGIN = "aws sts get-caller-identity   (then aws configure, or aws sso login)"
_AGAIN = "the same command again; it goes on where it stopped"
_NETWORK = "check the network and the region, then the same command again"


# What EC2 adds to a denial: hundreds of characters that only AWS can read.
_ENCODED = re.compile(r"\s*Encoded authorization failure message: \S+")


def _refusal(error: ClientError, where: str) -> errors.CloudError:
    """Return the error of our tree for an answer of AWS that is not success."""
    answer = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    message = _ENCODED.sub("", str(answer.get("Error", {}).get("Message") or error))
    why = f"{code}: {message}" if code and code not in message else message
    if code in _ELSEWHERE:
        there = str(answer["Error"].get("Region") or _headers(answer).get("x-amz-bucket-region", ""))
        return _elsewhere(f"the bucket is in another region{f', {there}' if there else ''} ({why})", there, where, code)
    kind, hint = _classify(code, status)
    return kind(why, where=where, hint=hint, code=code)


def refusal(code: str, status: int, message: str, where: str, region: str = "") -> errors.CloudError:
    """Return the error of our tree for a refusal that did not come through boto3; ``region``: of the bucket."""
    why = message if code in message else f"{code}: {message}"
    if code in _ELSEWHERE or status == 301:
        return _elsewhere(
            f"the bucket is in another region{f', {region}' if region else ''} ({why})", region, where, code
        )
    kind, hint = _classify(code, status)
    return kind(why, where=where, hint=hint, code=code)


def credentials(target: Target) -> Any:
    """Return boto3's credentials for ``target``; their ``get_frozen_credentials`` renews them when need be.

    Raises:
        CredentialsError: there are none, or they cannot be read.
    """
    with _mapped("credentials"):
        import boto3

        found = boto3.Session(region_name=target.region, profile_name=target.profile or None).get_credentials()
    if found is None:
        raise errors.CredentialsError("no usable AWS credentials", hint=_LOGIN, code="NoCredentialsError")
    return found


def _classify(code: str, status: int) -> tuple[type[errors.CloudError], str]:
    if code in _EXPIRED:
        return errors.CredentialsError, f"the session has expired; {_LOGIN}"
    if code in _INVALID:
        return errors.CredentialsError, _LOGIN
    if code in _SKEWED:
        return errors.CredentialsError, "set the clock of this machine: it is minutes off"
    if code in _DENIED or status == 403:
        return errors.AccessDenied, "ask for this permission, or use another --profile"
    if code in _THROTTLED or status >= 500 and status != 501:
        return errors.Unreachable, _AGAIN
    if code in _EXISTS:
        return errors.Conflict, ""
    if status == 404 or "NotFound" in code or code.startswith("NoSuch"):
        return errors.NotFound, ""
    if "LimitExceeded" in code or "QuotaExceeded" in code or code == "TooManyBuckets":
        return errors.CloudError, "ask for more in the console, Service Quotas, or remove what is not needed"
    return errors.CloudError, ""


def _no_answer(error: Exception, where: str) -> errors.CloudError:
    """Return the error of our tree for a call that got no answer or was never sent."""
    from botocore import exceptions as boto

    code = type(error).__name__
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError):
        return errors.CredentialsError(f"no usable AWS credentials: {error}", where=where, hint=_LOGIN, code=code)
    if isinstance(error, boto.ProfileNotFound):
        return errors.CredentialsError(str(error), hint="aws configure list-profiles", code=code)
    if isinstance(error, boto.ConfigParseError | boto.InvalidConfigError):
        return errors.CredentialsError(str(error), hint="mend that file, or aws configure", code=code)
    if isinstance(error, boto.TokenRetrievalError | boto.SSOError):
        return errors.CredentialsError(str(error), where=where, hint="aws sso login", code=code)
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError):
        return errors.Unreachable(str(error), where=where, hint=_NETWORK, code=code)
    return errors.CloudError(str(error), where=where, code=code)
