"""The work of data repository tasks: imports and exports of everything at once.

Source: FSx API reference, CreateDataRepositoryTask (Paths), DataRepositoryTaskStatus, CompletionReport; FSx for Lustre
user guide, "Exporting changes to the data repository": a task exports "only data files and metadata that were created
or modified since the last export", and "Working with task completion reports".
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pcinfra.localcloud.services.fsx.model import Task
from pcinfra.localcloud.services.fsx.posix import signature
from pcinfra.localcloud.services.fsx.repository import Failed, Repository
from pcinfra.localcloud.services.fsx.tasks import EXPORT, IMPORT, covers
from pcinfra.localcloud.services.fsx.transfer import Link, export_file, import_object
from pcinfra.localcloud.services.fsx.tree import Unfollowable

Move = Callable[[], None]
_REPORTS = {IMPORT: "report.csv", EXPORT: "failures.csv"}


@dataclass(frozen=True, slots=True)
class _Item:
    path: str
    move: Move


def run(task: Task, links: list[Link]) -> None:
    """Do the task's work over the associations of its file system, unless it is cancelled on the way.

    A task that had begun when the local cloud was stopped begins anew; what it had moved is not moved again.
    """
    task.succeeded = task.failed = 0
    failures: list[tuple[str, str]] = []
    try:
        items = [item for link in links if covers(link.association, task.paths) for item in _items(task, link)]
    except Unfollowable as error:
        task.failure, items = str(error), []
    for item in items:
        if task.cancelled_at is not None or any(link.ended() for link in links):
            return
        code = _attempt(item.move)
        task.succeeded, task.failed = task.succeeded + (not code), task.failed + bool(code)
        if code:
            failures.append((item.path, code))
    if task.report.get("Enabled"):
        _write_report(task, links, failures)
    task.done_at = time.time()


def _attempt(move: Move) -> str:
    """Return the error code; empty when it went well. A file that has gone in the meantime needs no export."""
    try:
        move()
    except Failed as error:
        return str(error)
    except FileNotFoundError:
        pass
    return ""


def _items(task: Task, link: Link) -> Iterator[_Item]:
    if task.type == IMPORT and not link.repository.exists:
        bucket, prefix = link.repository.bucket, link.repository.prefix
        raise Unfollowable(f"Failed to list S3 objects in S3 bucket {bucket} with prefix {prefix}.")
    yield from _imports(task, link) if task.type == IMPORT else _exports(task, link)


def _exports(task: Task, link: Link) -> Iterator[_Item]:
    for path, status in sorted(link.tree.listing().found.items()):
        inside = f"{link.association.path.strip('/')}/{path}".lstrip("/")
        if _selected(task, inside) and signature(status) != link.ledger.archived.get(path):
            yield _Item(inside, lambda path=path: export_file(link, path, closed=False))  # type: ignore[misc]


def _imports(task: Task, link: Link) -> Iterator[_Item]:
    root = link.association.repository.rstrip("/")
    for path, mark in sorted(link.repository.listing().items()):
        inside = f"{link.association.path.strip('/')}/{path}".lstrip("/")
        if _selected(task, f"{root}/{path}", inside):
            yield _Item(inside, lambda path=path, mark=mark: _import(link, path, mark))  # type: ignore[misc]


def _import(link: Link, path: str, mark: str) -> None:
    """A file that is there stays if the object has not changed, or if its content is nowhere else."""
    status = link.tree.status(path)
    archived = link.ledger.archived.get(path)
    if status and archived and (link.ledger.objects.get(path) == mark or signature(status) != archived):
        return
    if status and not archived and not path.endswith("/") and path in link.ledger.files:
        return
    import_object(link, path)


def _selected(task: Task, *names: str) -> bool:
    wanted = [path.strip("/") for path in task.paths]
    return not wanted or any(not w or f"{name}/".startswith(f"{w}/") for w in wanted for name in names)


def _write_report(task: Task, links: list[Link], failures: list[tuple[str, str]]) -> None:
    """FAILED_FILES_ONLY is the only scope."""
    report = f"{task.report['Path'].rstrip('/')}/{task.id}/{_REPORTS[task.type]}"
    bucket, _, key = report.removeprefix("s3://").partition("/")
    if not any(f"{report}/".startswith(f"{link.association.repository.rstrip('/')}/") for link in links):
        task.failure = (
            f"Failed to upload data repository task completion report into bucket {bucket} because the completion "
            f"report path {task.report['Path']} does not belong to a data repository associated with this file system"
        )
        return
    try:
        Repository(bucket, "").put_key(key, report_csv(failures), ContentType="text/csv")
    except Failed:
        task.failure = f"Failed to upload data repository task completion report into {bucket}"


def report_csv(failures: list[tuple[str, str]]) -> bytes:
    """Return the fields FilePath, FileStatus and ErrorCode of every file that failed.

    "Paths starting with any of the following characters are contained in quotation marks: @ + - =", before RFC 4180
    quotes them once more: ``@a`` becomes three quotation marks, ``@a`` and three quotation marks.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for path, code in failures:
        shown = path.encode("utf-8", "backslashreplace").decode()
        writer.writerow([f'"{shown}"' if shown.startswith(("@", "+", "-", "=")) else shown, "failed", code])
    return text.getvalue().encode()
