"""S3's operations on the objects of one bucket.

Source of names, limits and headers: S3 API reference, the operation named in each request.
"""

from __future__ import annotations

import base64
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from pcinfra.errors import NotFound
from pcinfra.transfer.digest import SMALLEST_PART
from pcinfra.transfer.http import Http, Request, Response
from pcinfra.transfer.model import RemoteFile

_SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: objects by key, the "folders" below a delimiter, and our clock minus S3's."""

    files: Mapping[str, RemoteFile]
    folders: tuple[str, ...]
    skew: float


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a multipart upload."""

    number: int
    size: int
    etag: str


def checksum(body: bytes) -> str:
    """Return the CRC-32 of ``body`` as S3 writes it."""
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def pages(http: Http, prefix: str, delimiter: str = "") -> Iterator[Page]:
    """Yield what is below ``prefix``, up to 1,000 objects at a time. The next page comes while one is read."""
    coming: Future[Response] | None = _list(http, prefix, delimiter, "")
    while coming:
        response = coming.result()
        root = ElementTree.fromstring(response.body)  # noqa: S314 - expat refuses entities that grow without end
        space = root.tag.removesuffix("ListBucketResult")
        token = root.findtext(f"{space}NextContinuationToken")
        coming = _list(http, prefix, delimiter, token) if token else None
        files = dict(_object(row, space) for row in root.iter(f"{space}Contents"))
        rows = root.iter(f"{space}CommonPrefixes")
        yield Page(files, tuple(unquote_plus(row.findtext(f"{space}Prefix", "")) for row in rows), _skew(response))


def _list(http: Http, prefix: str, delimiter: str, token: str) -> Future[Response]:
    # Keys with characters that XML cannot hold come percent-encoded.
    asked = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
    asked |= {"delimiter": delimiter} if delimiter else {}
    asked |= {"continuation-token": token} if token else {}
    return http.send(Request("ListObjectsV2", "GET", query=asked))


def _object(row: ElementTree.Element, space: str) -> tuple[str, RemoteFile]:
    values = {child.tag: child.text or "" for child in row}
    modified = datetime.fromisoformat(values[f"{space}LastModified"]).timestamp()
    file = RemoteFile(int(values[f"{space}Size"]), values[f"{space}ETag"].strip('"'), modified)
    return unquote_plus(values[f"{space}Key"]), file


def _skew(response: Response) -> float:
    date = response.headers.get("date")
    return time.time() - parsedate_to_datetime(date).timestamp() if date else 0.0


def put(http: Http, key: str, body: bytes) -> Future[Response]:
    """Put a whole object. S3 refuses it when its CRC-32 is not that of ``body``."""
    return http.send(Request("PutObject", "PUT", key, headers={"x-amz-checksum-crc32": checksum(body)}, body=body))


def delete(http: Http, key: str) -> Future[Response]:
    """Delete an object; in a versioned bucket its old versions stay."""
    return http.send(Request("DeleteObject", "DELETE", key))


def get(http: Http, key: str, file: RemoteFile, begin: int, sink: Callable[[bytes], None]) -> Future[Response]:
    """Fetch an object from byte ``begin`` on, if it is still ``file``."""
    headers = {"if-match": f'"{file.etag}"'} | ({"range": f"bytes={begin}-"} if begin else {})
    large = file.size - begin > SMALLEST_PART
    return http.send(Request("GetObject", "GET", key, headers=headers, sink=sink, split=large))


# --- multipart uploads ----------------------------------------------------------------------------------------------


def begin_upload(http: Http, key: str) -> str:
    """Begin a multipart upload and return its id."""
    headers = {"x-amz-checksum-algorithm": "CRC32"}
    answer = http.send(Request("CreateMultipartUpload", "POST", key, {"uploads": ""}, headers)).result()
    return _tree(answer).findtext(f"{_SPACE}UploadId", "")


def put_part(http: Http, key: str, upload: str, number: int, body: bytes) -> Future[Response]:
    """Put one part. S3 refuses it when its CRC-32 is not that of ``body``."""
    query = {"partNumber": str(number), "uploadId": upload}
    headers = {"x-amz-checksum-crc32": checksum(body)}
    return http.send(Request("UploadPart", "PUT", key, query, headers, body))


def end_upload(http: Http, key: str, upload: str, parts: Mapping[int, tuple[str, str]]) -> str:
    """Make one object of the parts, given by number as ETag and CRC-32; return its ETag."""
    rows = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{escape(etag)}&quot;</ETag>"
        f"<ChecksumCRC32>{crc}</ChecksumCRC32></Part>"
        for number, (etag, crc) in sorted(parts.items())
    )
    body = f'<CompleteMultipartUpload xmlns="{_SPACE[1:-1]}">{rows}</CompleteMultipartUpload>'.encode()
    request = Request("CompleteMultipartUpload", "POST", key, {"uploadId": upload}, body=body)
    return _tree(http.send(request).result()).findtext(f"{_SPACE}ETag", "").strip('"')


def unfinished_upload(http: Http, key: str) -> str:
    """Return the id of the newest unfinished upload of ``key``; empty when there is none."""
    answer = http.send(
        Request("ListMultipartUploads", "GET", query={"uploads": "", "prefix": key, "encoding-type": "url"})
    )
    found = [
        (row.findtext(f"{_SPACE}Initiated", ""), row.findtext(f"{_SPACE}UploadId", ""))
        for row in _tree(answer.result()).iter(f"{_SPACE}Upload")
        if key in (row.findtext(f"{_SPACE}Key", ""), unquote_plus(row.findtext(f"{_SPACE}Key", "")))
    ]
    return max(found)[1] if found else ""


def parts_of(http: Http, key: str, upload: str) -> dict[int, Part]:
    """Return the parts that an upload has, by number; none when it has ended meanwhile."""
    found: dict[int, Part] = {}
    marker = "0"
    while marker:
        query = {"uploadId": upload, "part-number-marker": marker}
        try:
            root = _tree(http.send(Request("ListParts", "GET", key, query)).result())
        except NotFound:
            return {}
        for row in root.iter(f"{_SPACE}Part"):
            number, size, etag = (row.findtext(f"{_SPACE}{name}", "") for name in ("PartNumber", "Size", "ETag"))
            found[int(number)] = Part(int(number), int(size), etag.strip('"'))
        more = root.findtext(f"{_SPACE}IsTruncated") == "true"
        marker = root.findtext(f"{_SPACE}NextPartNumberMarker", "") if more else ""
    return found


def _tree(response: Response) -> ElementTree.Element:
    return ElementTree.fromstring(response.body)  # noqa: S314 - see pages
