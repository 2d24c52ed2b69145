"""POSIX metadata as FSx for Lustre keeps it with the objects of S3.

Source: FSx for Lustre user guide, "POSIX metadata support for data repositories": the names of the metadata, "the file
type and permissions in the format <octal file type><octal permission mask>, consistent with st_mode", times in
nanoseconds; "FSx for Lustre doesn't import or retain setuid information"; directories are objects whose key ends with a
slash, and a symbolic link is an object with its target as data.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

Signature = tuple[int, int, int, int, int]
"""Mode, owner, group, size and time of change of a file; size and time of a directory are 0, for both change with
every file in it."""

DEFAULT_MODE = 0o755
"""Permissions of an object that says nothing of its own; it belongs to root."""

_RETAINED = 0o1777
_NANOSECOND = 1_000_000_000


def signature(status: os.stat_result) -> Signature:
    """Return what must differ for a file to be a changed one."""
    owner = (status.st_mode, status.st_uid, status.st_gid)
    return (*owner, 0, 0) if stat.S_ISDIR(status.st_mode) else (*owner, status.st_size, status.st_mtime_ns)


def metadata(status: os.stat_result) -> dict[str, str]:
    """Return the user-defined metadata of the object that a file becomes."""
    return {
        "user-agent": "aws-fsx-lustre",
        "file-permissions": f"{status.st_mode:07o}",
        "file-owner": str(status.st_uid),
        "file-group": str(status.st_gid),
        "file-atime": f"{status.st_atime_ns}ns",
        "file-mtime": f"{status.st_mtime_ns}ns",
    }


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an imported file gets. ``mtime`` is in nanoseconds, ``mode`` without the type of the file."""

    mode: int = DEFAULT_MODE
    owner: int = 0
    group: int = 0
    mtime: int = 0
    link: bool = False

    @classmethod
    def of(cls, found: Mapping[str, str], modified: datetime) -> Attributes:
        """Read an object's metadata; what is missing or nonsense takes its default."""
        mode = _number(found.get("file-permissions"), 8, 0o777777)
        modes = DEFAULT_MODE if mode is None else mode & _RETAINED
        mtime = _number((found.get("file-mtime") or "").removesuffix("ns"), 10, 2**63 - 1)
        return cls(
            mode=modes,
            owner=_number(found.get("file-owner"), 10, 2**32 - 2) or 0,
            group=_number(found.get("file-group"), 10, 2**32 - 2) or 0,
            mtime=int(modified.timestamp()) * _NANOSECOND if mtime is None else mtime,
            link=mode is not None and stat.S_ISLNK(mode),
        )


def _number(text: str | None, base: int, most: int) -> int | None:
    if not text or not text.isascii() or not text.isdigit():
        return None
    try:
        value = int(text, base)
    except ValueError:
        return None
    return value if value <= most else None
