"""Code that fits into no ConfigMap, as objects of the project's bucket: one for each run, gone with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from pcinfra.aws import Cloud
from pcinfra.errors import Refused

PREFIX = "pcinfra/code/"


class Store(Protocol):
    """Keeps archives by their address, ``s3://BUCKET/KEY``."""

    @property
    def bucket(self) -> str: ...

    @property
    def region(self) -> str: ...

    def put(self, address: str, content: bytes) -> None: ...

    def copy(self, address: str, new: str) -> None: ...

    def delete(self, address: str) -> None:
        """Delete what is at ``address``; nothing there is fine."""
        ...

    def made(self, prefix: str) -> dict[str, datetime]:
        """Return the addresses whose key begins with ``prefix``, and since when they are there."""
        ...


class S3Store:
    """The :class:`Store` of a bucket, whose name is asked for when it is needed.

    An address in another bucket, or outside :data:`PREFIX`, is never touched: it stands in an annotation, which others
    can write.
    """

    def __init__(self, cloud: Callable[[], Cloud], bucket: Callable[[], str]) -> None:
        self._cloud = cloud
        self._bucket = bucket

    @property
    def bucket(self) -> str:
        return self._bucket()

    @property
    def region(self) -> str:
        return self._cloud().region

    def put(self, address: str, content: bytes) -> None:
        self._cloud().call("s3", "PutObject", Body=content, **self._place(address))

    def copy(self, address: str, new: str) -> None:
        source = self._place(address)
        self._cloud().call("s3", "CopyObject", CopySource=source, **self._place(new))

    def delete(self, address: str) -> None:
        self._cloud().call("s3", "DeleteObject", **self._place(address))

    def made(self, prefix: str) -> dict[str, datetime]:
        found = self._cloud().pages("s3", "ListObjectsV2", "Contents", Bucket=self.bucket, Prefix=prefix)
        return {f"s3://{self.bucket}/{each['Key']}": each["LastModified"] for each in found}

    def _place(self, address: str) -> dict[str, str]:
        """Return bucket and key.

        Raises:
            Refused: the address is not ours.
        """
        home = f"s3://{self.bucket}/"
        if not address.startswith(home + PREFIX):
            raise Refused(f"is not in {home}{PREFIX}, where the code of runs lies", where=address)
        return {"Bucket": self.bucket, "Key": address.removeprefix(home)}
