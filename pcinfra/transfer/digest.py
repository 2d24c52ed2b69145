"""What S3 says about the content of an object, computed here.

Source: S3 user guide, "Checking object integrity": the ETag of an object that is encrypted with SSE-S3 is its MD5,
or, after a multipart upload, the MD5 of the MD5s of its parts, a dash and their number. With SSE-KMS it is neither.
"""

from __future__ import annotations

import hashlib
import re
from typing import BinaryIO

MIB = 1024 * 1024
SMALLEST_PART = 16 * MIB
MOST_PARTS = 10_000
SINGLE = 64 * MIB
"""Bytes from which a file travels in parts."""

# Part sizes of the usual tools: AWS CLI and SDKs 8, FSx and others 5 to 128, s5cmd 50.
_USUAL = tuple(n * MIB for n in (5, 8, 10, 15, 16, 25, 32, 50, 64, 100, 128, 256, 512))


def part_size(size: int) -> int:
    """Return the bytes of each part of a file of ``size`` bytes: 16 MiB, or what keeps it at 10,000 parts."""
    least = -(-size // MOST_PARTS)
    return max(SMALLEST_PART, -(-least // MIB) * MIB)


def matches(file: BinaryIO, size: int, etag: str) -> bool:
    """Return whether ``file``, of ``size`` bytes, has the content that ``etag`` tells of.

    False also where the ETag tells nothing about the content, or its part size cannot be guessed.
    """
    if tells(etag):
        return md5(file, size) == etag
    found = re.fullmatch("[0-9a-f]{32}-([0-9]{1,5})", etag)
    if not found:
        return False
    sizes = dict.fromkeys((part_size(size), *_USUAL))
    fitting = [part for part in sizes if -(-size // part) == int(found[1])]
    return any(of_parts(file, size, part) == etag for part in fitting)


def tells(etag: str) -> bool:
    """Return whether ``etag`` looks like the MD5 of a whole object."""
    return re.fullmatch("[0-9a-f]{32}", etag) is not None


def md5(file: BinaryIO, size: int) -> str:
    """Return the MD5 of the first ``size`` bytes, in hex digits."""
    file.seek(0)
    return _md5(file, size).hexdigest()


def of_parts(file: BinaryIO, size: int, part: int) -> str:
    """Return the ETag of the first ``size`` bytes after an upload in parts of ``part`` bytes."""
    file.seek(0)
    count = -(-size // part)
    digests = b"".join(_md5(file, min(part, size - n * part)).digest() for n in range(count))
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{count}"


def _md5(file: BinaryIO, size: int) -> hashlib._Hash:
    total = hashlib.md5(usedforsecurity=False)
    while size > 0 and (block := file.read(min(size, MIB))):
        total.update(block)
        size -= len(block)
    return total
