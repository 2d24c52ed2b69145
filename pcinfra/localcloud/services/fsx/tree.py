"""A directory of a Lustre file system, read and written without ever leaving it.

Users own what is below: any part of a path may be a symbolic link, or become one while it is used. So every step of a
path is opened from the one before and must be a directory itself (openat(2) with O_NOFOLLOW), and a file is written
beside and moved into its place, so that it is whole or not there and a hard link to it is not written through.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pcinfra.localcloud.services.fsx.posix import DEFAULT_MODE, Attributes
from pcinfra.localcloud.services.fsx.storage import Storage

LIMIT = 100_000
"""Files that are followed below one directory."""

LARGEST = 1 << 30
"""Bytes of the largest file that is moved: this machine's S3 takes an object into memory. S3's own limit is 5 TiB."""

NAME_MAX = 255
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_VANISHED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Unfollowable(Exception):
    """The directory cannot be looked at as a whole; the text says why."""


class Busy(Exception):
    """The file is being written."""


class TooLarge(Exception):
    """The file has more than :data:`LARGEST` bytes."""


@dataclass(slots=True)
class Listing:
    """What is in a directory.

    Args:
        found: path -> status, of files, symbolic links and directories; the path of a directory ends with a slash.
        unreadable: directories that this process may not look into.
    """

    found: dict[str, os.stat_result] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def hides(self, path: str) -> bool:
        """Return whether ``path`` may be there although it was not found."""
        return any(path.startswith(directory) for directory in self.unreadable)


def components(path: str) -> list[str] | None:
    """Return the names that a relative path consists of; None when it is no plain path of POSIX."""
    names = path.removesuffix("/").split("/")
    bad = any(name in ("", ".", "..") or "\0" in name for name in names)
    return None if bad else names


class Tree:
    """The directory ``path`` of one file system.

    Args:
        identity: of the file system.
        path: from the root of the file system, plain.
    """

    def __init__(self, storage: Storage, identity: str, path: str) -> None:
        self._storage = storage
        self._top = storage.directory(identity)
        self._path = [name for name in path.split("/") if name]

    @property
    def alive(self) -> bool:
        """Whether the file system has its directory."""
        return self._top.is_dir()

    def prepare(self, mode: int) -> None:
        """Make the directory with ``mode`` unless it is there, and what is above it."""
        made: list[str] = []
        with self._inside(self._path, make=made) as directory:
            if made:
                os.fchmod(directory, mode)

    def listing(self) -> Listing:
        """Look at everything, following no link.

        Raises:
            Unfollowable: there are too many files, or the directory has become something else.
        """
        listing, waiting = Listing(), [""]
        if not self._exists():
            return listing
        while waiting:
            below = waiting.pop()
            try:
                waiting += self._look(below, listing)
            except OSError as error:
                if error.errno not in _VANISHED:
                    listing.unreadable.append(below)
            if len(listing.found) > LIMIT:
                raise Unfollowable(f"there are more than {LIMIT} files below /{'/'.join(self._path)}")
        return listing

    def status(self, path: str) -> os.stat_result | None:
        """Return the status of a file, link or directory; None when it is not there or is of another type."""
        try:
            with self._parent(path) as (directory, name):
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except OSError:
            return None
        return found if stat.S_ISDIR(found.st_mode) == path.endswith("/") else None

    def read(self, path: str, *, closed: bool) -> tuple[bytes, os.stat_result]:
        """Return content and status, which belong together: of a link its target, of a directory nothing.

        Args:
            closed: refuse a file that some process has open for writing.

        Raises:
            Busy: the file is being written.
            TooLarge: it is too large.
            OSError: it is not there any more, or cannot be read.
        """
        with self._parent(path) as (directory, name):
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                return os.fsencode(os.readlink(name, dir_fd=directory)), status
            if stat.S_ISDIR(status.st_mode):
                return b"", status
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, dir_fd=directory), "rb") as file:
                return _content(file.fileno(), closed)

    def write(self, path: str, body: bytes, attributes: Attributes) -> tuple[os.stat_result, list[str]]:
        """Put a file, link or directory in its place; return its status and the directories made for it.

        Raises:
            OSError: something of another type is in the way, or there is no room.
        """
        made: list[str] = []
        with self._parent(path, make=made) as (directory, name):
            if path.endswith("/"):
                _make_directory(name, directory, attributes)
            else:
                self._put(name, directory, body, attributes)
            return os.stat(name, dir_fd=directory, follow_symlinks=False), made

    def remove(self, path: str) -> None:
        """Remove a file, a link or an empty directory; what is not there, or not empty, stays as it is."""
        try:
            with self._parent(path) as (directory, name):
                os.rmdir(name, dir_fd=directory) if path.endswith("/") else os.unlink(name, dir_fd=directory)
        except OSError as error:
            if error.errno not in (*_VANISHED, errno.ENOTEMPTY, errno.EISDIR):
                raise

    def clear(self) -> None:
        """Take everything in the directory away."""
        if self._exists():
            with self._inside(self._path) as directory:
                self._storage.discard_content(directory)

    def _exists(self) -> bool:
        try:
            with self._inside(self._path):
                return True
        except FileNotFoundError:
            if self.alive:
                return False
            raise Unfollowable(f"{self._top} is gone") from None
        except OSError as error:
            raise Unfollowable(f"/{'/'.join(self._path)}: {error.strerror}") from error

    def _look(self, below: str, listing: Listing) -> list[str]:
        """Add what is in one directory to ``listing``; return the directories in it."""
        inner = []
        with self._inside([*self._path, *below.split("/")[:-1]]) as directory, os.scandir(directory) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    inner.append(f"{below}{entry.name}/")
                    listing.found[inner[-1]] = status
                elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                    listing.found[below + entry.name] = status
        return inner

    def _put(self, name: str, directory: int, body: bytes, attributes: Attributes) -> None:
        partial = self._storage.partial()
        try:
            if attributes.link:
                os.symlink(body, os.fsencode(partial))
            else:
                partial.write_bytes(body)
                partial.chmod(attributes.mode)
            if os.geteuid() == 0:
                os.chown(partial, attributes.owner, attributes.group, follow_symlinks=False)
            os.utime(partial, ns=(attributes.mtime, attributes.mtime), follow_symlinks=False)
            os.rename(partial, name, dst_dir_fd=directory)
        finally:
            partial.unlink(missing_ok=True)

    @contextmanager
    def _parent(self, path: str, make: list[str] | None = None) -> Iterator[tuple[int, str]]:
        names = components(path)
        if names is None:
            raise OSError(errno.EINVAL, "not a plain path", path)
        with self._inside([*self._path, *names[:-1]], make) as directory:
            yield directory, names[-1]

    @contextmanager
    def _inside(self, names: list[str], make: list[str] | None = None) -> Iterator[int]:
        """Open the directory ``names`` of the file system.

        Args:
            make: None: it must be there; else what is missing is made, and added here, relative to this tree.
        """
        directory = os.open(self._top, _DIRECTORY)
        try:
            for depth, name in enumerate(names):
                if make is not None and _made(name, directory):
                    make.append("/".join([*names[len(self._path) : depth + 1], ""]))
                inner = os.open(name, _DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = inner
            yield directory
        finally:
            os.close(directory)


def _made(name: str, directory: int) -> bool:
    try:
        os.mkdir(name, DEFAULT_MODE, dir_fd=directory)
    except FileExistsError:
        return False
    return True


def _make_directory(name: str, directory: int, attributes: Attributes) -> None:
    _made(name, directory)
    inner = os.open(name, _DIRECTORY, dir_fd=directory)
    try:
        os.fchmod(inner, attributes.mode)
        if os.geteuid() == 0:
            os.fchown(inner, attributes.owner, attributes.group)
    finally:
        os.close(inner)


def _content(file: int, closed: bool) -> tuple[bytes, os.stat_result]:
    before = os.fstat(file)
    if not stat.S_ISREG(before.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if before.st_size > LARGEST:
        raise TooLarge
    if closed and _written(file):
        raise Busy
    body = b"".join(iter(lambda: os.read(file, 1 << 20), b""))
    after = os.fstat(file)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(body) != after.st_size:
        raise Busy
    return body, after


def _written(file: int) -> bool:
    """Return whether a process of this machine has the file open for writing: it then cannot be leased for reading.

    Source: fcntl(2), "Leases". The lease is given back at once; whoever opens the file in between makes the kernel
    send the signal set here, which does nothing, instead of SIGIO, which ends a process.
    """
    try:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
