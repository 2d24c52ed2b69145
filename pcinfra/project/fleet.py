"""What a cluster's own machines should be, from the nodes that they serve. Pure arithmetic on the catalog."""

from __future__ import annotations

from pcinfra import catalog
from pcinfra.errors import UsageError

_FAMILIES = {"x86_64": "m5", "arm64": "m6g"}
"""General purpose, in every region, with every size below. One Slurm is built for all nodes of a cluster, so the
head node has their architecture (ParallelCluster, InstanceArchitectureCompatibilityValidator)."""

_SIZES = ((8, "xlarge"), (64, "2xlarge"), (256, "4xlarge"), (1000, "8xlarge"))
"""Most nodes that a size serves. Ours; ParallelCluster's HeadNodeMemorySizeValidator asks for N/25 + 0.6 GB of memory,
at most 16, which each of these has."""

_LARGEST = "12xlarge"
_LEAST_FOR_GPUS = "2xlarge"


def architecture(instance_type: str) -> str:
    """Return ``x86_64`` or ``arm64``; the first for a type that is not in the catalog."""
    try:
        return catalog.find(instance_type).architecture
    except UsageError:
        return "x86_64"


def has_gpus(instance_type: str) -> bool:
    """Return whether ``instance_type`` has GPUs; a type that is not in the catalog has none."""
    try:
        return catalog.find(instance_type).gpus > 0
    except UsageError:
        return False


def head_node(nodes: int, first_type: str) -> tuple[str, str]:
    """Return the instance type of the head node of ``nodes`` nodes, and why it is this one."""
    size = next((name for most, name in _SIZES if nodes <= most), _LARGEST)
    why = f"for up to {nodes} node{'' if nodes == 1 else 's'}: it runs Slurm and shares its programs with them"
    if has_gpus(first_type) and size == "xlarge":
        return _named(first_type, _LEAST_FOR_GPUS), f"{why}; with GPUs, where nodes cost most, no smaller"
    return _named(first_type, size), why


def login_node(first_type: str) -> tuple[str, str]:
    """Return the instance type of a login node, and why it is this one."""
    return _named(first_type, "xlarge"), "people edit files and submit jobs here; nothing heavy runs"


def _named(first_type: str, size: str) -> str:
    return f"{_FAMILIES[architecture(first_type)]}.{size}"
