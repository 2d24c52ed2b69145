"""Data repository tasks: bulk imports and exports of a Lustre file system.

Source: FSx API reference, CreateDataRepositoryTask, CancelDataRepositoryTask, DescribeDataRepositoryTasks,
CompletionReport; DeleteFileSystem about automatic export and export tasks.
"""

from __future__ import annotations

import time
from typing import Any

from pcinfra.localcloud.services.fsx.backend import FsxBackend, checked_tags, page
from pcinfra.localcloud.services.fsx.errors import bad_request, not_found, refused
from pcinfra.localcloud.services.fsx.model import Association, Task

IMPORT, EXPORT = "IMPORT_METADATA_FROM_REPOSITORY", "EXPORT_TO_REPOSITORY"


def create(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """CreateDataRepositoryTask."""
    made = backend.once("CreateDataRepositoryTask", request, backend.tasks, lambda: _make(backend, request))
    return {"DataRepositoryTask": made.describe()}


def describe(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeDataRepositoryTasks, by ids or filters file-system-id and task-lifecycle."""
    wanted = request.get("TaskIds")
    rows = [_find(backend, i) for i in wanted] if wanted else list(backend.tasks.values())
    for condition in request.get("Filters") or []:
        rows = [row for row in rows if _passes(row, condition["Name"], condition["Values"])]
    shown, token = page(rows, request)
    return {"DataRepositoryTasks": [row.describe() for row in shown], "NextToken": token}


def cancel(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """CancelDataRepositoryTask: "in either the PENDING or EXECUTING state"."""
    task = _find(backend, request["TaskId"])
    if not task.running:
        raise refused("DataRepositoryTaskEnded", f"Data repository task '{task.id}' has ended.")
    task.cancelled_at = time.time()
    return {"TaskId": task.id, "Lifecycle": "CANCELING"}


def begin_batch_import(backend: FsxBackend, association: Association) -> None:
    """BatchImportMetaDataOnCreate: an import task runs "after the data repository association is created"."""
    task = Task(
        id=backend.new("task"),
        arn="",
        file_system=association.file_system,
        type=IMPORT,
        paths=[association.path],
        report={"Enabled": False},
        start_at=association.ready_at,
    )
    backend.tasks[task.id] = _ready(backend, task)


def _make(backend: FsxBackend, request: dict[str, Any]) -> Task:
    kind, system = request["Type"], backend.file_system(request["FileSystemId"])
    if kind == "AUTO_RELEASE_DATA":
        raise bad_request("AUTO_RELEASE_DATA tasks are for Amazon File Cache.")
    if kind not in (IMPORT, EXPORT):
        raise NotImplementedError(f"data repository tasks of type {kind}")
    linked = [a for a in backend.associations.values() if a.file_system == system.id and a.lifecycle == "AVAILABLE"]
    if not linked:
        raise bad_request("A data repository is not linked to the file system.")
    if backend.running_tasks(system.id):
        message = "An existing data repository task is currently executing on the file system."
        raise refused("DataRepositoryTaskExecuting", message)
    _check_report(request["Report"])
    paths = request.get("Paths") or []
    _check_paths(paths, linked)
    if kind == EXPORT and any(a.events("AutoExportPolicy") for a in linked if covers(a, paths)):
        raise bad_request("Disable automatic export before executing an export data repository task.")
    task = Task(
        id=backend.new("task"),
        arn="",
        file_system=system.id,
        type=kind,
        paths=paths,
        report=request["Report"],
        tags=checked_tags(request.get("Tags")),
    )
    return _ready(backend, task)


def _ready(backend: FsxBackend, task: Task) -> Task:
    """Without content of file systems there is nothing to do."""
    task.arn = backend.arn(f"task/{task.id}")
    task.done_at = None if backend.storage else task.start_at
    return task


def _check_report(report: dict[str, Any]) -> None:
    """ "If Enabled is set to true, then you must provide Path, Format and Scope"."""
    missing = [name for name in ("Path", "Format", "Scope") if report.get("Enabled") and not report.get(name)]
    if missing:
        raise bad_request(f"The completion report requires {', '.join(missing)}.")


def _check_paths(paths: list[str], linked: list[Association]) -> None:
    for path in paths:
        if not any(covers(association, [path]) for association in linked):
            raise bad_request(f"The path {path} is not linked to a data repository.")


def covers(association: Association, paths: list[str]) -> bool:
    """Return whether a task with these paths, none for all, touches the association."""
    if not paths:
        return True
    roots = (association.path.strip("/"), association.repository)
    return any(not root or f"{path.strip('/')}/".startswith(f"{root.rstrip('/')}/") for path in paths for root in roots)


def _find(backend: FsxBackend, wanted: str) -> Task:
    if wanted not in backend.tasks:
        raise not_found("DataRepositoryTaskNotFound", "Data repository task", wanted)
    return backend.tasks[wanted]


def _passes(task: Task, name: str, values: list[str]) -> bool:
    if name == "task-lifecycle":
        return task.lifecycle in values
    if name == "file-system-id":
        return task.file_system in values
    if name in ("data-repository-association-id", "file-cache-id"):
        return False
    raise bad_request(f"The filter {name} is not supported for data repository tasks.")
