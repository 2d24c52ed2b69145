"""A JobSpec rendered for one backend: the files of its run directory, and ids that never repeat."""

from __future__ import annotations

import gzip
import io
import secrets
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass

# Crockford's base 32, lower case: sorts like the numbers, and has no letter that reads as a digit.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_DIGITS, _RANDOM_DIGITS = 9, 7


@dataclass(frozen=True, slots=True)
class File:
    """One file of a run directory; ``name`` has no directory in it."""

    name: str
    content: bytes
    mode: int = 0o600


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is written for one run, and all that is needed to submit it.

    Args:
        logs: directory for the logs, outside the run directory; empty means inside.
    """

    run: str
    files: tuple[File, ...]
    logs: str = ""


def archive(manifests: Iterable[Manifest]) -> bytes:
    """Return the run directories as one compressed tar archive, the same bytes for the same files.

    Each holds a list of its files, too: ``files``, by which the run can be made anew.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for manifest in manifests:
            if not manifest.logs:
                logs = tarfile.TarInfo(f"{manifest.run}/logs")
                logs.type, logs.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(logs)
            names = "".join(f"{file.name}\n" for file in manifest.files)
            for file in (*manifest.files, File("files", names.encode())):
                entry = tarfile.TarInfo(f"{manifest.run}/{file.name}")
                entry.size, entry.mode = len(file.content), file.mode
                tar.addfile(entry, io.BytesIO(file.content))
    return gzip.compress(buffer.getvalue(), 6, mtime=0)


def new_run_id(name: str) -> str:
    """Return ``name-`` and 16 characters: 45 bits of milliseconds since 1970, then 35 random bits.

    Ids of one name sort by the time at which they were made.
    """
    return f"{name}-{_base32(time.time_ns() // 1_000_000, _TIME_DIGITS)}{_base32(secrets.randbits(35), _RANDOM_DIGITS)}"


def _base32(number: int, digits: int) -> str:
    return "".join(_DIGITS[number >> shift & 31] for shift in range(5 * (digits - 1), -1, -5))
