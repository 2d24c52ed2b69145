"""Moves one file or object between Lustre and S3. Automatic import and export use it, and data repository tasks."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pcinfra.localcloud.gate import turn
from pcinfra.localcloud.services.fsx.ledger import Ledger
from pcinfra.localcloud.services.fsx.model import Association
from pcinfra.localcloud.services.fsx.posix import Attributes, metadata, signature
from pcinfra.localcloud.services.fsx.repository import NOT_IN_TABLE, Failed, Object, Repository
from pcinfra.localcloud.services.fsx.storage import Storage
from pcinfra.localcloud.services.fsx.tree import NAME_MAX, Busy, TooLarge, Tree, components

KEY_MAX = 1024
"""Bytes of the longest key (FSx for Lustre user guide, "Exporting changes to the data repository")."""

BUSY = "ResourceBusy"
_MISMATCH = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST)
_DIRECTORY = {"ContentType": "application/x-directory"}


@dataclass(frozen=True, slots=True)
class Link:
    """Both sides of an association."""

    association: Association
    tree: Tree
    repository: Repository
    ended: Callable[[], bool]

    @classmethod
    def of(cls, association: Association, storage: Storage, ended: Callable[[], bool] = lambda: False) -> Link:
        """Return the link of ``association``; once ``ended`` is true, nothing more is begun."""
        tree = Tree(storage, association.file_system, association.path)
        return cls(association, tree, Repository(association.bucket, association.prefix), ended)

    @property
    def alive(self) -> bool:
        """Whether neither the association nor its file system is being deleted."""
        return self.association.lifecycle != "DELETING" and self.tree.alive

    @property
    def ledger(self) -> Ledger:
        return self.association.ledger


def export_file(link: Link, path: str, *, closed: bool) -> None:
    """Write a file, symbolic link or directory to S3, with its POSIX metadata.

    Args:
        closed: refuse a file that is open for writing.

    Raises:
        Failed: with the error code of FSx.
        FileNotFoundError: it has gone.
    """
    _check_key(link.repository.prefix + path)
    body, status = _read(link, path, closed)
    more: dict[str, Any] = _DIRECTORY if path.endswith("/") else {}
    with turn("fsx.export"):
        link.repository.put(path, body, Metadata=metadata(status), **more)
        link.ledger.moved(path, signature(status), link.repository.mark(path))


def import_object(link: Link, path: str) -> None:
    """Make the file, symbolic link or directory that an object stands for, with its content.

    Raises:
        Failed: with the error code of FSx.
    """
    names = components(path)
    if names is None:
        raise Failed("S3ObjectPathNotPosixCompliant")
    if max(len(name.encode()) for name in names) > NAME_MAX:
        raise Failed(NOT_IN_TABLE)
    mark, found = link.repository.mark(path), link.repository.get(path)
    if _is_there(link, path, found):
        _adopt(link, path, mark)
        return
    _write(link, path, found, mark)


def _write(link: Link, path: str, found: Object, mark: str) -> None:
    try:
        status, made = link.tree.write(path, found.body, Attributes.of(found.metadata, found.modified))
        above = {parent: link.tree.status(parent) for parent in made}
    except OSError as error:
        raise Failed("S3ObjectTypeMismatch" if error.errno in _MISMATCH else NOT_IN_TABLE) from error
    with turn("fsx.import"):
        for parent, its in above.items():
            if its and parent != path:
                link.ledger.files[parent] = link.ledger.archived[parent] = signature(its)
        link.ledger.moved(path, signature(status), mark)


def _is_there(link: Link, path: str, found: Object) -> bool:
    """Whether the file holds the object's content already although nobody knows that it came from there."""
    status = link.tree.status(path)
    if path in link.ledger.archived or path.endswith("/") or status is None or status.st_size != len(found.body):
        return False
    try:
        return link.tree.read(path, closed=False)[0] == found.body
    except (OSError, Busy, TooLarge):
        return False


def _adopt(link: Link, path: str, mark: str) -> None:
    status = link.tree.status(path)
    if status:
        with turn("fsx.import"):
            link.ledger.moved(path, signature(status), mark)


def _check_key(key: str) -> None:
    """ "It must be stored in a UTF-8 compatible format"; the length is in bytes."""
    try:
        length = len(key.encode())
    except UnicodeEncodeError as error:
        raise Failed(NOT_IN_TABLE) from error
    if length > KEY_MAX:
        raise Failed("PathSizeTooLong")


def _read(link: Link, path: str, closed: bool) -> tuple[bytes, Any]:
    try:
        return link.tree.read(path, closed=closed)
    except FileNotFoundError:
        raise
    except Busy:
        raise Failed(BUSY) from None
    except TooLarge:
        raise Failed("FileSizeTooLarge") from None
    except OSError as error:
        raise Failed(NOT_IN_TABLE) from error
