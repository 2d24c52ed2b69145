"""Stage *associations*: FSx data repository associations between Lustre directories and prefixes of the bucket.

Source of the rules: FSx for Lustre user guide, "Linking your file system to an S3 bucket", and the FSx API
reference, CreateDataRepositoryAssociation. They are made one at a time for a file system: two in parallel can fail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pcinfra.engine import Action, Change, Kind, Pending, Plan
from pcinfra.errors import CloudError, NotFound, ResourceFailed
from pcinfra.stages.base import Facts, Health, Resource
from pcinfra.stages.bucket import BUCKET, Bucket, BucketFacts
from pcinfra.stages.prerequisites import STACK, Prerequisites, StackFacts

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Association, Project

EXPORT = "associations/export"
MOUNT = "/lustre"
VARIABLES = {
    "LUSTRE_DATA_DIR": "data",
    "LUSTRE_CHECKPOINT_DIR": "checkpoints",
    "LUSTRE_LOG_DIR": "logs",
    "LUSTRE_RESULTS_DIR": "results",
}
IMPORT_POLICY, EXPORT_POLICY = "AutoImportPolicy", "AutoExportPolicy"
_DIRECTIONS = ((IMPORT_POLICY, "auto_import"), (EXPORT_POLICY, "auto_export"))


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


@dataclass(frozen=True, slots=True)
class AssociationFacts:
    """The associations of the Lustre file system, by their path on it."""

    file_system: str = ""
    found: Mapping[str, Found] = ()  # type: ignore[assignment]

    def at(self, path: str) -> Found | None:
        """Return the association at ``path``."""
        return dict(self.found).get(path)


class Associations:
    """The links between Lustre and S3."""

    name: ClassVar[str] = "associations"
    needs: ClassVar[tuple[str, ...]] = (Prerequisites.name, Bucket.name)

    def read(self, project: Project, doors: Doors, facts: Facts) -> AssociationFacts:
        file_system = facts.of(StackFacts).outputs.get("FSxLustreFilesystemId", "")
        if not file_system:
            return AssociationFacts("", {})
        rows = doors.cloud.pages(
            "fsx", "DescribeDataRepositoryAssociations", "Associations",
            Filters=[{"Name": "file-system-id", "Values": [file_system]}],
        )  # fmt: skip
        return AssociationFacts(file_system, {row["FileSystemPath"]: _parse(row, project) for row in rows})

    def up(self, project: Project, facts: Facts) -> Plan:
        found = facts.of(AssociationFacts)
        bucket = facts.of(BucketFacts).name
        actions: list[Action] = []
        wanted_paths = {association.path for association in project.associations.values()}
        for path, extra in found.found.items():
            if path not in wanted_paths and extra.ours:
                actions.append(_delete(extra, "is not in pcinfra.yaml any more", actions))
        for name, wanted in project.associations.items():
            actions += _bring(
                Wanted.of(project, name, wanted, bucket, found.file_system), found.at(wanted.path), actions
            )
        strangers = [p for p, a in found.found.items() if p not in wanted_paths and not a.ours]
        notes = (f"associations not made by pcinfra are left alone: {', '.join(strangers)}",) if strangers else ()
        return Plan(tuple(actions), notes)

    def down(self, project: Project, facts: Facts) -> Plan:
        found = facts.of(AssociationFacts)
        if not any(a.ours for a in found.found.values()):
            return Plan()
        actions = [_wait_for_tasks(found.file_system)]
        wanted = {a.path for a in project.associations.values() if a.auto_export}
        exporting = [a for a in found.found.values() if a.ours and (a.policies.get(EXPORT_POLICY) or a.path in wanted)]
        alive = [a for a in exporting if a.state in ("AVAILABLE", "UPDATING")]
        for association in alive:
            if association.policies.get(EXPORT_POLICY):
                actions.append(_pause(association, actions))
        if alive:
            actions.append(_export(found.file_system, [a.path for a in alive], actions))
        for association in found.found.values():
            if association.ours:
                actions.append(_delete(association, "data stays in S3", actions))
        return Plan(tuple(actions))

    def status(self, project: Project, facts: Facts) -> list[Resource]:
        found = facts.of(AssociationFacts)
        bucket = facts.of(BucketFacts).name
        rows = []
        for name, wanted in project.associations.items():
            what = f"{MOUNT}{wanted.path} ↔ s3://{bucket}/{wanted.prefix}"
            there = found.at(wanted.path)
            if there is None:
                rows.append(Resource(self.name, what, "", Health.ABSENT))
                continue
            target = Wanted.of(project, name, wanted, bucket, found.file_system)
            rows.append(Resource(self.name, what, there.id, _health(target, there), _describe(there)))
        return rows

    def env(self, project: Project, facts: Facts) -> dict[str, str]:
        paths = {name: association.path for name, association in project.associations.items()}
        return {variable: MOUNT + paths.get(name, f"/{name}") for variable, name in VARIABLES.items()}


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

    @classmethod
    def of(cls, project: Project, name: str, settings: Association, bucket: str, file_system: str) -> Wanted:
        policies = tuple((policy, tuple(getattr(settings, field))) for policy, field in _DIRECTIONS)
        return cls(
            name, settings.path, f"s3://{bucket}/{settings.prefix}", tuple((k, v) for k, v in policies if v),
            settings.batch_import, tuple(sorted(project.tags_for(Associations.name).items())), file_system,
        )  # fmt: skip

    @property
    def s3(self) -> dict[str, Any]:
        """FSx's ``S3`` configuration."""
        return {policy: {"Events": list(events)} for policy, events in self.policies}


def _parse(row: Mapping[str, Any], project: Project) -> Found:
    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", [])}
    s3 = row.get("S3", {})
    policies = {policy: tuple(s3[policy].get("Events", [])) for policy, _ in _DIRECTIONS if s3.get(policy)}
    return Found(
        row["AssociationId"], row["FileSystemPath"], row["DataRepositoryPath"], row["Lifecycle"],
        {policy: events for policy, events in policies.items() if events},
        (row.get("FailureDetails") or {}).get("Message", ""), tags.get("pcinfra:project") == project.project,
    )  # fmt: skip


def _same_policies(wanted: Wanted, found: Found) -> bool:
    return {k: set(v) for k, v in wanted.policies} == {k: set(v) for k, v in found.policies.items()}


def _health(wanted: Wanted, found: Found) -> Health:
    if found.state in ("CREATING", "UPDATING", "DELETING"):
        return Health.BUSY
    if found.state != "AVAILABLE":
        return Health.FAILED
    same = _same_policies(wanted, found) and found.repository.rstrip("/") == wanted.repository.rstrip("/")
    return Health.OK if same else Health.DIFFERS


def _describe(found: Found) -> str:
    words = {IMPORT_POLICY: "import", EXPORT_POLICY: "export"}
    flows = [f"{words[policy]} {','.join(events)}" for policy, events in found.policies.items()]
    return "; ".join([found.state, *flows] + ([found.failure] if found.failure else []))


def _last(actions: list[Action]) -> frozenset[str]:
    """Return what the next Action waits for: one at a time for a file system."""
    return frozenset({actions[-1].id} if actions else {STACK, BUCKET, "bucket/folders"})


def _bring(wanted: Wanted, found: Found | None, before: list[Action]) -> list[Action]:
    """Return the Actions that make ``found`` what is ``wanted``."""
    if found is None:
        return [_create(wanted, "does not exist", before)]
    if found.state == "FAILED" or found.repository.rstrip("/") != wanted.repository.rstrip("/"):
        why = f"failed: {found.failure}" if found.state == "FAILED" else f"is tied to {found.repository}"
        gone = _delete(found, why, before, "clear-")
        return [gone, _create(wanted, why, [*before, gone])]
    if found.state == "DELETING":
        gone = _delete(found, "is being deleted", before, "clear-")
        return [gone, _create(wanted, "does not exist", [*before, gone])]
    if not _same_policies(wanted, found):
        return [_update(wanted, found, before)]
    if found.state == "CREATING":
        return [_wait(wanted, found, before)]
    return []


def _create(wanted: Wanted, why: str, before: list[Action]) -> Action:
    changes = tuple(Change(policy, None, ",".join(events)) for policy, events in wanted.policies)
    return Action(
        f"associations/{wanted.name}", Kind.CREATE, f"association {wanted.path} ↔ {wanted.repository}", why,
        CreateAssociation(wanted), _last(before), seconds=75, changes=changes,
    )  # fmt: skip


def _update(wanted: Wanted, found: Found, before: list[Action]) -> Action:
    new = dict(wanted.policies)
    keys = [policy for policy, _ in _DIRECTIONS]
    changes = tuple(
        Change(k, ",".join(found.policies.get(k, ())) or None, ",".join(new.get(k, ())) or None)
        for k in keys
        if set(found.policies.get(k, ())) != set(new.get(k, ()))
    )
    return Action(
        f"associations/{wanted.name}", Kind.UPDATE, f"association {wanted.path}", "events differ",
        UpdateAssociation(wanted, found.id), _last(before), seconds=30, changes=changes,
    )  # fmt: skip


def _wait(wanted: Wanted, found: Found, before: list[Action]) -> Action:
    return Action(
        f"associations/{wanted.name}", Kind.RUN, f"wait for association {wanted.path}", "is being created",
        WaitForAssociation(found.id, wanted.path), _last(before), seconds=75,
    )  # fmt: skip


def _delete(found: Found, why: str, before: list[Action], mark: str = "") -> Action:
    return Action(
        f"associations/{mark}{found.path.strip('/') or 'root'}", Kind.DELETE, f"association {found.path}", why,
        DeleteAssociation(found.id, found.path), _last(before), seconds=60,
    )  # fmt: skip


def _wait_for_tasks(file_system: str) -> Action:
    return Action(
        "associations/tasks", Kind.RUN, f"wait for the data repository tasks of {file_system}",
        "an association with a task under way cannot be deleted", WaitForTasks(file_system), seconds=5,
    )  # fmt: skip


def _pause(found: Found, before: list[Action]) -> Action:
    return Action(
        f"{EXPORT}-pause-{found.path.strip('/')}", Kind.UPDATE, f"automatic export of {found.path}",
        "off, so that a last export can run", PauseExport(found), _last(before), seconds=30,
    )  # fmt: skip


def _export(file_system: str, paths: list[str], before: list[Action]) -> Action:
    return Action(
        EXPORT, Kind.RUN, f"export {' '.join(paths)} to S3", "so that nothing on Lustre is lost",
        ExportPaths(file_system, tuple(paths)), _last(before), seconds=120,
    )  # fmt: skip


# --- operations --------------------------------------------------------------------------------------------------


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
        policies = {policy: {"Events": []} for policy, _ in _DIRECTIONS} | self.wanted.s3
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
    if row["Lifecycle"] == "SUCCEEDED":
        return (None,)
    failure = (row.get("FailureDetails") or {}).get("Message", "")
    raise ResourceFailed(
        f"{row['Lifecycle']}: {failure}", where="export to S3",
        hint="mend it and repeat, or give up what is only on Lustre: pcinfra down --skip-export",
    )  # fmt: skip
