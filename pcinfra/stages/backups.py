"""The FSx backups that outlive the stack: FSx takes a last one of OpenZFS, and CloudFormation cannot say not to.

Source: FSx API reference, DeleteFileSystemOpenZFSConfiguration, SkipFinalBackup ("by default, Amazon FSx creates a
final backup"); the stack lets file systems hand their tags to their backups, and by these they are found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pcinfra.engine import Action, Kind
from pcinfra.errors import NotFound

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors
    from pcinfra.project import Project

BACKUPS = "prerequisites/backups"


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """The backups that carry the project's tag: their ids, by file system. Read for a teardown only."""

    found: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(map(len, self.found.values()))


@dataclass(frozen=True, slots=True)
class ReadBackups:
    """Look for the project's backups. The result is :class:`BackupFacts`."""

    project: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> BackupFacts:
        found: dict[str, tuple[str, ...]] = {}
        for row in _all(doors.cloud):
            if _ours(row, self.project):
                system = row["FileSystem"]["FileSystemId"]
                found[system] = (*found.get(system, ()), row["BackupId"])
        return BackupFacts(found)


def deletion(project: Project, file_system: str, facts: BackupFacts, after: str = "") -> Action:
    """Return the Action that deletes the backups of ``file_system``, and all that earlier teardowns left."""
    systems = sorted({*facts.found, file_system} - {""})
    loses = f"{facts.count} backup(s) of /home" if facts.count else ""
    return Action(
        BACKUPS, Kind.DELETE, f"backups of {', '.join(systems) or 'OpenZFS'}", "final_backup is false, and they cost",
        DeleteBackups(project.project, file_system), frozenset({after} - {""}), loses=loses,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DeleteBackups:
    """Delete the project's backups, and those of a file system that is gone; the result is their number."""

    project: str
    file_system: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> int:
        wanted = [
            row["BackupId"]
            for row in _all(doors.cloud)
            if row["FileSystem"]["FileSystemId"] == self.file_system or _ours(row, self.project)
        ]
        for backup in wanted:
            _delete(doors.cloud, backup)
        return len(wanted)


def _all(cloud: Cloud) -> list[dict[str, Any]]:
    """Return every backup of a file system; FSx's filters know no tags, and a volume's backup is not ours."""
    return [row for row in cloud.pages("fsx", "DescribeBackups", "Backups") if "FileSystem" in row]


def _ours(row: Mapping[str, Any], project: str) -> bool:
    return {"Key": "pcinfra:project", "Value": project} in row.get("Tags", [])


def _delete(cloud: Cloud, backup: str) -> None:
    try:
        cloud.call("fsx", "DeleteBackup", BackupId=backup)
    except NotFound:
        return  # the answer to an earlier attempt was lost
