"""A JobSpec rendered for one backend: the files of its run directory, and ids that never repeat."""

from __future__ import annotations

import io
import secrets
import tarfile
import time
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
        needs_containers: refuse it where the cluster cannot run containers.
    """

    run: str
    files: tuple[File, ...]
    logs: str = ""
    needs_containers: bool = False

    def archive(self) -> bytes:
        """Return the files as a tar archive, the same bytes for the same files."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for file in self.files:
                entry = tarfile.TarInfo(file.name)
                entry.size, entry.mode = len(file.content), file.mode
                tar.addfile(entry, io.BytesIO(file.content))
        return buffer.getvalue()


def new_run_id(name: str) -> str:
    """Return ``name-`` and 16 characters: 45 bits of milliseconds since 1970, then 35 random bits.

    Ids of one name sort by the time at which they were made.
    """
    return f"{name}-{_base32(time.time_ns() // 1_000_000, _TIME_DIGITS)}{_base32(secrets.randbits(35), _RANDOM_DIGITS)}"


def _base32(number: int, digits: int) -> str:
    return "".join(_DIGITS[number >> shift & 31] for shift in range(5 * (digits - 1), -1, -5))
