"""What pcluster's schema asks of several fields together. Each rule names the method of its source.

Source: aws-parallelcluster 3.14.0 to 3.16.1, ``schemas/cluster_schema.py`` and ``schemas/common_schema.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Said = tuple[tuple[str | int, ...], str]
Section = Mapping[str, Any]

_RESERVED = "parallelcluster:"
_CUSTOM = "parallelcluster:custom_resource"

_CIDR = re.compile(
    r"^(([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])\.){3}([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
    r"(\/([0-9]|[1-2][0-9]|3[0-2]))$"
)


def cidr_or_prefix_list(value: Any) -> str:
    """is_cidr_or_prefix_list."""
    if isinstance(value, str) and (_CIDR.match(value) or re.match(r"^pl-[a-zA-Z0-9]", value)):
        return ""
    return "must be a range such as 10.0.0.0/16, or a prefix list (pl-...)"


VALUES: dict[str, Callable[[Any], str]] = {"is_cidr_or_prefix_list": cidr_or_prefix_list}


def lists(name: str, value: Section) -> Iterator[Said]:
    """Yield what is wrong with a field as a whole (``@validates``)."""
    if name in ("Cluster", "SlurmQueue", "SlurmComputeResource"):
        yield from _tags(value.get("Tags"))
    if name == "SlurmComputeResource":
        yield from _types_twice(value.get("Instances"))
    if name == "SharedStorage" and isinstance(value.get("MountDir"), str) and re.match("^/?NONE$", value["MountDir"]):
        yield ("MountDir",), "cannot be the name of a shared directory"
    if name == "CommonCookbook" and isinstance(text := value.get("ExtraChefAttributes"), str) and text:
        try:
            json.loads(text)
        except ValueError:
            yield ("ExtraChefAttributes",), "is not JSON"


def _tags(tags: Any) -> Iterator[Said]:
    """validate_no_reserved_tag and validate_no_duplicate_tag; neither runs where a tag is wrong by itself."""
    if not _all_right(tags, ("Key", "Value"), 128, 256):
        return
    keys = [tag["Key"] for tag in tags]
    if any(key.startswith(_RESERVED) and key != _CUSTOM for key in keys):
        yield ("Tags",), f"the prefix {_RESERVED} is reserved"
    elif len(set(keys)) < len(keys):
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        yield ("Tags",), f"has the key {twice} twice"


def _all_right(items: Any, keys: tuple[str, ...], *most: int) -> bool:
    sizes = dict(zip(keys, most, strict=False))
    return isinstance(items, list) and all(
        isinstance(item, dict)
        and set(item) == set(keys)
        and all(isinstance(item[key], str) and len(item[key]) <= sizes.get(key, 1 << 30) for key in keys)
        for item in items
    )


def _types_twice(instances: Any) -> Iterator[Said]:
    """no_duplicate_instance_types."""
    if _all_right(instances, ("InstanceType",)):
        names = [item["InstanceType"] for item in instances]
        if len(set(names)) < len(names):
            yield ("Instances",), "has an instance type twice"


def rules(name: str, value: Section) -> Iterator[Said]:
    """Yield what is wrong between fields (``@validates_schema``)."""
    for rule in _RULES.get(name, ()):
        yield from rule(value)


def _at_most_one(*keys: str) -> Callable[[Section], Iterator[Said]]:
    """fields_coexist: values that are empty do not count."""

    def rule(value: Section) -> Iterator[Said]:
        there = [key for key in keys if value.get(key)]
        if len(there) > 1:
            yield (), f"{' and '.join(there)} exclude each other"

    return rule


def _exactly_one(*keys: str) -> Callable[[Section], Iterator[Said]]:
    def rule(value: Section) -> Iterator[Said]:
        if sum(bool(value.get(key)) for key in keys) != 1:
            yield (), f"needs one of {' and '.join(keys)}"

    return rule


def _instance_type(value: Section) -> Iterator[Said]:
    """instance_type_declaration."""
    target = value.get("CapacityReservationTarget") or {}
    if not (value.get("Instances") or value.get("InstanceType") or target.get("CapacityReservationId")):
        yield (), "needs InstanceType, Instances or CapacityReservationId"


_STORAGE = {
    "EbsSettings": "Ebs",
    "EfsSettings": "Efs",
    "FsxLustreSettings": "FsxLustre",
    "FsxOpenZfsSettings": "FsxOpenZfs",
    "FsxOntapSettings": "FsxOntap",
    "FileCacheSettings": "FileCache",
}


def _storage_type(value: Section) -> Iterator[Said]:
    """right_storage_settings."""
    for key, kind in _STORAGE.items():
        if value.get(key) and value.get("StorageType") != kind:
            yield (), f"{key} does not belong to StorageType {value.get('StorageType')}"


_EXISTING = {kind: key for key, kind in _STORAGE.items() if kind in ("FsxOpenZfs", "FsxOntap", "FileCache")}


def _existing(value: Section) -> Iterator[Said]:
    """Of these kinds pcluster mounts what exists only (ExistingFsxOpenZfs and its like need the id)."""
    key = _EXISTING.get(value.get("StorageType", ""))
    if key and key not in value:
        yield (key,), "is missing"


def _alone(key: str, *beside: str) -> Callable[[Section], Iterator[Said]]:
    """validate_file_system_id_ignored_parameters."""

    def rule(value: Section) -> Iterator[Said]:
        ignored = [other for other in value if other != key and other not in beside]
        if value.get(key) is not None and ignored:
            yield (), f"{', '.join(ignored)} would be ignored: the file system exists already"

    return rule


_OF_BACKUPS = ("DeploymentType", "PerUnitStorageThroughput", "StorageCapacity", "ImportPath", "ExportPath",
               "ImportedFileChunkSize", "KmsKeyId")  # fmt: skip


def _backup(value: Section) -> Iterator[Said]:
    """validate_backup_id_unsupported_parameters."""
    wrong = [key for key in value if key in _OF_BACKUPS]
    if value.get("BackupId") is not None and wrong:
        yield (), f"{', '.join(wrong)}: the backup decides"


def _throughput_mode(value: Section) -> Iterator[Said]:
    """validate_existence_of_mode_throughput."""
    provisioned = value.get("ThroughputMode") == "provisioned"
    if not provisioned and value.get("ProvisionedThroughput"):
        yield ("ThroughputMode",), "must be provisioned when ProvisionedThroughput is given"
    if provisioned and not value.get("ProvisionedThroughput"):
        yield ("ProvisionedThroughput",), "is missing: ThroughputMode is provisioned"


def _needs(key: str) -> Callable[[Section], Iterator[Said]]:
    """What the schema leaves open and pcluster then breaks off at, with a TypeError (config/cluster_config.py)."""

    def rule(value: Section) -> Iterator[Said]:
        if key not in value:
            yield (key,), "is missing"

    return rule


_GROUPS = (_at_most_one("SecurityGroups", "AdditionalSecurityGroups"),)
_ROLES = (_at_most_one("InstanceRole", "InstanceProfile", "AdditionalIamPolicies"),)
_ACCESS = (*_ROLES, _at_most_one("InstanceRole", "S3Access"), _at_most_one("InstanceProfile", "S3Access"))

_RULES: dict[str, tuple[Callable[[Section], Iterator[Said]], ...]] = {
    "Dcv": (_needs("Enabled"),),
    "SlurmQueue": (_needs("ComputeResources"),),
    "HeadNodeNetworking": _GROUPS,
    "SlurmQueueNetworking": _GROUPS,
    "LoginNodesNetworking": _GROUPS,
    "HeadNodeIam": _ACCESS,
    "QueueIam": _ACCESS,
    "LoginNodesIam": _ROLES,
    "CapacityReservationTarget": (_exactly_one("CapacityReservationId", "CapacityReservationResourceGroupArn"),),
    "SlurmComputeResource": (_at_most_one("InstanceType", "Instances"), _instance_type),
    "SharedStorage": (_at_most_one(*_STORAGE), _storage_type, _existing),
    "EfsSettings": (
        _alone("FileSystemId", "EncryptionInTransit", "IamAuthorization", "AccessPointId"), _throughput_mode
    ),
    "FsxLustreSettings": (_alone("FileSystemId"), _backup),
}  # fmt: skip
