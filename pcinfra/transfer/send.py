"""Brings one file to S3."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import BinaryIO

from pcinfra.errors import CloudError
from pcinfra.transfer import bucket, digest
from pcinfra.transfer.http import Http, Response
from pcinfra.transfer.model import Meter, Outcome, Problem, Step

TRIES = 3  # for a file that changes while it is read
_IN_MEMORY = BoundedSemaphore(16)  # parts of large files
_AT_ONCE = 6  # parts of one file


class _Changed(Exception):
    """The file is not any more what it was when it was opened."""


def send(http: Http, directory: Path, step: Step, prefix: str, meter: Meter, follow: bool = False) -> Outcome:
    """Bring the file of ``step`` to S3, as it was at one moment.

    A large file travels in parts; those that an earlier, killed transfer has brought and that are equal stay.

    Raises:
        CloudError: S3 refused it.
    """
    for _ in range(TRIES):
        try:
            with _opened(directory, step.name, follow) as file:
                reused = _send(http, file, prefix + step.name, meter)
            return Outcome(step, verified=True, reused=reused)
        except _Changed:
            continue
        except FileNotFoundError:
            return Outcome(step, Problem(step.name, "went away before it was sent", True))
        except OSError as error:
            return Outcome(step, Problem(step.name, error.strerror or str(error)))
    return Outcome(step, Problem(step.name, "changes all the time while it is read"))


@contextmanager
def _opened(directory: Path, name: str, follow: bool) -> Iterator[BinaryIO]:
    """Open a regular file; never wait for a pipe that has taken its place, never follow a link that has."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    with os.fdopen(os.open(os.path.join(directory, name), flags), "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FileNotFoundError
        yield file


def _mark(file: BinaryIO) -> tuple[int, int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _send(http: Http, file: BinaryIO, key: str, meter: Meter) -> int:
    """Send ``file``; return the bytes that were there already."""
    mark = _mark(file)
    if mark[0] >= digest.SINGLE:
        return _send_parts(http, file, key, mark, meter)
    body = _read(file, mark[0])
    if _mark(file) != mark:
        raise _Changed
    bucket.put(http, key, body).result()
    meter.add(len(body))
    return 0


def _read(file: BinaryIO, size: int) -> bytes:
    """Return the next ``size`` bytes: a raw file may give fewer at a time."""
    blocks = []
    while size > 0 and (block := file.read(size)):
        blocks.append(block)
        size -= len(block)
    if size:
        raise _Changed
    return b"".join(blocks)


def _send_parts(http: Http, file: BinaryIO, key: str, mark: tuple[int, int, int], meter: Meter) -> int:
    upload = bucket.unfinished_upload(http, key)
    there = bucket.parts_of(http, key, upload) if upload else {}
    if not there:
        upload = bucket.begin_upload(http, key)
    done: dict[int, tuple[str, str]] = {}
    coming: dict[int, tuple[Future[Response], str]] = {}
    reused = 0
    try:
        for number, body in _parts(file, mark[0]):
            meter.check()
            old = there.get(number)
            if old and old.size == len(body) and hashlib.md5(body, usedforsecurity=False).hexdigest() == old.etag:
                done[number] = (f'"{old.etag}"', bucket.checksum(body))
                reused += len(body)
                meter.add(len(body), reused=True)
                continue
            coming[number] = (_sending(http, key, upload, number, body, meter), bucket.checksum(body))
            if len(coming) >= _AT_ONCE:
                _take(coming, done, min(coming))
    finally:
        _collect(coming, done)
    if _mark(file) != mark:
        meter.add(-mark[0])
        raise _Changed
    bucket.end_upload(http, key, upload, {number: (etag.strip('"'), crc) for number, (etag, crc) in done.items()})
    return reused


def _parts(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    step = digest.part_size(size)
    for number, begin in enumerate(range(0, size, step), 1):
        yield number, _read(file, min(step, size - begin))


def _sending(http: Http, key: str, upload: str, number: int, body: bytes, meter: Meter) -> Future[Response]:
    _IN_MEMORY.acquire()
    future = bucket.put_part(http, key, upload, number, body)
    size = len(body)

    def ended(done: Future[Response]) -> None:
        _IN_MEMORY.release()
        if not done.exception():
            meter.add(size)

    future.add_done_callback(ended)
    return future


def _take(coming: dict[int, tuple[Future[Response], str]], done: dict[int, tuple[str, str]], number: int) -> None:
    future, crc = coming.pop(number)
    done[number] = (future.result().headers["etag"], crc)


def _collect(coming: dict[int, tuple[Future[Response], str]], done: dict[int, tuple[str, str]]) -> None:
    """Wait for every part, and raise the first failure when all have ended."""
    failure: CloudError | None = None
    for number in sorted(coming):
        try:
            _take(coming, done, number)
        except CloudError as error:
            failure = failure or error
    if failure:
        raise failure
