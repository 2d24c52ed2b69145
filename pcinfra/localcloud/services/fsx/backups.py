"""Backups: those that somebody asks for, and the final one that the deletion of an OpenZFS file system takes."""

from __future__ import annotations

from typing import Any

from pcinfra.localcloud.services.fsx import lustre
from pcinfra.localcloud.services.fsx.backend import FsxBackend, checked_tags, page
from pcinfra.localcloud.services.fsx.errors import bad_request, not_found
from pcinfra.localcloud.services.fsx.model import Backup, FileSystem, Tags


def create(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """CreateBackup of a file system; volumes have backups in ONTAP only."""
    if not request.get("FileSystemId") or request.get("VolumeId"):
        raise bad_request("FileSystemId is required; VolumeId is for FSx for ONTAP volumes.")
    system = backend.file_system(request["FileSystemId"])
    tags = request.get("Tags")
    made = backend.once("CreateBackup", request, backend.backups, lambda: make(backend, system, tags))
    return {"Backup": made.describe()}


def make(backend: FsxBackend, system: FileSystem, tags: Tags | None) -> Backup:
    """Take a backup of ``system``; raise where AWS takes none.

    CreateBackup: "a FSx for Lustre file system that has the persistent deployment type, and is not linked to a data
    repository".
    """
    if system.configuration["DeploymentType"] in lustre.SCRATCH:
        raise bad_request("Backups are not supported on scratch file systems.")
    linked = any(a.file_system == system.id for a in backend.associations.values())
    if system.kind == "LUSTRE" and (system.linked or linked):
        raise bad_request("Backups are not supported on file systems that are linked to a data repository.")
    backup = Backup(id=backend.new("backup"), owner=backend.account_id, file_system=system.describe())
    backup.arn = backend.arn(f"backup/{backup.id}")
    copied = system.tags if system.configuration.get("CopyTagsToBackups") else []
    backup.tags = checked_tags(tags) or [dict(tag) for tag in copied]
    backend.backups[backup.id] = backup
    return backup


def describe(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeBackups, by ids or filters file-system-id, backup-type, file-system-type."""
    backend.forget_gone()
    wanted = request.get("BackupIds")
    rows = [_find(backend, i) for i in wanted] if wanted else list(backend.backups.values())
    for condition in request.get("Filters") or []:
        rows = [row for row in rows if _value(row, condition["Name"]) in condition["Values"]]
    shown, token = page(rows, request)
    return {"Backups": [row.describe() for row in shown], "NextToken": token}


def delete(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteBackup: "the DeleteBackup call returns instantly"."""
    backup = _find(backend, request["BackupId"])
    if backup.lifecycle == "CREATING":
        raise bad_request(f"Backup '{backup.id}' is being created.")
    del backend.backups[backup.id]
    return {"BackupId": backup.id, "Lifecycle": "DELETED"}


def _find(backend: FsxBackend, wanted: str) -> Backup:
    if wanted not in backend.backups:
        raise not_found("BackupNotFound", "Backup", wanted)
    return backend.backups[wanted]


def _value(backup: Backup, name: str) -> str:
    if name == "backup-type":
        return backup.kind
    key = {"file-system-id": "FileSystemId", "file-system-type": "FileSystemType"}.get(name)
    if key is None:
        raise bad_request(f"The filter {name} is not supported for backups of file systems.")
    return str(backup.file_system[key])
