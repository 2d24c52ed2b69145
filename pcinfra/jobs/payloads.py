"""What is too large for SSM on its way to a head node: an object in the project's bucket, for as long as it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol
from uuid import uuid4

from pcinfra.aws import Aws
from pcinfra.errors import PcinfraError

PREFIX = "pcinfra/payloads/"
VALID = 900  # seconds for which an address can be read


class Payloads(Protocol):
    """Where content can be fetched from by who has no rights but an address."""

    def held(self, content: bytes) -> AbstractContextManager[str]:
        """Hold ``content`` while the context lasts; it gives the address."""
        ...


class S3Payloads:
    """The :class:`Payloads` of a bucket, whose name is asked for when it is needed.

    Addresses are presigned (S3 user guide, "Sharing objects with presigned URLs").
    """

    def __init__(self, aws: Aws, bucket: Callable[[], str]) -> None:
        self._aws = aws
        self._bucket = bucket

    @contextmanager
    def held(self, content: bytes) -> Iterator[str]:
        place = {"Bucket": self._bucket(), "Key": PREFIX + uuid4().hex}
        self._aws.call("s3", "PutObject", Body=content, **place)
        try:
            yield self._aws.presigned("s3", "GetObject", VALID, **place)
        finally:
            with suppress(PcinfraError):
                self._aws.call("s3", "DeleteObject", **place)
