"""What FSx keeps: plain data, from which the API's descriptions are made."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from pcinfra.localcloud.services.fsx.clock import Timed, delay
from pcinfra.localcloud.services.fsx.ledger import Ledger

Tags = list[dict[str, str]]


@dataclass
class FileSystem(Timed):
    """``kind`` is LUSTRE or OPENZFS, and ``configuration`` the LustreConfiguration or OpenZFSConfiguration."""

    id: str = ""
    arn: str = ""
    kind: str = ""
    owner: str = ""
    region: str = ""
    capacity: int = 0
    storage: str = "SSD"
    version: str = ""
    vpc: str = ""
    subnets: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    interfaces: list[str] = field(default_factory=list)
    kms_key: str = ""
    configuration: dict[str, Any] = field(default_factory=dict)
    root_volume: str = ""
    tags: Tags = field(default_factory=list)

    @property
    def linked(self) -> bool:
        """Whether it was created with an ImportPath, the older way to S3."""
        return "DataRepositoryConfiguration" in self.configuration

    def describe(self) -> dict[str, Any]:
        """Return the API's FileSystem. A file system that is updated stays AVAILABLE, as on AWS."""
        lifecycle = self.lifecycle
        row = {
            "OwnerId": self.owner,
            "CreationTime": self.created,
            "FileSystemId": self.id,
            "FileSystemType": self.kind,
            "Lifecycle": "AVAILABLE" if lifecycle == "UPDATING" else lifecycle,
            "StorageCapacity": self.capacity,
            "StorageType": self.storage,
            "VpcId": self.vpc,
            "SubnetIds": self.subnets,
            "NetworkInterfaceIds": self.interfaces,
            "DNSName": f"{self.id}.fsx.{self.region}.amazonaws.com",
            "KmsKeyId": self.kms_key,
            "ResourceARN": self.arn,
            "Tags": self.tags,
        }
        if self.kind == "LUSTRE":
            return {**row, "FileSystemTypeVersion": self.version, "LustreConfiguration": self.configuration}
        return {**row, "OpenZFSConfiguration": {**self.configuration, "RootVolumeId": self.root_volume}}


@dataclass
class Volume(Timed):
    """An OpenZFS volume; the root volume has no parent."""

    id: str = ""
    arn: str = ""
    file_system: str = ""
    name: str = ""
    parent: str = ""
    configuration: dict[str, Any] = field(default_factory=dict)
    tags: Tags = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """Return the API's Volume."""
        return {
            "CreationTime": self.created,
            "FileSystemId": self.file_system,
            "Lifecycle": "AVAILABLE" if self.lifecycle == "UPDATING" else self.lifecycle,
            "Name": self.name,
            "ResourceARN": self.arn,
            "Tags": self.tags,
            "VolumeId": self.id,
            "VolumeType": "OPENZFS",
            "OpenZFSConfiguration": self.configuration,
        }


@dataclass
class Association(Timed):
    """A data repository association. ``trouble`` is why it is MISCONFIGURED, empty when it is not."""

    id: str = ""
    arn: str = ""
    file_system: str = ""
    path: str = "/"
    repository: str = ""
    batch_import: bool = False
    chunk_size: int = 1024
    s3: dict[str, Any] = field(default_factory=dict)
    tags: Tags = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def bucket(self) -> str:
        return self.repository.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """Prefix of the keys, with a slash at its end unless it is the whole bucket."""
        inside = self.repository.removeprefix("s3://").partition("/")[2].strip("/")
        return f"{inside}/" if inside else ""

    def events(self, policy: str) -> list[str]:
        """Events of ``AutoImportPolicy`` or ``AutoExportPolicy``."""
        return list((self.s3.get(policy) or {}).get("Events") or [])

    def describe(self, trouble: str) -> dict[str, Any]:
        """Return the API's DataRepositoryAssociation."""
        lifecycle = self.lifecycle
        misconfigured = bool(trouble) and lifecycle == "AVAILABLE"
        row = {
            "AssociationId": self.id,
            "ResourceARN": self.arn,
            "FileSystemId": self.file_system,
            "Lifecycle": "MISCONFIGURED" if misconfigured else lifecycle,
            "FileSystemPath": self.path,
            "DataRepositoryPath": self.repository,
            "BatchImportMetaDataOnCreate": self.batch_import,
            "ImportedFileChunkSize": self.chunk_size,
            "S3": self.s3,
            "Tags": self.tags,
            "CreationTime": self.created,
        }
        return {**row, "FailureDetails": {"Message": trouble}} if misconfigured else row


@dataclass
class Task:
    """A data repository task. It begins at ``start_at`` and takes at least :func:`~clock.delay`."""

    id: str
    arn: str
    file_system: str
    type: str
    paths: list[str]
    report: dict[str, Any]
    tags: Tags = field(default_factory=list)
    created: float = field(default_factory=time.time)
    start_at: float = field(default_factory=lambda: time.time() + delay() / 4)
    duration: float = field(default_factory=delay)
    cancelled_at: float | None = None
    done_at: float | None = None
    """When its work had been done."""
    succeeded: int = 0
    failed: int = 0
    failure: str = ""
    """Why it failed as a whole."""

    @property
    def due(self) -> bool:
        """Whether its work is to be done now."""
        return self.done_at is None and self.lifecycle == "EXECUTING"

    @property
    def lifecycle(self) -> str:
        now = time.time()
        if self.cancelled_at is not None:
            return "CANCELED"
        if now < self.start_at:
            return "PENDING"
        if self.done_at is None or now < self._end:
            return "EXECUTING"
        return "FAILED" if self.failed or self.failure else "SUCCEEDED"

    @property
    def running(self) -> bool:
        return self.lifecycle in ("PENDING", "EXECUTING")

    @property
    def _end(self) -> float:
        return self.cancelled_at or max(self.done_at or 0.0, self.start_at + self.duration)

    def describe(self) -> dict[str, Any]:
        """Return the API's DataRepositoryTask."""
        lifecycle = self.lifecycle
        row: dict[str, Any] = {
            "TaskId": self.id,
            "Lifecycle": lifecycle,
            "Type": self.type,
            "CreationTime": self.created,
            "ResourceARN": self.arn,
            "Tags": self.tags,
            "FileSystemId": self.file_system,
            "Paths": self.paths,
            "Report": self.report,
        }
        if lifecycle == "FAILED":
            row["FailureDetails"] = {"Message": self.failure or f"{self.failed} files could not be processed."}
        if lifecycle != "PENDING":
            row["StartTime"] = self.start_at
            total = self.succeeded + self.failed
            row["Status"] = {"TotalCount": total, "SucceededCount": self.succeeded, "FailedCount": self.failed}
        if lifecycle not in ("PENDING", "EXECUTING"):
            row["EndTime"] = self._end
        return row


@dataclass
class Backup(Timed):
    """A backup keeps the description of its file system, which may be gone."""

    id: str = ""
    arn: str = ""
    owner: str = ""
    kind: str = "USER_INITIATED"
    file_system: dict[str, Any] = field(default_factory=dict)
    tags: Tags = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """Return the API's Backup."""
        lifecycle = self.lifecycle
        return {
            "BackupId": self.id,
            "Lifecycle": "DELETED" if lifecycle == "DELETING" else lifecycle,
            "Type": self.kind,
            "ProgressPercent": 0 if lifecycle == "CREATING" else 100,
            "CreationTime": self.created,
            "ResourceARN": self.arn,
            "Tags": self.tags,
            "FileSystem": self.file_system,
            "OwnerId": self.owner,
            "ResourceType": "FILE_SYSTEM",
        }
