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
from collections.abc import Iterator
from dataclasses import dataclass, field

from pcinfra.localcloud.gate import turn
from pcinfra.localcloud.services.fsx.posix import signature
from pcinfra.localcloud.services.fsx.repository import Failed
from pcinfra.localcloud.services.fsx.transfer import BUSY, Link, export_file, import_object
from pcinfra.localcloud.services.fsx.tree import Listing

QUIET = 0.5
"""Seconds of quiet until a file is exported: FSx exports once "your application finishes modifying the file"."""

TURN = 2.0
"""Seconds after which the other associations have their turn, and CloudWatch is told how long files wait."""

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
    ledger = link.ledger
    changed = [path for path, status in listing.found.items() if signature(status) != ledger.files.get(path)]
    gone = [path for path in ledger.files if path not in listing.found and not listing.hides(path)]
    waiting = [path for path in sorted(changed) if _waits(link, path, listing.found[path], queue)]
    for path in _for_a_while(link, gone):
        _gone(link, path, queue)
    for path in _for_a_while(link, waiting):
        if _export_one(link, path, listing.found[path]):
            queue.since.pop(path, None)
    for path in queue.since.keys() - listing.found.keys():
        del queue.since[path]
    return bool(changed or gone)


def _for_a_while(link: Link, paths: list[str]) -> Iterator[str]:
    """What is not reached is still different at the next look."""
    until = time.monotonic() + TURN
    for path in paths:
        if link.ended() or time.monotonic() > until:
            return
        yield path


def _waits(link: Link, path: str, status: os.stat_result, queue: Queue) -> bool:
    """Take note of a changed file; return whether it is to be exported now."""
    if not _exports(link, path):
        link.ledger.seen(path, signature(status))
        queue.since.pop(path, None)
        return False
    queue.since.setdefault(path, time.time())
    return path.endswith("/") or abs(time.time() - status.st_mtime) >= QUIET


def _export_one(link: Link, path: str, status: os.stat_result) -> bool:
    """Return whether the file need not wait any longer."""
    try:
        export_file(link, path, closed=True)
    except FileNotFoundError:
        pass
    except Failed as error:
        if str(error) == BUSY:
            return False
        _LOG.warning("%s: %r is not exported: %s", link.association.path, path, error)
        link.ledger.seen(path, signature(status))
    return True


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
    events = sorted(path for path, mark in now.items() if known.get(path) != mark)
    gone = sorted((path for path in known if path not in now), reverse=True)
    for path in _for_a_while(link, events):
        _arrived(link, path, now[path])
    for path in _for_a_while(link, gone):
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
