"""The engine of transfers: S3 through the AWS Common Runtime (``awscrt``).

It signs, sends, retries and checks in C, on threads of its own, for a tenth of what boto3 spends on an object
(docs/performance.md). Credentials, region and endpoint are those of the Target, as for every other call.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pcinfra import aws, errors
from pcinfra.transfer.http import Request, Response

if TYPE_CHECKING:
    from pcinfra.aws import Target

CONNECTIONS = 32
GIGABITS = 10.0
PART = 16 * 1024 * 1024  # bytes of a part of a download
MEMORY = 1024**3


class Crt:
    """The :class:`~pcinfra.transfer.http.Http` of a bucket, in the place that ``target`` says.

    Raises:
        MissingTool: ``awscrt`` is not installed.
        CredentialsError: there are no credentials.
    """

    def __init__(self, target: Target, bucket: str) -> None:
        try:
            from awscrt import io as crt_io
            from awscrt import s3
        except ImportError as error:
            hint = "pip install 'pcinfra[data]'"
            raise errors.MissingTool("awscrt is not installed", where="pcinfra data", hint=hint) from error
        self.bucket = bucket
        self._host, self._base, secure = _place(target, bucket)
        # Whatever can fail comes before anything native: the engine does not survive an exception half made.
        credentials = _credentials(target)
        tls = _tls() if secure else None
        group = crt_io.EventLoopGroup(min(4, os.cpu_count() or 1))
        bootstrap = crt_io.ClientBootstrap(group, crt_io.DefaultHostResolver(group))
        signing = s3.create_default_s3_signing_config(region=target.region, credential_provider=credentials)
        self._client: Any = s3.S3Client(
            bootstrap=bootstrap,
            region=target.region,
            tls_mode=s3.S3RequestTlsMode.ENABLED if secure else s3.S3RequestTlsMode.DISABLED,
            tls_connection_options=tls,
            signing_config=signing,
            part_size=PART,
            throughput_target_gbps=GIGABITS,
            memory_limit=MEMORY,
            max_active_connections_override=CONNECTIONS,
        )

    def send(self, request: Request) -> Future[Response]:
        from awscrt import http, s3

        body = [("content-length", str(len(request.body)))] if request.method in ("PUT", "POST") else []
        headers = http.HttpHeaders([("host", self._host), *body, *request.headers.items()])
        stream = io.BytesIO(request.body) if body else None
        call = _Call(request, f"s3://{self.bucket}/{request.key}")
        call.request = self._client.make_request(
            type=s3.S3RequestType.GET_OBJECT if request.split else s3.S3RequestType.DEFAULT,
            operation_name=request.operation,
            request=http.HttpRequest(request.method, self._base + request.target, headers, stream),
            checksum_config=s3.S3ChecksumConfig(validate_response=True) if request.sink else None,
            on_headers=call.on_headers,
            on_body=call.on_body,
            on_done=call.on_done,
        )
        return call.future

    def close(self) -> None:
        self._client = None


class _Call:
    """One request under way. The callbacks come on the engine's threads."""

    def __init__(self, request: Request, where: str) -> None:
        self.future: Future[Response] = Future()
        self.request: Any = None
        self._sink: Callable[[bytes], None] | None = request.sink
        self._operation, self._where = request.operation, where
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def on_headers(self, *, headers: list[tuple[str, str]], **_: object) -> None:
        self._headers = {name.lower(): value for name, value in headers}

    def on_body(self, *, chunk: bytes, **_: object) -> None:
        if self._sink:
            self._sink(chunk)
        else:
            self._body.append(bytes(chunk))

    def on_done(
        self,
        *,
        error: Exception | None = None,
        error_body: bytes | None = None,
        error_headers: list[tuple[str, str]] | None = None,
        status_code: int | None = None,
        did_validate_checksum: bool = False,
        **_: object,
    ) -> None:
        self.request = None  # it holds this call through its callbacks
        if error is None:
            self.future.set_result(Response(self._headers, b"".join(self._body), did_validate_checksum))
        elif status_code is not None and error_headers is not None:
            headers = {name.lower(): value for name, value in error_headers}
            self.future.set_exception(self._refusal(status_code, error_body or b"", headers))
        else:
            self.future.set_exception(self._no_answer(error))

    def _refusal(self, status: int, body: bytes, headers: dict[str, str]) -> errors.CloudError:
        text = body.decode("utf-8", "replace")
        code, message = (_element(text, name) for name in ("Code", "Message"))
        region = headers.get("x-amz-bucket-region", "") or _element(text, "Region")
        return aws.refusal(code or str(status), status, message or f"HTTP {status}", self._where, region)

    def _no_answer(self, error: Exception) -> Exception:
        """Errors of our own callbacks, such as a full disk, pass as they are."""
        name = getattr(error, "name", "")
        if not name:
            return error
        why = f"{self._operation}: {getattr(error, 'message', error)}"
        if "CHECKSUM_MISMATCH" in name:
            return errors.CloudError(f"what came is not what S3 keeps: {why}", where=self._where, code=name)
        trust = "AWS_CA_BUNDLE=FILE with the certificates that your network uses"
        hint = trust if "_TLS_" in name else "the same command again; it goes on where it stopped"
        return errors.Unreachable(why, where=self._where, hint=hint, code=name)


def _element(text: str, name: str) -> str:
    from xml.sax.saxutils import unescape

    found = re.search(f"<{name}>([^<]*)</{name}>", text)
    return unescape(found[1]) if found else ""


def _place(target: Target, bucket: str) -> tuple[str, str, bool]:
    """Return host and base path of a bucket, and whether it speaks TLS.

    Source: S3 user guide, "Virtual hosting of buckets": a name with dots does not match the certificate, so that
    it goes into the path; so it does at every endpoint of one's own.
    """
    endpoint = target.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    if endpoint:
        parts = urlsplit(endpoint)
        return parts.netloc, f"{parts.path.rstrip('/')}/{bucket}/", parts.scheme == "https"
    domain = f"s3.{target.region}.amazonaws.com" + (".cn" if target.region.startswith("cn-") else "")
    return (domain, f"/{bucket}/", True) if "." in bucket else (f"{bucket}.{domain}", "/", True)


def _tls() -> Any:
    """Trust what ``AWS_CA_BUNDLE`` names, as boto3 does, or what the system trusts."""
    from awscrt import io as crt_io

    options = crt_io.TlsContextOptions()
    bundle = os.environ.get("AWS_CA_BUNDLE")
    if bundle:
        if not os.path.isfile(bundle):
            raise errors.CredentialsError("there is no such file", where=f"AWS_CA_BUNDLE={bundle}", hint="mend it")
        options.override_default_trust_store_from_path(None, bundle)
    return crt_io.ClientTlsContext(options).new_connection_options()


def _credentials(target: Target) -> Any:
    """Return the Target's credentials for the engine, found in boto3's order, renewed by boto3 when they expire."""
    from awscrt import auth

    if target.credentials:
        return auth.AwsCredentialsProvider.new_static(*target.credentials)
    keys = [os.environ.get(f"AWS_{name}", "") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
    if keys[0] and keys[1] and not target.profile:
        return auth.AwsCredentialsProvider.new_static(keys[0], keys[1], keys[2] or None)
    found = aws.credentials(target)

    def frozen() -> Any:
        now = found.get_frozen_credentials()
        return auth.AwsCredentials(now.access_key, now.secret_key, now.token)

    return auth.AwsCredentialsProvider.new_delegate(frozen)
