"""The file system of a namespaced node: the host read-only, with what the node owns in its place.

The new root is built over ``/sys``, which nothing else is taken from: the cluster's directory may lie anywhere else,
and building the root inside a tree that is bound into it would bind it into itself.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pcinfra.localcloud.slurm import kernel

_NEW = "/sys"
_UNREADABLE = (errno.EACCES, errno.ENOTCONN, errno.ESTALE)
_VIRTUAL = ("/proc", "/sys", "/dev")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a node has of its own.

    Args:
        binds: path in the node -> directory or file of the host, writable.
        volatile: path in the node -> options of the tmpfs there, which is empty at every start.
        gpus: number of ``/dev/nvidiaN``. They are ``/dev/null``: character devices are what Slurm counts.
    """

    binds: Mapping[str, str]
    volatile: Mapping[str, str]
    gpus: int = 0

    @property
    def own(self) -> tuple[str, ...]:
        return tuple(sorted({*self.binds, *self.volatile}))


def enter(layout: Layout) -> None:
    """Leave the host's file system for the node's, in a mount namespace of this process alone."""
    kernel.unshare(kernel.NEWNS)
    kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    cgroups = _open_directory("/sys/fs/cgroup")
    kernel.mount("tmpfs", _NEW, "tmpfs", kernel.NOSUID, "mode=755,size=64m")
    _mirror("", layout.own)
    for inside in layout.own:
        _own(inside, layout)
    _devices(layout.gpus)
    _virtual(cgroups)
    kernel.enter_root(_NEW)


def _open_directory(path: str) -> int | None:
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None


def _mirror(directory: str, own: Sequence[str]) -> None:
    """Show the host's ``directory`` in the new root, leaving out what the node owns at or below it."""
    for entry in os.scandir(directory or "/"):
        path = f"{directory}/{entry.name}"
        if path in own or path in _VIRTUAL:
            continue
        if entry.is_symlink():
            os.symlink(os.readlink(path), _NEW + path)
        elif entry.is_dir():
            _mirror_directory(path, own)
        elif directory and entry.is_file():
            _touch(_NEW + path)
            _bind_readonly(path)


def _mirror_directory(path: str, own: Sequence[str]) -> None:
    os.mkdir(_NEW + path, 0o755)
    if any(other.startswith(path + "/") for other in own):
        _mirror(path, own)
    else:
        _bind_readonly(path)


def _bind_readonly(path: str) -> None:
    """Show ``path``; what even root may not look into (a user's FUSE mount, a dead network mount) stays empty."""
    try:
        kernel.mount(path, _NEW + path, flags=kernel.BIND | kernel.RECURSIVE)
    except OSError as error:
        if error.errno not in _UNREADABLE:
            raise
    else:
        kernel.make_readonly(_NEW + path)


def _own(inside: str, layout: Layout) -> None:
    target = _NEW + inside
    source = layout.binds.get(inside)
    if source is None:
        os.makedirs(target, exist_ok=True)
        kernel.mount("tmpfs", target, "tmpfs", kernel.NOSUID | kernel.NODEV, layout.volatile[inside])
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        _touch(target)
    kernel.mount(source, target, flags=kernel.BIND | kernel.RECURSIVE)


def _touch(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _devices(gpus: int) -> None:
    top = _NEW + "/dev"
    os.mkdir(top, 0o755)
    kernel.mount("tmpfs", top, "tmpfs", kernel.NOSUID, "mode=755,size=1m")
    wanted = {name: f"/dev/{name}" for name in _DEVICES if os.path.exists(f"/dev/{name}")}
    wanted |= {f"nvidia{index}": "/dev/null" for index in range(gpus)}
    for name, source in wanted.items():
        _touch(f"{top}/{name}")
        kernel.mount(source, f"{top}/{name}", flags=kernel.BIND)
    for name, points_to in _LINKS.items():
        os.symlink(points_to, f"{top}/{name}")
    for name, kind, options in (
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"),
        ("shm", "tmpfs", "mode=1777"),
        ("mqueue", "mqueue", ""),
    ):
        os.mkdir(f"{top}/{name}")
        kernel.mount(kind, f"{top}/{name}", kind, kernel.NOSUID | kernel.NOEXEC * (kind != "tmpfs"), options)


def _virtual(cgroups: int | None) -> None:
    """Mount /proc of the node's own processes and /sys of its own network, with the host's cgroups to look at."""
    safe = kernel.NOSUID | kernel.NODEV | kernel.NOEXEC
    for name, kind in (("/proc", "proc"), ("/sys", "sysfs")):
        os.mkdir(_NEW + name, 0o755)
        kernel.mount(kind, _NEW + name, kind, safe)
    if cgroups is not None:
        kernel.mount(f"/proc/self/fd/{cgroups}", f"{_NEW}/sys/fs/cgroup", flags=kernel.BIND | kernel.RECURSIVE)
        os.close(cgroups)
    kernel.make_readonly(_NEW + "/sys")
