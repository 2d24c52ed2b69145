"""What the transfer asks of its engine: signed requests to one bucket. Implemented by :mod:`pcinfra.transfer.crt`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Request:
    """One call of S3.

    Args:
        operation: S3's name of it, for example ``PutObject``.
        key: the object; empty for the bucket itself.
        sink: gets the body of the answer piece by piece, in order; without it the Response has the body.
        split: fetch it in parts that travel at the same time.
    """

    operation: str
    method: str
    key: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    sink: Callable[[bytes], None] | None = None
    split: bool = False

    @property
    def target(self) -> str:
        """The path below the bucket with the query, percent-encoded as Signature Version 4 wants it."""
        query = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted(self.query.items()))
        return quote(self.key, safe="/~") + (f"?{query}" if query else "")


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a successful Request. Names of headers are in lower case.

    ``verified``: the engine has compared the body with the checksum that S3 keeps.
    """

    headers: Mapping[str, str]
    body: bytes = b""
    verified: bool = False


class Http(Protocol):
    """One bucket, reached with credentials and retries. Safe to use from many threads."""

    bucket: str

    def send(self, request: Request) -> Future[Response]:
        """Send ``request``; the Future raises a :class:`~pcinfra.errors.CloudError` when it fails."""
        ...

    def close(self) -> None:
        """Give up what is under way."""
        ...
