"""Looks at a directory. Symbolic links are left out unless they are to be followed."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from pcinfra.errors import UsageError
from pcinfra.transfer.filters import Filter
from pcinfra.transfer.model import Local, LocalFile, Problem
from pcinfra.transfer.names import PARTIAL

_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def scan(directory: Path, wanted: Filter, follow: bool = False) -> Local:
    """Return what is below ``directory`` and ``wanted``.

    What cannot be read, is no regular file or vanishes meanwhile is a Problem, not an error.

    Args:
        follow: go where symbolic links point to; one that leads back to a directory above it is a Problem.

    Raises:
        UsageError: it is no directory, or cannot be read.
    """
    try:
        with os.scandir(directory):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}",
            where=str(directory),
            hint="a directory; for one file, its directory and --include NAME",
        ) from error
    walk = _Walk(wanted, follow)
    walk.enter(os.fspath(directory), "", ())
    return Local(walk.files, tuple(sorted(walk.problems)))


@dataclass(slots=True)
class _Walk:
    wanted: Filter
    follow: bool
    files: dict[str, LocalFile] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def enter(self, top: str, name: str, above: tuple[tuple[int, int], ...]) -> None:
        """Look at ``top`` and all below it, without recursion: a tree may be deeper than Python's stack."""
        waiting = [(top, name, above)]
        while waiting:
            path, name, above = waiting.pop()
            try:
                found = os.stat(path)
                here = (found.st_dev, found.st_ino)
                if here in above:
                    self.problems.append(Problem(name, "a symbolic link that leads back to where it is", True))
                    continue
                with os.scandir(path) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self._trouble(name, error)
                continue
            start = f"{name}/" if name else ""
            # The ways back matter only where links are followed: without them a directory has one parent.
            chain = (*above, here) if self.follow else ()
            waiting += [(e.path, start + e.name, chain) for e in reversed(listed) if self._look(e, start + e.name)]

    def _look(self, entry: os.DirEntry[str], name: str) -> bool:
        """Take ``entry`` in; return whether it is a directory to enter."""
        try:
            if entry.is_dir(follow_symlinks=self.follow):
                return True
            if entry.name.startswith(PARTIAL) or not self.wanted.admits(name):
                return False
            if entry.is_symlink() and not self.follow:
                self.problems.append(Problem(name, "a symbolic link (--follow-links follows it)", True))
                return False
            self._take(name, entry.stat())
        except OSError as error:
            self._trouble(name, error)
        return False

    def _take(self, name: str, found: os.stat_result) -> None:
        if stat.S_ISREG(found.st_mode):
            touched = max(found.st_mtime, found.st_ctime)
            self.files[name] = LocalFile(found.st_size, found.st_mtime, touched)
        else:
            kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
            self.problems.append(Problem(name, f"is {kind}", True))

    def _trouble(self, name: str, error: OSError) -> None:
        if isinstance(error, FileNotFoundError) and not self.follow:
            self.problems.append(Problem(name, "went away while the directory was read", True))
        else:
            self.problems.append(Problem(name, error.strerror or str(error)))
