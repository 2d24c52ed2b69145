"""What the stage *associations* does to FSx: the operations of its Actions, and the probes that they wait by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.engine import Pending
from pcinfra.errors import CloudError, NotFound, ResourceFailed
from pcinfra.stages.recovery import STACK

if TYPE_CHECKING:
    from pcinfra.doors import Doors

IMPORT_POLICY, EXPORT_POLICY = "AutoImportPolicy", "AutoExportPolicy"


@dataclass(frozen=True, slots=True)
class Found:
    """One association as it is. ``ours``: it carries the tag of this project."""

    id: str
    path: str
    repository: str
    state: str
    policies: Mapping[str, tuple[str, ...]]
    failure: str
    ours: bool
    created: str = ""  # ISO 8601


@dataclass(frozen=True, slots=True)
class Wanted:
    """An association that the project asks for. ``file_system`` is empty while the stack does not exist."""

    name: str
    path: str
    repository: str
    policies: tuple[tuple[str, tuple[str, ...]], ...]
    batch_import: bool
    tags: tuple[tuple[str, str], ...]
    file_system: str

    @property
    def s3(self) -> dict[str, Any]:
        """FSx's ``S3`` configuration."""
        return {policy: {"Events": list(events)} for policy, events in self.policies}


@dataclass(frozen=True, slots=True)
class AssociationProbe:
    """Reads associations by id, all in one call."""

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, Any]:
        """Return FSx's description of each; those that are gone are left out."""
        call = doors.cloud.call
        try:
            rows = call("fsx", "DescribeDataRepositoryAssociations", AssociationIds=sorted(keys))["Associations"]
        except NotFound:
            rows = [row for key in keys for row in _one(doors, key)]
        return {row["AssociationId"]: row for row in rows}


def _one(doors: Doors, key: str) -> list[dict[str, Any]]:
    try:
        answer = doors.cloud.call("fsx", "DescribeDataRepositoryAssociations", AssociationIds=[key])
    except NotFound:
        return []
    rows: list[dict[str, Any]] = answer["Associations"]
    return rows


def _until_available(path: str) -> Any:
    def judge(row: dict[str, Any] | None) -> tuple[str] | None:
        state = row["Lifecycle"] if row else "gone"
        if row and state == "AVAILABLE":
            return (row["AssociationId"],)
        if state in ("CREATING", "UPDATING"):
            return None
        failure = ((row or {}).get("FailureDetails") or {}).get("Message", "")
        raise ResourceFailed(
            f"{state}: {failure}", where=f"association {path}",
            hint="check that the bucket exists and FSx may use it, then: pcinfra up",
        )  # fmt: skip

    return judge


def _until_gone(path: str) -> Any:
    def judge(row: dict[str, Any] | None) -> tuple[None] | None:
        if row is None:
            return (None,)
        if row["Lifecycle"] == "FAILED":
            failure = (row.get("FailureDetails") or {}).get("Message", "")
            raise ResourceFailed(f"deletion failed: {failure}", where=f"association {path}", hint="pcinfra down")
        return None

    return judge


def _progress(row: dict[str, Any] | None) -> str:
    return str(row["Lifecycle"]) if row else ""


@dataclass(frozen=True, slots=True)
class CreateAssociation:
    """Create the association. The result is its id.

    The client request token is made of the file system and the settings: the same request twice, also from two
    runs at once, makes one association (FSx API reference, ClientRequestToken).
    """

    wanted: Wanted

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        wanted = self.wanted
        file_system = wanted.file_system or results[STACK].outputs["FSxLustreFilesystemId"]
        token = hashlib.sha256(repr((file_system, wanted)).encode()).hexdigest()[:60]
        answer = doors.cloud.call(
            "fsx", "CreateDataRepositoryAssociation", FileSystemId=file_system, FileSystemPath=wanted.path,
            DataRepositoryPath=wanted.repository, BatchImportMetaDataOnCreate=wanted.batch_import, S3=wanted.s3,
            ClientRequestToken=token, Tags=[{"Key": k, "Value": v} for k, v in wanted.tags],
        )  # fmt: skip
        return Pending(
            AssociationProbe(), answer["Association"]["AssociationId"], _until_available(wanted.path), _progress
        )


@dataclass(frozen=True, slots=True)
class WaitForAssociation:
    """Wait for an association that is being created. The result is its id."""

    id: str
    path: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        return Pending(AssociationProbe(), self.id, _until_available(self.path), _progress)


@dataclass(frozen=True, slots=True)
class UpdateAssociation:
    """Change the events of an association. The result is its id."""

    wanted: Wanted
    id: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        policies = {policy: {"Events": []} for policy in (IMPORT_POLICY, EXPORT_POLICY)} | self.wanted.s3
        doors.cloud.call("fsx", "UpdateDataRepositoryAssociation", AssociationId=self.id, S3=policies)
        return Pending(AssociationProbe(), self.id, _until_available(self.wanted.path), _progress)


@dataclass(frozen=True, slots=True)
class DeleteAssociation:
    """Delete the link; what is on Lustre and in S3 stays."""

    id: str
    path: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        delete = {"AssociationId": self.id, "DeleteDataInFileSystem": False}
        try:
            doors.cloud.call("fsx", "DeleteDataRepositoryAssociation", **delete)
        except CloudError:
            if any(row["Lifecycle"] != "DELETING" for row in _one(doors, self.id)):
                raise  # neither gone nor on its way
        return Pending(AssociationProbe(), self.id, _until_gone(self.path), _progress)


@dataclass(frozen=True, slots=True)
class PauseExport:
    """Switch automatic export off, and leave import as it is.

    Source: FSx API reference, DeleteFileSystem: automatic export has to be disabled before an export data
    repository task is executed.
    """

    found: Found

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        events = {**self.found.policies, EXPORT_POLICY: ()}
        policies = {policy: {"Events": list(kinds)} for policy, kinds in events.items()}
        doors.cloud.call("fsx", "UpdateDataRepositoryAssociation", AssociationId=self.found.id, S3=policies)
        return Pending(AssociationProbe(), self.found.id, _until_available(self.found.path), _progress)


@dataclass(frozen=True, slots=True)
class ExportPaths:
    """Export what is on Lustre and not yet in S3, with a data repository task, and wait for its end."""

    file_system: str
    paths: tuple[str, ...]

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        answer = doors.cloud.call(
            "fsx", "CreateDataRepositoryTask", Type="EXPORT_TO_REPOSITORY", FileSystemId=self.file_system,
            Paths=[path.strip("/") for path in self.paths], Report={"Enabled": False},
        )  # fmt: skip
        return Pending(TaskProbe(), answer["DataRepositoryTask"]["TaskId"], _until_exported, _progress)


@dataclass(frozen=True, slots=True)
class WaitForTasks:
    """Wait until the file system has no data repository task under way.

    Source: FSx API reference, DeleteDataRepositoryAssociation: it fails with 400 while there is one.
    """

    file_system: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        return Pending(ActiveTaskProbe(), self.file_system, lambda tasks: None if tasks else (None,))


@dataclass(frozen=True, slots=True)
class ActiveTaskProbe:
    """Reads the tasks under way, by file system."""

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, Any]:
        """Return the ids of the PENDING and EXECUTING tasks of each file system."""
        rows = doors.cloud.pages(
            "fsx", "DescribeDataRepositoryTasks", "DataRepositoryTasks",
            Filters=[
                {"Name": "file-system-id", "Values": sorted(keys)},
                {"Name": "task-lifecycle", "Values": ["PENDING", "EXECUTING"]},
            ],
        )  # fmt: skip
        return {key: [row["TaskId"] for row in rows if row["FileSystemId"] == key] for key in keys}


@dataclass(frozen=True, slots=True)
class TaskProbe:
    """Reads data repository tasks by id, all in one call."""

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, Any]:
        """Return FSx's description of each."""
        rows = doors.cloud.call("fsx", "DescribeDataRepositoryTasks", TaskIds=sorted(keys))["DataRepositoryTasks"]
        return {row["TaskId"]: row for row in rows}


def _until_exported(row: dict[str, Any] | None) -> tuple[None] | None:
    if row is None or row["Lifecycle"] in ("PENDING", "EXECUTING", "CANCELING"):
        return None
    counts = row.get("Status") or {}
    total, done, failed = (counts.get(f"{name}Count") or 0 for name in ("Total", "Succeeded", "Failed"))
    if row["Lifecycle"] == "SUCCEEDED" and not failed and done >= total:
        return (None,)
    failure = (row.get("FailureDetails") or {}).get("Message", "")
    failure = f"{failure} {done} of {total} file(s) are in S3, {failed} failed".strip()
    raise ResourceFailed(
        f"{row['Lifecycle']}: {failure}", where="export to S3",
        hint="mend it and repeat, or give up what is only on Lustre: pcinfra down --skip-export",
    )  # fmt: skip
