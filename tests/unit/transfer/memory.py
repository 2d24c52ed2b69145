"""A bucket in memory behind the seam of the engine, and ways to spoil a transfer at a chosen request."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from pcinfra.errors import CloudError, NotFound
from pcinfra.transfer.http import Request, Response

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@dataclass
class Object:
    content: bytes
    etag: str
    modified: float


@dataclass
class Memory:
    """Implements :class:`pcinfra.transfer.http.Http`.

    Args:
        before: called with every request before it is answered; what it raises is the answer.
    """

    before: Callable[[Request], None] = lambda _: None
    spoil: Callable[[bytes], bytes] = lambda content: content
    headers: dict[str, str] = field(default_factory=dict)
    bucket: str = "memory"
    objects: dict[str, Object] = field(default_factory=dict)
    uploads: dict[str, tuple[str, dict[int, bytes]]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def keep(self, key: str, content: bytes, etag: str = "", age: float = 60) -> None:
        self.objects[key] = Object(content, etag or md5(content), float(int(time.time() - age)))

    def count(self, operation: str) -> int:
        return sum(request.operation == operation for request in self.requests)

    def send(self, request: Request) -> Future[Response]:
        future: Future[Response] = Future()
        self.requests.append(request)
        try:
            self.before(request)
            future.set_result(getattr(self, request.operation)(request))
        except BaseException as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing is open."""

    def PutObject(self, request: Request) -> Response:  # noqa: N802 - S3's names
        self.keep(request.key, request.body, age=0)
        return Response({"etag": f'"{md5(request.body)}"'})

    def GetObject(self, request: Request) -> Response:  # noqa: N802
        found = self.objects.get(request.key)
        if found is None:
            raise NotFound("none", code="NoSuchKey")
        if request.headers["if-match"] != f'"{found.etag}"':
            raise CloudError("changed", code="PreconditionFailed")
        begin = int(request.headers.get("range", "bytes=0-")[6:-1])
        assert request.sink
        content = self.spoil(found.content[begin:])
        for at in range(0, len(content), 1 << 20):
            request.sink(content[at : at + (1 << 20)])
        return Response(self.headers)

    def DeleteObject(self, request: Request) -> Response:  # noqa: N802
        self.objects.pop(request.key, None)
        return Response({})

    def ListObjectsV2(self, request: Request) -> Response:  # noqa: N802
        rows = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>{len(o.content)}</Size><ETag>&quot;{o.etag}&quot;</ETag>"
            f"<LastModified>{datetime.fromtimestamp(o.modified, UTC):%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
            for key, o in sorted(self.objects.items())
            if key.startswith(request.query["prefix"])
        )
        return Response({}, f"<ListBucketResult {XMLNS}>{rows}</ListBucketResult>".encode())

    def CreateMultipartUpload(self, request: Request) -> Response:  # noqa: N802
        upload = f"upload-{len(self.uploads)}"
        self.uploads[upload] = (request.key, {})
        return Response({}, f"<InitiateMultipartUploadResult {XMLNS}><UploadId>{upload}</UploadId>"
                            "</InitiateMultipartUploadResult>".encode())  # fmt: skip

    def UploadPart(self, request: Request) -> Response:  # noqa: N802
        self.uploads[request.query["uploadId"]][1][int(request.query["partNumber"])] = request.body
        return Response({"etag": f'"{md5(request.body)}"'})

    def ListMultipartUploads(self, request: Request) -> Response:  # noqa: N802
        rows = "".join(
            f"<Upload><Key>{quote(key)}</Key><UploadId>{upload}</UploadId><Initiated>2026-01-01</Initiated></Upload>"
            for upload, (key, _) in self.uploads.items()
            if key.startswith(request.query["prefix"])
        )
        return Response({}, f"<ListMultipartUploadsResult {XMLNS}>{rows}</ListMultipartUploadsResult>".encode())

    def ListParts(self, request: Request) -> Response:  # noqa: N802
        rows = "".join(
            f"<Part><PartNumber>{n}</PartNumber><Size>{len(part)}</Size><ETag>&quot;{md5(part)}&quot;</ETag></Part>"
            for n, part in sorted(self.uploads[request.query["uploadId"]][1].items())
        )
        return Response({}, f"<ListPartsResult {XMLNS}>{rows}</ListPartsResult>".encode())

    def CompleteMultipartUpload(self, request: Request) -> Response:  # noqa: N802
        key, parts = self.uploads.pop(request.query["uploadId"])
        self.keep(key, b"".join(parts[n] for n in sorted(parts) if f"<PartNumber>{n}<" in request.body.decode()), age=0)
        return Response({}, f"<CompleteMultipartUploadResult {XMLNS}><ETag>x</ETag>"
                            "</CompleteMultipartUploadResult>".encode())  # fmt: skip
