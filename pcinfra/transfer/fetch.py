"""Brings one object here: into a file beside its place, which takes that place when it is whole and proven.

No symbolic link is followed on the way: what is below the directory stays below it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pcinfra.errors import CloudError, NotFound
from pcinfra.transfer import bucket, digest
from pcinfra.transfer.http import Http
from pcinfra.transfer.model import Meter, Outcome, Problem, RemoteFile, Step
from pcinfra.transfer.names import PARTIAL

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PARTIAL = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def fetch(http: Http, directory: Path, step: Step, prefix: str, meter: Meter) -> Outcome:
    """Bring the object of ``step`` here. What a killed transfer has left is continued from its last byte.

    Raises:
        CloudError: S3 refused it.
    """
    try:
        with parent(directory, step.name) as (folder, last):
            return _fetch(http, folder, last, step, prefix, meter)
    except NotFound:
        return Outcome(step, Problem(step.name, "went away in S3 before it was fetched", True))
    except CloudError as error:
        if error.code in ("PreconditionFailed", "412"):
            return Outcome(step, Problem(step.name, "changed in S3 meanwhile: the same command again fetches it"))
        raise
    except BlockingIOError:
        return Outcome(step, Problem(step.name, "another transfer is fetching it"))
    except OSError as error:
        return Outcome(step, Problem(step.name, _words(error)))


def _words(error: OSError) -> str:
    if isinstance(error, NotADirectoryError):
        return "a file or a symbolic link is where its directory should be"
    if isinstance(error, IsADirectoryError):
        return "a directory is where it should be"
    return error.strerror or str(error)


@contextmanager
def parent(directory: Path, name: str) -> Iterator[tuple[int, str]]:
    """Open the directory that ``name`` belongs into, making it where it is missing."""
    *above, last = name.split("/")
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in above:
            below = _enter(folder, part)
            os.close(folder)
            folder = below
        yield folder, last
    finally:
        os.close(folder)


def _enter(folder: int, part: str) -> int:
    try:
        return os.open(part, _DIRECTORY, dir_fd=folder)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another thread was first
            os.mkdir(part, dir_fd=folder)
        return os.open(part, _DIRECTORY, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError from error
        raise


def _fetch(http: Http, folder: int, last: str, step: Step, prefix: str, meter: Meter) -> Outcome:
    assert step.remote is not None
    mark = hashlib.sha256(f"{step.name}\0{step.remote.etag}".encode()).hexdigest()[:32]
    partial = PARTIAL + mark
    with os.fdopen(os.open(partial, _PARTIAL, 0o666, dir_fd=folder), "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        had = _had(file, step.remote.size)
        meter.add(had, reused=True)
        verified = _complete(http, file, had, prefix + step.name, step.remote, meter)
        if verified is None:
            os.unlink(partial, dir_fd=folder)
            return Outcome(step, Problem(step.name, "what came is not what S3 keeps: its checksum differs"))
        when = round(step.remote.modified * 1000) * 1_000_000
        os.utime(file.fileno(), ns=(when, when))
        os.replace(partial, last, src_dir_fd=folder, dst_dir_fd=folder)
    return Outcome(step, verified=verified, reused=had)


def _had(file: BinaryIO, size: int) -> int:
    """Return the bytes that an earlier transfer has left."""
    had = os.fstat(file.fileno()).st_size
    if had > size:
        file.truncate(0)
        return 0
    return had


def _complete(http: Http, file: BinaryIO, had: int, key: str, remote: RemoteFile, meter: Meter) -> bool | None:
    """Fetch what is missing. Return whether the whole is proven by a checksum; None: it is proven wrong.

    What cannot be proven either way is what S3 encrypts with KMS and keeps no checksum of.
    """
    encrypted = False
    if had < remote.size or not remote.size:
        file.seek(had)

        def sink(chunk: bytes) -> None:
            meter.check()
            _write(file, chunk)
            meter.add(len(chunk))

        response = bucket.get(http, key, remote, had, sink).result()
        encrypted = response.headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
        if os.fstat(file.fileno()).st_size != remote.size:
            return None
        if response.verified and not had:
            return True
    if digest.matches(file, remote.size, remote.etag):
        return True
    if had == remote.size or (not encrypted and digest.tells(remote.etag)):
        return None
    return False


def _write(file: BinaryIO, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]
