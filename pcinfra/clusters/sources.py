"""Where in ``pcinfra.yaml`` the values of a rendered configuration come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from pcinfra.clusters.findings import path_of
from pcinfra.clusters.overrides import Origins, Path

if TYPE_CHECKING:
    from pcinfra.project.document import Document

_QUEUE = r"Scheduling\.SlurmQueues\[(\d+)\]"
_RESOURCE = rf"{_QUEUE}\.ComputeResources\[0\]"

# Beginning of a rendered path -> key of the cluster. The first that matches counts.
_OF_CLUSTER = (
    (r"Image\.Os", "os"),
    (r"Image\.CustomAmi", "custom_ami"),
    (r"HeadNode\.InstanceType", "head_node.instance_type"),
    (r"HeadNode\.LocalStorage\.RootVolume", "head_node.volume"),
    (r"HeadNode\.Imds", "imds.secured"),
    (r"HeadNode\.CustomActions\.OnNodeConfigured\.Args", "hooks"),
    (r"HeadNode", "head_node"),
    (r"Imds\.ImdsSupport", "imds.version"),
    (r"DirectoryService(\S*)", r"directory_service\1"),
    (r"LoginNodes\.Pools\[0\]\.InstanceType", "login_nodes.instance_type"),
    (r"LoginNodes\.Pools\[0\]\.GracetimePeriod", "login_nodes.gracetime_period"),
    (r"LoginNodes", "login_nodes.count"),
    (r"Scheduling\.SlurmSettings\.ScaledownIdletime", "scaledown_idletime"),
    (r"Scheduling\.SlurmSettings\.Database\.Uri", "accounting.database_uri"),
    (r"Scheduling\.SlurmSettings\.Database\.UserName", "accounting.database_user"),
    (r"Scheduling\.SlurmSettings\.Database\.PasswordSecretArn", "accounting.password_secret"),
    (r"Scheduling\.SlurmSettings\.Database\.DatabaseName", "accounting.database_name"),
    (r"Scheduling\.SlurmSettings\.Database", "accounting"),
    (rf"{_RESOURCE}\.MinCount", r"queues.\1.min_nodes"),
    (rf"{_RESOURCE}\.MaxCount", r"queues.\1.max_nodes"),
    (rf"{_RESOURCE}\.Efa", r"queues.\1.efa"),
    (rf"{_RESOURCE}\.CapacityReservationTarget", r"queues.\1.capacity_reservation"),
    (rf"{_RESOURCE}\.Instances\[[1-9]", r"queues.\1.other_instance_types"),
    (_RESOURCE, r"queues.\1.instance_type"),
    (rf"{_QUEUE}\.Name", r"queues.\1.name"),
    (rf"{_QUEUE}\.CapacityType", r"queues.\1.capacity_type"),
    (rf"{_QUEUE}\.AllocationStrategy", r"queues.\1.other_instance_types"),
    (rf"{_QUEUE}\.JobExclusiveAllocation", r"queues.\1.exclusive"),
    (rf"{_QUEUE}\.HealthChecks", r"queues.\1.gpu_health_check"),
    (rf"{_QUEUE}\.Image", r"queues.\1.custom_ami"),
    (rf"{_QUEUE}\.Networking\.PlacementGroup", r"queues.\1.placement_group"),
    (rf"{_QUEUE}\.ComputeSettings\.LocalStorage\.RootVolume", r"queues.\1.root_volume"),
    (_QUEUE, r"queues.\1"),
    (r"Scheduling", "queues"),
)  # fmt: skip

_OF_PROJECT = (
    (r"Region", "region"),
    (r"CustomS3Bucket", "bucket.name"),
    (r"Iam", "permissions_boundary"),
    (r"Tags", "tags"),
    (r"SharedStorage\[0\]", "prerequisites.openzfs"),
    (r"SharedStorage\[1\]", "prerequisites.lustre"),
)


def dotted(path: Path) -> str:
    """Return ``Scheduling.SlurmQueues[0].Name`` for a path."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def key_of(path: Path, cluster_name: str, origins: Origins) -> Path:
    """Return the key of the project file that decided the value at ``path`` of the rendered configuration."""
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return ("clusters", cluster_name, "overrides", *origins[path[:length]], *path[length:])
    for decided, place in origins.items():
        if path and decided[: len(path)] == path:
            return ("clusters", cluster_name, "overrides", *place[: len(place) - (len(decided) - len(path))])
    text = dotted(path)
    for pattern, key in _OF_CLUSTER:
        if match := re.match(rf"{pattern}(?!\w)", text):
            return ("clusters", cluster_name, *_steps(match.expand(key)))
    for pattern, key in _OF_PROJECT:
        if re.match(rf"{pattern}(?!\w)", text):
            return _steps(key)
    return ("clusters", cluster_name)


def _steps(key: str) -> Path:
    return tuple(int(step) if step.isdigit() else step for step in key.split("."))


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the project file, and the key that stands there or could."""

    file: str
    line: int
    column: int
    key: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column} {self.key}" if self.line else f"{self.file} {self.key}"


@dataclass(frozen=True, slots=True)
class Locator:
    """Finds places for one cluster.

    Args:
        text: its rendered configuration.
    """

    document: Document
    cluster_name: str
    origins: Origins
    text: str = ""

    def place(self, path: Path) -> Place:
        """Return where the value at ``path`` of the rendered configuration was decided, or could be."""
        key = key_of(path, self.cluster_name, self.origins)
        line, column = self.document.place(key)
        return Place(self.document.file, line, column, dotted(key))

    def of(self, where: str, said: str, check: str) -> Place:
        """Return the place of a finding; of one that names none, the value that it speaks of."""
        path = path_of(where)
        if not path and self.text:
            config = yaml.load(self.text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
            path = guess(said, check, config if isinstance(config, dict) else {})
        return self.place(path)


def guess(said: str, check: str, config: dict[str, Any]) -> Path:
    """Return the place that a message without one is about: the value of the configuration that it names.

    pcluster's validators tell no place, but name what they found wrong.
    """
    wanted = _ABOUT.get(check, "")
    best: tuple[int, Path] = (0, ())
    for path, value in _leaves(config, ()):
        if len(value) < 2 or not re.search(rf"(?<![\w.-]){re.escape(value)}(?![\w-])", said):
            continue
        text = dotted(path)
        weight = len(value) + (1000 if wanted and re.search(wanted, text) else 0)
        weight += 100 if re.search(r"SlurmQueues\[\d+\]\.(Name|ComputeResources\[\d+\]\.Name)$", text) else 0
        if weight > best[0]:
            best = (weight, path)
    return _moved(best[1], check, config) if best[1] else _usual(check)


# pcluster's validator -> what of the configuration it is about.
_ABOUT = {
    "InstanceTypeValidator": r"InstanceType$",
    "SecurityGroupsValidator": r"SecurityGroups",
    "SubnetsValidator": r"SubnetId",
    "IamPolicyValidator": r"Policy$|PermissionsBoundary",
    "CapacityReservationValidator": r"CapacityReservationId",
    "UrlValidator": r"Script$",
    "DuplicateMountDirValidator": r"MountDir$",
    "SharedStorageNameValidator": r"SharedStorage\[\d+\]\.Name$",
    "SharedStorageMountDirValidator": r"MountDir$",
    "CustomAmiTagValidator": r"CustomAmi$",
    "KeyPairValidator": r"KeyName$",
    "PasswordSecretArnValidator": r"PasswordSecretArn$",
    "DatabaseUriValidator": r"Uri$",
    "FsxValidator": r"FileSystemId|VolumeId",
}

_USUALLY: dict[str, Path] = {
    "ComputeResourceTagsValidator": ("Tags",),
    "ClusterNameValidator": (),
    "HeadNodeMemorySizeValidator": ("HeadNode", "InstanceType"),
    "ArchitectureOsValidator": ("Image", "Os"),
    "DetailedMonitoringValidator": ("Monitoring", "DetailedMonitoring"),
    "KeyPairValidator": ("HeadNode", "Ssh"),
    "EfaSecurityGroupValidator": ("Scheduling", "SlurmQueues", 0, "Networking", "SecurityGroups"),
}

# What a validator of a queue or of its nodes means, beside the name that it says.
_BESIDE = {
    "CapacityTypeValidator": "CapacityType",
    "EfaValidator": "Efa",
    "MaxCountValidator": "MaxCount",
    "ComputeResourceSizeValidator": "MinCount",
}


def _usual(check: str) -> Path:
    return _USUALLY.get(check, ())


def _moved(path: Path, check: str, config: dict[str, Any]) -> Path:
    """Return the key beside the one found, when the validator means that one."""
    key = _BESIDE.get(check)
    holder: Any = config
    for step in path[:-1]:
        holder = holder[step]
    return (*path[:-1], key) if key and isinstance(holder, dict) and key in holder else path


def _leaves(node: Any, path: Path) -> list[tuple[Path, str]]:
    if isinstance(node, dict):
        return [found for key, value in node.items() for found in _leaves(value, (*path, str(key)))]
    if isinstance(node, list):
        return [found for index, value in enumerate(node) for found in _leaves(value, (*path, index))]
    return [] if node is None or isinstance(node, bool | int | float) else [(path, str(node))]
