"""A stand-in for S3 on loopback that costs next to nothing (about 0.1 ms an answer), so that a client's own CPU
time shows. It keeps sizes and MD5s, no content, checks no signature, and always lists with encoding-type=url, which
every client asks for: correctness is tested elsewhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from bisect import bisect_left, bisect_right, insort
from email.utils import formatdate
from urllib.parse import parse_qs, quote, unquote
from xml.sax.saxutils import escape

PAGE = 1000


class Store:
    """Every object of every bucket: size, ETag and time, by ``/bucket/key``."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[int, str, float]] = {}
        self.keys: list[str] = []
        self.requests = 0

    def put(self, path: str, body: bytes) -> str:
        if path not in self.objects:
            insort(self.keys, path)
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        self.objects[path] = (len(body), etag, time.time())
        return etag

    def page(self, bucket: str, prefix: str, after: str) -> bytes:
        """Return one page of ListObjectsV2."""
        head = f"{bucket}/"
        begin = bisect_right(self.keys, head + after) if after else bisect_left(self.keys, head + prefix)
        found = []
        for path in self.keys[begin : begin + PAGE + 1]:
            if not path.startswith(head + prefix):
                break
            found.append(path)
        more = len(found) > PAGE
        shown = found[:PAGE]
        rows = "".join(_row(quote(path[len(head) :]), *self.objects[path]) for path in shown)
        token = f"<NextContinuationToken>{escape(shown[-1][len(head) :])}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket[1:]}</Name><Prefix>{quote(prefix)}</Prefix><EncodingType>url</EncodingType><KeyCount>{len(shown)}</KeyCount>"
            f"<MaxKeys>{PAGE}</MaxKeys><IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{rows}"
            "</ListBucketResult>"
        ).encode()


def _row(key: str, size: int, etag: str, modified: float) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(modified))
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{when}</LastModified><ETag>&quot;{etag}&quot;</ETag>"
        f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


class Connection(asyncio.Protocol):
    """One connection, kept open; requests one after the other."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.buffer = bytearray()
        self.continued = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while self._one():
            pass

    def _one(self) -> bool:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self.buffer[:end].decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(self.buffer) < end + 4 + length:
            if headers.get("expect") and not self.continued:
                self.continued = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return False
        body = bytes(self.buffer[end + 4 : end + 4 + length])
        del self.buffer[: end + 4 + length]
        self.continued = False
        method, target, _ = first.split(" ", 2)
        self.store.requests += 1
        self._answer(method, target, decoded(body) if "x-amz-decoded-content-length" in headers else body)
        return True

    def _answer(self, method: str, target: str, body: bytes) -> None:
        path, _, query = target.partition("?")
        path = unquote(path)
        if method == "PUT":
            etag = self.store.put(path, body)
            self._send(200, b"", f'ETag: "{etag}"\r\n')
        elif method == "GET" and "list-type" in query:
            asked = parse_qs(query)
            page = self.store.page(path.rstrip("/"), asked.get("prefix", [""])[0], _token(asked))
            self._send(200, page, "Content-Type: application/xml\r\n")
        elif method in ("GET", "HEAD") and path in self.store.objects:
            self._get(method, path)
        else:
            error = b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"
            self._send(404, b"" if method == "HEAD" else error)

    def _get(self, method: str, path: str) -> None:
        size, etag, modified = self.store.objects[path]
        extra = f'ETag: "{etag}"\r\nLast-Modified: {formatdate(modified, usegmt=True)}\r\n'
        self._send(200, bytes(size), extra, size if method == "HEAD" else None)

    def _send(self, status: int, body: bytes, extra: str = "", size: int | None = None) -> None:
        length = len(body) if size is None else size
        head = f"HTTP/1.1 {status} OK\r\nDate: {formatdate(usegmt=True)}\r\n{extra}Content-Length: {length}\r\n\r\n"
        self.transport.write(head.encode() + (b"" if size is not None else body))


def _token(asked: dict[str, list[str]]) -> str:
    return asked.get("continuation-token", asked.get("start-after", [""]))[0]


def decoded(body: bytes) -> bytes:
    """Return the content of an ``aws-chunked`` body."""
    content, at = bytearray(), 0
    while True:
        line = body.index(b"\r\n", at)
        size = int(body[at:line].split(b";")[0], 16)
        if not size:
            return bytes(content)
        content += body[line + 2 : line + 2 + size]
        at = line + 2 + size + 2


async def serve() -> None:
    """Answer until standard input ends; the port is the first line of standard output."""
    store = Store()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(store), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
