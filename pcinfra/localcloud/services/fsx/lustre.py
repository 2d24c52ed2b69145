"""What FSx for Lustre takes, and what it fills in.

Source: FSx API reference, CreateFileSystem (StorageCapacity, StorageType, FileSystemTypeVersion),
CreateFileSystemLustreConfiguration, CreateFileSystemLustreMetadataConfiguration and UpdateFileSystem.
"""

from __future__ import annotations

import secrets
from typing import Any

from pcinfra.localcloud.services.fsx.errors import bad_request, refused

SCRATCH = ("SCRATCH_1", "SCRATCH_2")
THROUGHPUT = {
    ("PERSISTENT_1", "SSD"): (50, 100, 200),
    ("PERSISTENT_1", "HDD"): (12, 40),
    ("PERSISTENT_2", "SSD"): (125, 250, 500, 1000),
}
"""PerUnitStorageThroughput in MB/s per TiB, by deployment type and storage type."""

HDD_STEP = {12: 6000, 40: 1800}
"""Step of StorageCapacity in GiB, by throughput."""

METADATA_IOPS = (1500, 3000, 6000, *range(12_000, 192_001, 12_000))
EFA_STEP = {125: 38_400, 250: 19_200, 500: 9_600, 1000: 4_800}
"""Step of StorageCapacity in GiB with EFA, by throughput (FSx for Lustre user guide, "Increase storage capacity")."""

VERSIONS = ("2.10", "2.12", "2.15")
MUTABLE = {
    "WeeklyMaintenanceStartTime",
    "DailyAutomaticBackupStartTime",
    "AutomaticBackupRetentionDays",
    "AutoImportPolicy",
    "DataCompressionType",
    "LogConfiguration",
    "RootSquashConfiguration",
    "PerUnitStorageThroughput",
    "MetadataConfiguration",
}


def configuration(request: dict[str, Any]) -> dict[str, Any]:
    """Return the whole LustreConfiguration of the new file system; raise FSx's error if it cannot be."""
    asked = dict(request.get("LustreConfiguration") or {})
    asked.setdefault("DeploymentType", "SCRATCH_1")
    storage = request.get("StorageType") or "SSD"
    _check_storage_type(asked["DeploymentType"], storage)
    _check_throughput(asked["DeploymentType"], storage, asked.get("PerUnitStorageThroughput"))
    _check_capacity(asked, storage, request.get("StorageCapacity"))
    _check_version(asked, request.get("FileSystemTypeVersion"))
    _check_metadata(asked)
    _check_cache(asked, storage)
    _check_repository(asked)
    _check_backups(asked)
    if asked.get("EfaEnabled"):
        _check_efa(asked, int(request["StorageCapacity"]))
    return _filled(asked)


def version(request: dict[str, Any]) -> str:
    """Default 2.10; with PERSISTENT_2 2.12, and 2.15 once metadata is configured."""
    given = request.get("FileSystemTypeVersion")
    if given:
        return str(given)
    asked = request.get("LustreConfiguration") or {}
    if asked.get("DeploymentType") != "PERSISTENT_2":
        return "2.10"
    return "2.15" if asked.get("MetadataConfiguration") else "2.12"


def updated(held: dict[str, Any], storage: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration after UpdateFileSystem."""
    unknown = sorted(set(given) - MUTABLE)
    if unknown:
        raise bad_request(f"{', '.join(unknown)} cannot be updated.")
    after = {**held, **given}
    _check_throughput(after["DeploymentType"], storage, after.get("PerUnitStorageThroughput"))
    _check_metadata(after)
    _check_backups(after)
    return after


def check_growth(held: int, wanted: int, configured: dict[str, Any], storage: str) -> None:
    """ "The value must be greater than the current storage capacity"; SCRATCH_1 cannot grow."""
    if configured["DeploymentType"] == "SCRATCH_1":
        raise bad_request("Storage capacity cannot be increased for the SCRATCH_1 deployment type.")
    if wanted <= held:
        raise bad_request(f"StorageCapacity must be greater than the current value, {held} GiB.")
    _check_capacity(configured, storage, wanted)


def check_newer(held: str, wanted: str) -> None:
    """ "The value you choose must be newer than the file system's current Lustre version"."""
    if wanted not in VERSIONS[1:] or VERSIONS.index(wanted) <= VERSIONS.index(held):
        raise bad_request(f"FileSystemTypeVersion {wanted} is not newer than {held}.")


def _check_storage_type(deployment: str, storage: str) -> None:
    if storage == "INTELLIGENT_TIERING":
        raise NotImplementedError("Lustre with the Intelligent-Tiering storage class")
    if storage == "HDD" and deployment != "PERSISTENT_1":
        raise bad_request("StorageType HDD is supported for the PERSISTENT_1 deployment type only.")


def _check_throughput(deployment: str, storage: str, value: int | None) -> None:
    if deployment in SCRATCH:
        if value is not None:
            raise bad_request(f"PerUnitStorageThroughput is not supported for {deployment} file systems.")
        return
    allowed = THROUGHPUT[deployment, storage]
    if value not in allowed:
        raise refused(
            "InvalidPerUnitStorageThroughput",
            f"PerUnitStorageThroughput for {deployment} {storage} must be one of {_list(allowed)}, not {value}.",
        )


def _check_capacity(asked: dict[str, Any], storage: str, capacity: int | None) -> None:
    if capacity is None:
        raise bad_request("StorageCapacity is required for FSx for Lustre file systems.")
    deployment = asked["DeploymentType"]
    if storage == "HDD":
        step = HDD_STEP[asked["PerUnitStorageThroughput"]]
        good, rule = capacity > 0 and capacity % step == 0, f"a multiple of {step} GiB"
    elif deployment == "SCRATCH_1":
        good, rule = capacity in (1200, 2400) or _multiple(capacity, 3600), "1200, 2400 or a multiple of 3600 GiB"
    else:
        good, rule = capacity == 1200 or _multiple(capacity, 2400), "1200 or a multiple of 2400 GiB"
    if not good:
        raise bad_request(f"StorageCapacity {capacity} is not valid for {deployment} {storage}: it must be {rule}.")


def _check_version(asked: dict[str, Any], given: str | None) -> None:
    if given is None:
        return
    if given not in VERSIONS:
        raise bad_request(f"FileSystemTypeVersion {given} is not one of {_list(VERSIONS)}.")
    if asked["DeploymentType"] == "PERSISTENT_2" and given == "2.10":
        raise bad_request("FileSystemTypeVersion 2.10 is not supported for the PERSISTENT_2 deployment type.")
    if asked.get("MetadataConfiguration") and given != "2.15":
        raise bad_request("MetadataConfiguration is supported with FileSystemTypeVersion 2.15 only.")


def _check_metadata(asked: dict[str, Any]) -> None:
    metadata = asked.get("MetadataConfiguration")
    if metadata is None:
        return
    if asked["DeploymentType"] != "PERSISTENT_2":
        raise bad_request("MetadataConfiguration is supported for the PERSISTENT_2 deployment type only.")
    mode, iops = metadata.get("Mode", "AUTOMATIC"), metadata.get("Iops")
    if mode == "AUTOMATIC" and iops is not None:
        raise bad_request("Iops cannot be specified when the metadata configuration mode is AUTOMATIC.")
    if mode == "USER_PROVISIONED" and iops not in METADATA_IOPS:
        raise bad_request("Metadata Iops must be 1500, 3000, 6000, 12000 or a multiple of 12000 up to 192000.")


def _check_cache(asked: dict[str, Any], storage: str) -> None:
    """ "DriveCacheType: required when StorageType is set to HDD"; elsewhere it is not a parameter."""
    if storage == "HDD" and asked.get("DriveCacheType") not in ("NONE", "READ"):
        raise bad_request("DriveCacheType is required when StorageType is HDD.")
    if storage != "HDD" and asked.get("DriveCacheType"):
        raise bad_request("DriveCacheType is supported when StorageType is HDD only.")


def _check_repository(asked: dict[str, Any]) -> None:
    linked = [name for name in ("ImportPath", "ExportPath", "AutoImportPolicy") if asked.get(name)]
    if linked and asked["DeploymentType"] == "PERSISTENT_2":
        raise bad_request(f"{linked[0]} is not supported for PERSISTENT_2: create a data repository association.")
    if "ImportPath" not in linked and linked:
        raise bad_request(f"{linked[0]} requires ImportPath.")


def _check_backups(asked: dict[str, Any]) -> None:
    """Backups are for persistent file systems that are not linked to S3."""
    days = asked.get("AutomaticBackupRetentionDays", 0)
    if days and (asked["DeploymentType"] in SCRATCH or asked.get("ImportPath")):
        raise bad_request("Backups are supported on persistent file systems that are not linked to S3 only.")
    if asked.get("DailyAutomaticBackupStartTime") and not days:
        raise bad_request("DailyAutomaticBackupStartTime requires AutomaticBackupRetentionDays of at least 1.")


def _check_efa(asked: dict[str, Any], capacity: int) -> None:
    """ "EfaEnabled... PERSISTENT_2 with metadata configuration"."""
    if asked["DeploymentType"] != "PERSISTENT_2" or not asked.get("MetadataConfiguration"):
        raise bad_request("EfaEnabled requires PERSISTENT_2 with a MetadataConfiguration.")
    step = EFA_STEP[asked["PerUnitStorageThroughput"]]
    if not _multiple(capacity, step):
        raise bad_request(f"StorageCapacity with EFA must be a multiple of {step} GiB at this throughput.")


def _filled(asked: dict[str, Any]) -> dict[str, Any]:
    filled = {
        "WeeklyMaintenanceStartTime": "1:05:00",
        "DataCompressionType": "NONE",
        "CopyTagsToBackups": False,
        "LogConfiguration": {"Level": "DISABLED"},
        **{key: value for key, value in asked.items() if key not in ("ImportPath", "ExportPath")},
        "MountName": "fsx" if asked["DeploymentType"] == "SCRATCH_1" else secrets.token_hex(4),
    }
    if asked.get("MetadataConfiguration"):
        filled["MetadataConfiguration"] = {"Mode": "AUTOMATIC", **asked["MetadataConfiguration"]}
    if asked["DeploymentType"] not in SCRATCH:
        filled.setdefault("AutomaticBackupRetentionDays", 0)
    if asked.get("ImportPath"):
        filled["DataRepositoryConfiguration"] = _repository(asked)
    return filled


def _repository(asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "Lifecycle": "AVAILABLE",
        "ImportPath": asked["ImportPath"],
        "ExportPath": asked.get("ExportPath", asked["ImportPath"]),
        "ImportedFileChunkSize": asked.get("ImportedFileChunkSize", 1024),
        "AutoImportPolicy": asked.get("AutoImportPolicy", "NONE"),
    }


def _multiple(value: int, step: int) -> bool:
    return value > 0 and value % step == 0


def _list(values: Any) -> str:
    return ", ".join(map(str, values))
