"""ETags computed here are those of S3."""

from __future__ import annotations

import hashlib
import io

import pytest

from pcinfra.transfer import digest
from pcinfra.transfer.digest import MIB


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def of_parts(content: bytes, part: int) -> str:
    parts = [content[n : n + part] for n in range(0, len(content), part)]
    return f"{md5(b''.join(map(md5, parts))).hex()}-{len(parts)}"


def test_one_part() -> None:
    assert digest.matches(io.BytesIO(b"content"), 7, md5(b"content").hex())
    assert not digest.matches(io.BytesIO(b"c0ntent"), 7, md5(b"content").hex())
    assert digest.matches(io.BytesIO(b""), 0, md5(b"").hex())


@pytest.mark.parametrize("part", [5 * MIB, 8 * MIB, 16 * MIB])
def test_parts_of_the_usual_tools(part: int) -> None:
    content = bytes(range(256)) * (17 * MIB // 256) + b"tail"
    etag = of_parts(content, part)
    assert digest.matches(io.BytesIO(content), len(content), etag)
    assert not digest.matches(io.BytesIO(content[:-1] + b"x"), len(content), etag)


@pytest.mark.parametrize("etag", ["", "-2", "kms-like", "0" * 32, "0" * 32 + "-0", "0" * 32 + "-7", "0" * 31])
def test_what_tells_nothing_matches_nothing(etag: str) -> None:
    assert not digest.matches(io.BytesIO(b"content"), 7, etag)


def test_part_sizes_keep_s3s_limits() -> None:
    """S3 user guide, "Multipart upload limits": 10,000 parts of 5 MiB to 5 GiB; objects of up to 50 TB."""
    for size in (digest.SINGLE, 160_000 * MIB, 160_000 * MIB + 1, 5 * 1024**2 * MIB, 50 * 10**12):
        part = digest.part_size(size)
        assert 5 * MIB <= part <= 5 * 1024 * MIB
        assert -(-size // part) <= 10_000
