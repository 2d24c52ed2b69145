"""Where the content of file systems and volumes lies on this machine: one directory each, which clusters mount."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

_LOG = logging.getLogger(__name__)


class Storage:
    """The directories of all Lustre file systems and OpenZFS volumes.

    ::

        ID/         the content of the file system or volume with this id
        .gone/      what has been deleted and is still being removed
        .partial/   files that are being imported; each is moved to its place when it is whole

    Args:
        top: of all of them. Everything below is on one file system of this machine.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self._gone = top / ".gone"
        self._partial = top / ".partial"
        self._stuck: set[Path] = set()

    def directory(self, identity: str) -> Path:
        return self.top / identity

    def make(self, identity: str) -> None:
        """Make the directory unless it is there; as on FSx, its top is root's and nobody else may write to it."""
        path = self.directory(identity)
        path.mkdir(mode=0o755, parents=True, exist_ok=True)

    def discard(self, identity: str) -> None:
        """Take the directory away at once; :meth:`clean` removes its content."""
        if self.directory(identity).is_dir():
            self._gone.mkdir(exist_ok=True, mode=0o700)
            self.directory(identity).rename(self._gone / f"{identity}-{uuid4().hex}")

    def discard_content(self, directory: int) -> None:
        """Take away everything in the directory of this descriptor."""
        grave = self._gone / uuid4().hex
        grave.mkdir(parents=True, mode=0o700)
        for name in os.listdir(directory):
            os.rename(name, grave / name, src_dir_fd=directory)

    def clean(self) -> None:
        """Remove what has been discarded, whoever owns it. What does not go is logged, and tried at the next start."""
        if self._gone.is_dir():
            for entry in set(self._gone.iterdir()) - self._stuck:
                remove_tree(entry)
                if entry.exists():
                    self._stuck.add(entry)

    def forget_partial(self) -> None:
        """Remove what an import that was cut short has left."""
        if self._partial.is_dir():
            remove_tree(self._partial)

    def partial(self) -> Path:
        """Return a path, of nothing yet, from which a file can be moved to any directory of this storage."""
        self._partial.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._partial / uuid4().hex


def remove_tree(path: Path) -> None:
    """Remove a directory also when its own permissions forbid it. Links are removed, never followed."""
    if sys.version_info >= (3, 12):
        shutil.rmtree(path, onexc=_open_up)
    else:
        shutil.rmtree(path, onerror=_open_up)


def _open_up(function: Callable[..., Any], name: str, _: object) -> None:
    """Without root's rights a directory that may not be written or read keeps its content."""
    parent = os.path.dirname(name)
    try:
        for directory in (parent, name):
            if os.path.isdir(directory) and not os.path.islink(directory):
                os.chmod(directory, 0o700)
        if os.path.isdir(name) and not os.path.islink(name):
            shutil.rmtree(name, ignore_errors=True)
        else:
            os.unlink(name)
    except FileNotFoundError:
        pass
    except OSError as error:
        _LOG.warning("%s is not removed: %s (%s)", name, error, function.__name__)
