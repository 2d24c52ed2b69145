"""Automatic import and export of one association.

Source: FSx for Lustre user guide, "Automatically import updates from your S3 bucket" and "Automatically export updates
to your S3 bucket"; FSx API reference, AutoImportPolicy and AutoExportPolicy. An event that is not in the policy is
noticed and not followed, then or later; what a task may still move is in :class:`~ledger.Ledger`.

Where both sides changed, the user guide promises nothing. Here the file wins if its change is exported at all, else the
object does. Unlike on AWS, an import brings the content at once, not when the file is first read.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field

from pcinfra.localcloud.gate import turn
from pcinfra.localcloud.services.fsx.posix import signature
from pcinfra.localcloud.services.fsx.repository import Failed
from pcinfra.localcloud.services.fsx.transfer import BUSY, Link, export_file, import_object
from pcinfra.localcloud.services.fsx.tree import Listing

QUIET = 0.5
"""Seconds of quiet until a file is exported: FSx exports once "your application finishes modifying the file"."""

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Queue:
    """Files that wait to be exported: path -> since when, in seconds of the clock."""

    since: dict[str, float] = field(default_factory=dict)

    @property
    def age(self) -> float:
        """Seconds that the oldest has waited; 0 when nothing waits."""
        return max(0.0, time.time() - min(self.since.values())) if self.since else 0.0


def follow(link: Link, queue: Queue, *, misconfigured: bool) -> bool:
    """Move what has changed since the last time; return whether anything was noticed.

    Raises:
        Unfollowable: the directory cannot be looked at.
    """
    if misconfigured:  # events in S3 are lost, as on AWS, but never taken for deletions
        link.ledger.begun = False
        return False
    changed = begin(link)
    changed |= _export(link, link.tree.listing(), queue)
    return _import(link) or changed


def begin(link: Link) -> bool:
    """What is in the bucket before the association is no event; return whether this was the beginning."""
    if link.ledger.begun or not link.repository.exists:
        return False
    with turn("fsx.begin"):
        link.ledger.objects = link.repository.listing()
        link.ledger.begun = True
    return True


def _export(link: Link, listing: Listing, queue: Queue) -> bool:
    ledger, noticed = link.ledger, False
    for path, status in sorted(listing.found.items()):
        if signature(status) != ledger.files.get(path):
            noticed = True
            _changed(link, path, status, queue)
    for path in [path for path in ledger.files if path not in listing.found and not listing.hides(path)]:
        noticed = True
        _gone(link, path, queue)
    return noticed


def _changed(link: Link, path: str, status: os.stat_result, queue: Queue) -> None:
    if not _exports(link, path):
        link.ledger.seen(path, signature(status))
        return
    queue.since.setdefault(path, time.time())
    if not path.endswith("/") and abs(time.time() - status.st_mtime) < QUIET:
        return
    try:
        export_file(link, path, closed=True)
    except FileNotFoundError:
        pass
    except Failed as error:
        if str(error) == BUSY:
            return
        _LOG.warning("%s: %r is not exported: %s", link.association.path, path, error)
        link.ledger.seen(path, signature(status))
    queue.since.pop(path, None)


def _exports(link: Link, path: str) -> bool:
    event = "CHANGED" if path in link.ledger.files else "NEW"
    return event in link.association.events("AutoExportPolicy")


def _gone(link: Link, path: str, queue: Queue) -> None:
    queue.since.pop(path, None)
    with turn("fsx.export"):
        if not link.alive:  # the whole directory has just been taken away, which is no event
            return
        if "DELETED" in link.association.events("AutoExportPolicy"):
            try:
                link.repository.delete(path)
                link.ledger.objects.pop(path, None)
            except Failed as error:
                _LOG.warning("%r is not deleted from S3: %s", path, error)
        link.ledger.forget_file(path)


def _import(link: Link) -> bool:
    """Follow S3. What the export before it wrote is in the ledger already, and so is no event."""
    now, known = link.repository.listing(), link.ledger.objects
    events = [(path, mark) for path, mark in sorted(now.items()) if known.get(path) != mark]
    gone = sorted((path for path in known if path not in now), reverse=True)
    for path, mark in events:
        _arrived(link, path, mark)
    for path in gone:
        _deleted(link, path)
    return bool(events or gone)


def _arrived(link: Link, path: str, mark: str) -> None:
    event = "CHANGED" if path in link.ledger.objects else "NEW"
    try:
        if event in link.association.events("AutoImportPolicy") and not _keeps(link, path, event):
            import_object(link, path)
            return
    except Failed as error:
        _LOG.warning("s3://%s/%s: %r is not imported: %s", link.repository.bucket, link.repository.prefix, path, error)
    with turn("fsx.import"):
        link.ledger.objects[path] = mark


def _keeps(link: Link, path: str, event: str) -> bool:
    """Whether the file there must stay: NEW is for files "that do not currently exist in the FSx file system"."""
    status = link.tree.status(path)
    if status is None or path.endswith("/"):
        return False
    unseen = signature(status) != link.ledger.files.get(path)
    return (unseen and _exports(link, path)) or (event == "NEW" and path not in link.ledger.archived)


def _deleted(link: Link, path: str) -> None:
    """A file that differs from what was in S3 stays: its content would be nowhere."""
    with turn("fsx.import"):
        link.ledger.objects.pop(path, None)
    if "DELETED" not in link.association.events("AutoImportPolicy"):
        return
    status = link.tree.status(path)
    if status and signature(status) != link.ledger.archived.get(path):
        return
    try:
        link.tree.remove(path)
    except OSError as error:
        _LOG.warning("%s: %r is not deleted: %s", link.association.path, path, error)
    if link.tree.status(path) is None:
        with turn("fsx.import"):
            link.ledger.forget_file(path)
