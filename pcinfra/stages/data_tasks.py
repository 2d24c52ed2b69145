"""Data repository tasks: bulk imports and exports between Lustre and S3, and what waits to be exported.

Source: FSx API reference, CreateDataRepositoryTask (the paths of an export are on the file system, those of an
import in S3; one task at a time for a file system); FSx for Lustre user guide, "FSx for Lustre S3 repository metrics".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pcinfra.engine import Action, Kind, Pending, Plan
from pcinfra.errors import AccessDenied, CloudError, ResourceFailed, UsageError
from pcinfra.stages.association_operations import (
    EXPORT_POLICY,
    ExportPaths,
    Found,
    PauseExport,
    TaskProbe,
    UpdateAssociation,
    WaitForTasks,
    Wanted,
)
from pcinfra.stages.associations import MOUNT, AssociationFacts

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors
    from pcinfra.project import Project

IMPORT = "IMPORT_METADATA_FROM_REPOSITORY"
EXPORT = "EXPORT_TO_REPOSITORY"
ACTIVE = ("PENDING", "EXECUTING", "CANCELING")
METRIC = "AgeOfOldestQueuedMessage"
TASK = "data/task"


@dataclass(frozen=True, slots=True)
class Area:
    """A directory on Lustre, and the association that covers it. ``path`` without the mount point."""

    path: str
    association: Found

    @property
    def s3(self) -> str:
        """Its place in S3."""
        rest = self.path[len(self.association.path.rstrip("/")) :].strip("/")
        return self.association.repository.rstrip("/") + "/" + (f"{rest}/" if rest else "")


def areas(project: Project, facts: AssociationFacts, wanted: Iterable[str], exporting: bool) -> list[Area]:
    """Return what ``wanted`` names: associations by name, or directories such as ``/lustre/data/run1``.

    Nothing wanted means every association; for an export, every one that is to export by itself.

    Raises:
        UsageError: no association covers it, or there is none at all.
    """
    if not facts.found:
        raise UsageError("there is no association", where=facts.file_system or "Lustre", hint="pcinfra up")
    asked = list(wanted)
    if asked:
        return [_area(project, facts, name) for name in asked]
    all_of_them = [Area(found.path, found) for found in facts.found.values()]
    return [area for area in all_of_them if not exporting or _exports(project, area.association)] or all_of_them


def _exports(project: Project, found: Found) -> bool:
    wanted = {association.path for association in project.associations.values() if association.auto_export}
    return bool(found.policies.get(EXPORT_POLICY)) or found.path in wanted


def _area(project: Project, facts: AssociationFacts, name: str) -> Area:
    if name in project.associations:
        path = project.associations[name].path
    else:
        path = "/" + name.removeprefix(MOUNT).strip("/")
    for found in facts.found.values():
        if f"{path}/".startswith(f"{found.path.rstrip('/')}/"):
            return Area(path, found)
    raise UsageError(
        "no association covers it", where=name,
        hint=f"one of {', '.join(sorted(project.associations))}, or a directory below {', '.join(sorted(facts.found))}",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Export:
    """An export: ``run`` it, then ``resume`` automatic export whatever came of it."""

    run: Plan
    resume: Plan


def export(project: Project, facts: AssociationFacts, chosen: list[Area]) -> Export:
    """Return what exports ``chosen``.

    Source: FSx API reference, DeleteFileSystem: automatic export has to be off while an export task runs. It is
    switched back to what pcinfra.yaml says, or for other associations to what it was.
    """
    covered = {area.association.path: area.association for area in chosen}.values()
    pauses: list[Action] = []
    for found in covered:
        if found.policies.get(EXPORT_POLICY):
            pauses.append(
                _change(f"data/pause-{found.id}", found, "off while the export runs", PauseExport(found), pauses)
            )
    paths = tuple(area.path for area in chosen)
    what = f"export {' '.join(MOUNT + path for path in paths)} to S3"
    task = Action(
        TASK, Kind.RUN, what, "what is not in S3 as it is on Lustre", ExportPaths(facts.file_system, paths),
        frozenset({pauses[-1].id} if pauses else ()), seconds=120,
    )  # fmt: skip
    resumes: list[Action] = []
    for found in covered:
        if _exports(project, found):
            operation = UpdateAssociation(_as_wanted(project, facts, found), found.id)
            resumes.append(_change(f"data/resume-{found.id}", found, "on again", operation, resumes))
    return Export(Plan((*pauses, task)), Plan(tuple(resumes)))


def _change(action_id: str, found: Found, why: str, operation: Any, before: list[Action]) -> Action:
    """One association of a file system changes at a time."""
    after = frozenset({before[-1].id} if before else ())
    return Action(action_id, Kind.UPDATE, f"automatic export of {MOUNT}{found.path}", why, operation, after, seconds=30)


def _as_wanted(project: Project, facts: AssociationFacts, found: Found) -> Wanted:
    policies = dict(found.policies)
    for association in project.associations.values():
        if association.path == found.path and association.auto_export:
            policies[EXPORT_POLICY] = tuple(association.auto_export)
    return Wanted(
        found.path, found.path, found.repository, tuple(policies.items()), False, (), facts.file_system
    )  # fmt: skip


def cancellation(file_system: str, chosen: list[Area]) -> Plan:
    """Return what ends the export of ``chosen`` that runs on ``file_system``."""
    paths = tuple(area.path for area in chosen)
    cancel = Action("data/cancel", Kind.RUN, "cancel the export", "interrupted", CancelExport(file_system, paths))
    wait = Action(
        "data/wait", Kind.RUN, "wait for the end of the export", "interrupted", WaitForTasks(file_system),
        frozenset({"data/cancel"}), seconds=10,
    )  # fmt: skip
    return Plan((cancel, wait))


def import_(facts: AssociationFacts, chosen: list[Area]) -> Plan:
    """Return what makes Lustre know what S3 holds below ``chosen``; contents come when they are first read."""
    paths = tuple(area.s3 for area in chosen)
    operation = ImportPaths(facts.file_system, paths)
    return Plan(
        (Action(TASK, Kind.RUN, f"import {' '.join(paths)}", "so that Lustre knows it", operation, seconds=60),)
    )


@dataclass(frozen=True, slots=True)
class ImportPaths:
    """Run an import task and wait for its end. The result is FSx's description of it."""

    file_system: str
    paths: tuple[str, ...]

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        answer = doors.cloud.call(
            "fsx", "CreateDataRepositoryTask", Type=IMPORT, FileSystemId=self.file_system, Paths=list(self.paths),
            Report={"Enabled": False},
        )  # fmt: skip
        return Pending(TaskProbe(), answer["DataRepositoryTask"]["TaskId"], _until_imported, _progress)


def _until_imported(row: dict[str, Any] | None) -> tuple[dict[str, Any]] | None:
    if row is None or row["Lifecycle"] in ACTIVE:
        return None
    if row["Lifecycle"] == "SUCCEEDED":
        return (row,)
    failure = (row.get("FailureDetails") or {}).get("Message", "")
    raise ResourceFailed(f"{row['Lifecycle']}: {failure}", where="import from S3", hint="pcinfra data status")


def _progress(row: dict[str, Any] | None) -> str:
    return str(row["Lifecycle"]).lower() if row else ""


@dataclass(frozen=True, slots=True)
class CancelExport:
    """Cancel the task that exports ``paths``, if it still runs; tasks of others are left alone."""

    file_system: str
    paths: tuple[str, ...]

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        mine = {path.strip("/") for path in self.paths}
        for task in tasks(doors.cloud, self.file_system):
            same = {path.strip("/") for path in task.paths} == mine
            if same and task.kind == EXPORT and task.state in ("PENDING", "EXECUTING"):
                _cancel(doors.cloud, task.id)


def _cancel(cloud: Cloud, task: str) -> None:
    try:
        cloud.call("fsx", "CancelDataRepositoryTask", TaskId=task)
    except CloudError as error:
        if error.code != "DataRepositoryTaskEnded":
            raise


# --- what there is --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """One data repository task. Counts are of files; ``begun`` in ISO 8601."""

    id: str
    kind: str
    paths: tuple[str, ...]
    state: str
    begun: str
    total: int
    succeeded: int
    failed: int
    failure: str


def tasks(cloud: Cloud, file_system: str) -> list[Task]:
    """Return the tasks of ``file_system`` that FSx remembers, the newest first (it forgets them after 14 days)."""
    rows = cloud.pages(
        "fsx", "DescribeDataRepositoryTasks", "DataRepositoryTasks",
        Filters=[{"Name": "file-system-id", "Values": [file_system]}],
    )  # fmt: skip
    return [_task(row) for row in sorted(rows, key=lambda row: row["CreationTime"], reverse=True)]


def _task(row: Mapping[str, Any]) -> Task:
    counts = row.get("Status") or {}
    total, succeeded, failed = (int(counts.get(f"{name}Count") or 0) for name in ("Total", "Succeeded", "Failed"))
    failure = (row.get("FailureDetails") or {}).get("Message", "")
    begun = row["CreationTime"].astimezone(UTC).isoformat(timespec="seconds")
    paths = tuple(row.get("Paths") or ())
    return Task(row["TaskId"], row["Type"], paths, row["Lifecycle"], begun, total, succeeded, failed, failure)


def oldest_waiting(cloud: Cloud, file_system: str) -> float | None:
    """Return the age in seconds of the oldest change that waits for automatic export or import; None: not known.

    CloudWatch tells it (namespace AWS/FSx, AgeOfOldestQueuedMessage), a minute or two late.
    """
    where = {"Namespace": "AWS/FSx", "MetricName": METRIC}
    mine = [{"Name": "FileSystemId", "Value": file_system}]
    now = datetime.now(UTC)
    try:
        metrics = cloud.pages("cloudwatch", "ListMetrics", "Metrics", Dimensions=mine, **where)
        values = [
            _latest(cloud.call(
                "cloudwatch", "GetMetricStatistics", Dimensions=metric["Dimensions"], Statistics=["Maximum"],
                StartTime=now - timedelta(minutes=15), EndTime=now, Period=60, **where,
            )["Datapoints"])
            for metric in metrics
        ]  # fmt: skip
    except AccessDenied:
        return None
    return max((value for value in values if value is not None), default=None)


def _latest(points: list[Mapping[str, Any]]) -> float | None:
    newest = max(points, key=lambda point: point["Timestamp"], default=None)
    return None if newest is None else float(newest["Maximum"])
