"""What FSx for OpenZFS takes, and what it fills in.

Source: FSx API reference, CreateFileSystem (StorageCapacity), CreateFileSystemOpenZFSConfiguration,
OpenZFSCreateRootVolumeConfiguration and UpdateFileSystem.
"""

from __future__ import annotations

from typing import Any

from pcinfra.localcloud.services.fsx.errors import bad_request

CAPACITY = range(64, 524_289)
"""GiB, with SSD storage."""

_FIRST = (64, 128, 256, 512, 1024, 2048, 3072, 4096)
_SECOND = (160, 320, 640, 1280, 2560, 3840, 5120, 7680, 10_240)
THROUGHPUT = {
    "SINGLE_AZ_1": _FIRST,
    "SINGLE_AZ_HA_1": _FIRST,
    "SINGLE_AZ_2": _SECOND,
    "SINGLE_AZ_HA_2": _SECOND,
    "MULTI_AZ_1": _SECOND,
}
"""ThroughputCapacity in MB/s, by deployment type."""

RECORD_SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""RecordSizeKiB of file systems that are not Intelligent-Tiering."""

MULTI_AZ_ONLY = ("PreferredSubnetId", "EndpointIpAddressRange", "RouteTableIds")
MUTABLE = {
    "AutomaticBackupRetentionDays",
    "CopyTagsToBackups",
    "CopyTagsToVolumes",
    "DailyAutomaticBackupStartTime",
    "ThroughputCapacity",
    "WeeklyMaintenanceStartTime",
    "DiskIopsConfiguration",
    "AddRouteTableIds",
    "RemoveRouteTableIds",
}


def configuration(request: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenZFSConfiguration of the new file system without its root volume; raise FSx's error."""
    asked = dict(request.get("OpenZFSConfiguration") or {})
    if request.get("FileSystemTypeVersion"):
        raise bad_request("FileSystemTypeVersion is not supported for FSx for OpenZFS file systems.")
    if request.get("StorageType") == "INTELLIGENT_TIERING":
        raise NotImplementedError("OpenZFS with the Intelligent-Tiering storage class")
    if request.get("StorageType") == "HDD":
        raise bad_request("StorageType HDD is not supported for FSx for OpenZFS file systems.")
    _check_capacity(request.get("StorageCapacity"))
    _check_throughput(asked.get("DeploymentType", ""), asked.get("ThroughputCapacity"))
    _check_subnets(asked, request["SubnetIds"])
    _check_iops(asked.get("DiskIopsConfiguration"), int(request["StorageCapacity"]))
    check_volume(asked.get("RootVolumeConfiguration") or {})
    asked.pop("RootVolumeConfiguration", None)
    return _filled(asked, int(request["StorageCapacity"]))


def updated(held: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration after UpdateFileSystem."""
    unknown = sorted(set(given) - MUTABLE)
    if unknown:
        raise bad_request(f"{', '.join(unknown)} cannot be updated.")
    added, removed = given.get("AddRouteTableIds", []), given.get("RemoveRouteTableIds", [])
    if (added or removed) and held["DeploymentType"] != "MULTI_AZ_1":
        raise bad_request("Route tables can be changed for the MULTI_AZ_1 deployment type only.")
    plain = {key: value for key, value in given.items() if not key.endswith("RouteTableIds")}
    after = {**held, **plain}
    _check_throughput(after["DeploymentType"], after["ThroughputCapacity"])
    if added or removed:
        after["RouteTableIds"] = [t for t in [*held.get("RouteTableIds", []), *added] if t not in removed]
    return after


def check_growth(held: int, wanted: int) -> None:
    """ "You can increase storage capacity by at least 10 percent of the current storage capacity"."""
    _check_capacity(wanted)
    if wanted * 10 < held * 11:
        raise bad_request(f"StorageCapacity must be at least 10 percent greater than the current value, {held} GiB.")


def check_volume(asked: dict[str, Any]) -> None:
    """What holds for a root volume and for its children."""
    size = asked.get("RecordSizeKiB")
    if size is not None and size not in RECORD_SIZES:
        raise bad_request(f"RecordSizeKiB must be one of {', '.join(map(str, RECORD_SIZES))}, not {size}.")
    for export in asked.get("NfsExports") or []:
        if not export.get("ClientConfigurations"):
            raise bad_request("NfsExports requires ClientConfigurations.")


def _check_capacity(capacity: int | None) -> None:
    if capacity is None:
        raise bad_request("StorageCapacity is required for FSx for OpenZFS file systems.")
    if capacity not in CAPACITY:
        raise bad_request(f"StorageCapacity must be from 64 to 524288 GiB, not {capacity}.")


def _check_throughput(deployment: str, value: int | None) -> None:
    allowed = THROUGHPUT.get(deployment)
    if allowed is None:
        raise bad_request("DeploymentType is required for FSx for OpenZFS file systems.")
    if value not in allowed:
        values = ", ".join(map(str, allowed))
        raise bad_request(f"ThroughputCapacity for {deployment} must be one of {values} MB/s, not {value}.")


def _check_subnets(asked: dict[str, Any], subnets: list[str]) -> None:
    """MULTI_AZ_1 takes exactly two subnets, one of them preferred; every other type takes one."""
    if asked["DeploymentType"] != "MULTI_AZ_1":
        extra = [name for name in MULTI_AZ_ONLY if asked.get(name)]
        if extra:
            raise bad_request(f"{extra[0]} is supported for the MULTI_AZ_1 deployment type only.")
        if len(subnets) != 1:
            raise bad_request(f"{asked['DeploymentType']} requires exactly one subnet, not {len(subnets)}.")
        return
    if len(set(subnets)) != 2:
        raise bad_request("MULTI_AZ_1 requires exactly two subnets, in different Availability Zones.")
    if asked.get("PreferredSubnetId") not in subnets:
        raise bad_request("PreferredSubnetId is required for MULTI_AZ_1 and must be one of SubnetIds.")


def _check_iops(asked: dict[str, Any] | None, capacity: int) -> None:
    """ "3 IOPS per GB of storage" are included; more can be provisioned."""
    if not asked:
        return
    iops, mode = asked.get("Iops"), asked.get("Mode", "AUTOMATIC")
    if mode == "AUTOMATIC" and iops is not None:
        raise bad_request("Iops cannot be specified when the disk IOPS mode is AUTOMATIC.")
    if mode == "USER_PROVISIONED" and (iops is None or iops < 3 * capacity):
        raise bad_request(f"Iops must be at least {3 * capacity}, 3 for every GiB.")


def _filled(asked: dict[str, Any], capacity: int) -> dict[str, Any]:
    return {
        "AutomaticBackupRetentionDays": 30,
        "CopyTagsToBackups": False,
        "CopyTagsToVolumes": False,
        "DailyAutomaticBackupStartTime": "05:00",
        "WeeklyMaintenanceStartTime": "1:05:00",
        "DiskIopsConfiguration": {"Mode": "AUTOMATIC", "Iops": 3 * capacity},
        **asked,
    }
