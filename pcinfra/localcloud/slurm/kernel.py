"""The system calls that Python's standard library does not offer before 3.12: namespaces and mounts.

Every function raises OSError with the path or the name that it was called with.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable

NEWNS, NEWUTS, NEWIPC, NEWPID, NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x20000000, 0x40000000
"""Flags of unshare(2) and setns(2)."""

NOSUID, NODEV, NOEXEC, BIND, RECURSIVE, PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
"""Flags of mount(2)."""

_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SYS_MOUNT_SETATTR = 442
"""The same number on every architecture; Linux 5.12 and later."""
_AT_RECURSIVE, _AT_FDCWD, _ATTR_RDONLY = 0x8000, -100, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _call(what: str, function: Callable[..., int], *arguments: object) -> None:
    if function(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def unshare(flags: int) -> None:
    """Give this process new namespaces; new pid namespaces hold its children, not itself."""
    _call("unshare", _libc.unshare, flags)


def setns(descriptor: int, flags: int) -> None:
    """Enter the namespace that ``descriptor`` is open on."""
    _call("setns", _libc.setns, descriptor, flags)


def sethostname(name: str) -> None:
    _call(name, _libc.sethostname, name.encode(), ctypes.c_size_t(len(name.encode())))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """See mount(2); ``kind`` is the file system's type."""
    texts = [text.encode() if text else None for text in (source, target, kind)]
    data = options.encode() if options else None
    _call(target, _libc.mount, texts[0], texts[1], texts[2], ctypes.c_ulong(flags), data)


def make_readonly(target: str) -> None:
    """Make the mount at ``target`` and every mount below it read-only."""
    attributes = struct.pack("QQQQ", _ATTR_RDONLY, 0, 0, 0)
    size = ctypes.c_size_t(len(attributes))
    arguments = (_AT_FDCWD, target.encode(), _AT_RECURSIVE, attributes, size)
    _call(target, _libc.syscall, _SYS_MOUNT_SETATTR, *arguments)


def enter_root(directory: str) -> None:
    """Make the mount at ``directory`` the root of this mount namespace and drop the old one; see pivot_root(2)."""
    os.chdir(directory)
    _call(directory, _libc.syscall, _SYS_PIVOT_ROOT[os.uname().machine], b".", b".")
    _call("/", _libc.umount2, b".", _DETACH)
    os.chdir("/")


def die_with_parent(signal_number: int) -> None:
    """Receive ``signal_number`` when the thread that forked this process ends."""
    _call("PR_SET_PDEATHSIG", _libc.prctl, _PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _call("PR_SET_CHILD_SUBREAPER", _libc.prctl, _PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0)
