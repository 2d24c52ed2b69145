"""Stage *associations*: FSx data repository associations between Lustre directories and prefixes of the bucket.

Source of the rules: FSx for Lustre user guide, "Linking your file system to an S3 bucket", and the FSx API
reference, CreateDataRepositoryAssociation. They are made one at a time for a file system: two in parallel can fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pcinfra.engine import Action, Change, Kind, Plan
from pcinfra.stages.association_operations import (
    EXPORT_POLICY,
    IMPORT_POLICY,
    CreateAssociation,
    DeleteAssociation,
    ExportPaths,
    Found,
    PauseExport,
    UpdateAssociation,
    WaitForAssociation,
    WaitForTasks,
    Wanted,
)
from pcinfra.stages.base import Facts, Health, Resource
from pcinfra.stages.bucket import BUCKET, Bucket, BucketFacts
from pcinfra.stages.prerequisites import Prerequisites, StackFacts
from pcinfra.stages.recovery import STACK

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
_DIRECTIONS = ((IMPORT_POLICY, "auto_import"), (EXPORT_POLICY, "auto_export"))


@dataclass(frozen=True, slots=True)
class AssociationFacts:
    """The associations of the Lustre file system, by their path on it."""

    file_system: str = ""
    found: Mapping[str, Found] = field(default_factory=dict)

    def at(self, path: str) -> Found | None:
        """Return the association at ``path``."""
        return self.found.get(path)


class Associations:
    """The links between Lustre and S3."""

    name: ClassVar[str] = "associations"
    needs: ClassVar[tuple[str, ...]] = (Prerequisites.name, Bucket.name)

    def read(self, project: Project, doors: Doors, facts: Facts) -> AssociationFacts:
        file_system = facts.of(StackFacts).lustre
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
            actions += _bring(_wanted(project, name, wanted, bucket, found.file_system), found.at(wanted.path), actions)
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
            target = _wanted(project, name, wanted, bucket, found.file_system)
            health = _health(target, there)
            rows.append(Resource(self.name, what, there.id, health, _describe(there), there.created))
        return rows

    def env(self, project: Project, facts: Facts) -> dict[str, str]:
        paths = {name: association.path for name, association in project.associations.items()}
        return {variable: MOUNT + paths.get(name, f"/{name}") for variable, name in VARIABLES.items()}


def _wanted(project: Project, name: str, settings: Association, bucket: str, file_system: str) -> Wanted:
    policies = tuple((policy, tuple(getattr(settings, key))) for policy, key in _DIRECTIONS)
    return Wanted(
        name, settings.path, f"s3://{bucket}/{settings.prefix}", tuple((k, v) for k, v in policies if v),
        settings.batch_import, tuple(sorted(project.tags_for(Associations.name).items())), file_system,
    )  # fmt: skip


def _parse(row: Mapping[str, Any], project: Project) -> Found:
    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", [])}
    s3 = row.get("S3", {})
    policies = {policy: tuple(s3[policy].get("Events", [])) for policy, _ in _DIRECTIONS if s3.get(policy)}
    return Found(
        row["AssociationId"], row["FileSystemPath"], row["DataRepositoryPath"], row["Lifecycle"],
        {policy: events for policy, events in policies.items() if events},
        (row.get("FailureDetails") or {}).get("Message", ""), tags.get("pcinfra:project") == project.project,
        row["CreationTime"].isoformat() if "CreationTime" in row else "",
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
    if found.state == "MISCONFIGURED":
        return [_update(wanted, found, before, f"is misconfigured: {found.failure}")]
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


def _update(wanted: Wanted, found: Found, before: list[Action], why: str = "events differ") -> Action:
    new = dict(wanted.policies)
    keys = [policy for policy, _ in _DIRECTIONS]
    changes = tuple(
        Change(k, ",".join(found.policies.get(k, ())) or None, ",".join(new.get(k, ())) or None)
        for k in keys
        if set(found.policies.get(k, ())) != set(new.get(k, ()))
    )
    return Action(
        f"associations/{wanted.name}", Kind.UPDATE, f"association {wanted.path}", why,
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
