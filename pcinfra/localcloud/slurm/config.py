"""A ParallelCluster cluster configuration -> the cluster that its head node would set up.

Names, features, weights, memory and GPU types are those of the head node's own generator (aws-parallelcluster-cookbook,
``slurm/config_renderer.py`` and ``config_utils.py``), so that a job script finds here what it finds on AWS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pcinfra.errors import PcinfraError
from pcinfra.localcloud.slurm.spec import Node, Partition, Spec

MEMORY_RATIO = 0.95
"""Share of an instance's memory that jobs get (cookbook attribute ``realmemory_to_ec2memory_ratio``)."""

DEFAULT_SCRATCH = "/scratch"
"""Where ParallelCluster mounts the instance store when EphemeralVolume says nothing (Scheduling section, MountDir)."""

_USERS = {"alinux": "ec2-user", "rhel": "ec2-user", "rocky": "rocky", "ubuntu": "ubuntu"}
"""See ParallelCluster's ``OS_MAPPING``."""

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What the cluster needs to know about an instance type.

    Args:
        vcpus: with every thread counted.
        memory: MiB.
        gpus: NVIDIA GPUs.
        gpu: their name, as ``H100``.
        instance_store: the type has local disks.
    """

    vcpus: int
    threads_per_core: int
    memory: int
    gpus: int = 0
    gpu: str = ""
    instance_store: bool = False

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> InstanceFacts:
        """Read one entry of ``InstanceTypes`` in the answer of EC2's DescribeInstanceTypes."""
        cpus = described.get("VCpuInfo", {})
        nvidia = [g for g in described.get("GpuInfo", {}).get("Gpus", []) if g["Manufacturer"].upper() == "NVIDIA"]
        return cls(
            vcpus=cpus.get("DefaultVCpus", 1),
            threads_per_core=cpus.get("DefaultThreadsPerCore", 1),
            memory=described.get("MemoryInfo", {}).get("SizeInMiB", 1),
            gpus=sum(g["Count"] for g in nvidia),
            gpu=nvidia[-1]["Name"] if nvidia else "",
            instance_store=bool(described.get("InstanceStorageSupported", False)),
        )


IDLE_SECONDS_PER_MINUTE = 6
"""Local seconds for a minute of ScaledownIdletime: nodes start here in seconds, on AWS in minutes."""

BOOT_SECONDS = 60
"""Seconds that a node may take to come up; one or two are usual."""

DEFAULT_BOOT_SECONDS = 1800
"""ComputeNodeBootstrapTimeout when nothing is said (user guide, DevSettings)."""

DEFAULT_IDLE_MINUTES = 10
"""ScaledownIdletime when nothing is said (user guide, SlurmSettings)."""

DEFAULT_MAX_COUNT = 10
"""MaxCount of a compute resource when nothing is said (user guide, ComputeResources)."""


@dataclass(frozen=True, slots=True)
class ComputeNode:
    """A node of the configuration, and where it comes from.

    Args:
        dynamic: it is there only when a job needs it; the others are there all the time.
    """

    name: str
    queue: Config
    resource: Config
    dynamic: bool = False

    @property
    def instance_types(self) -> tuple[str, ...]:
        """The types that EC2 may choose from, the preferred one first."""
        return instance_types(self.resource)


def static_nodes(config: Config) -> tuple[ComputeNode, ...]:
    """Return the nodes that are there all the time, in the order of the configuration."""
    return tuple(node for node in compute_nodes(config) if not node.dynamic)


def compute_nodes(config: Config) -> tuple[ComputeNode, ...]:
    """Return every node that the cluster can have: MinCount static ones of each compute resource, called
    ``QUEUE-st-COMPUTE_RESOURCE-N``, and up to MaxCount dynamic ones, called ``QUEUE-dy-COMPUTE_RESOURCE-N``.
    """
    return tuple(
        ComputeNode(f"{queue['Name']}-{kind}-{resource['Name']}-{number}", queue, resource, kind == "dy")
        for queue in _queues(config)
        for resource in queue.get("ComputeResources", [])
        for kind, count in _counts(resource)
        for number in range(1, count + 1)
    )


def _counts(resource: Config) -> tuple[tuple[str, int], ...]:
    fewest, most = (resource.get(key) for key in ("MinCount", "MaxCount"))
    static = int(fewest or 0)
    return ("st", static), ("dy", max(0, int(DEFAULT_MAX_COUNT if most is None else most) - static))


def idle_seconds(config: Config) -> int:
    """Return how long a dynamic node may be idle here; 0: as long as it likes (ScaledownIdletime of -1)."""
    settings = config.get("Scheduling", {}).get("SlurmSettings") or {}
    minutes = settings.get("ScaledownIdletime")
    minutes = DEFAULT_IDLE_MINUTES if minutes is None else int(minutes)
    return max(minutes, 1) * IDLE_SECONDS_PER_MINUTE if minutes >= 0 else 0


def boot_seconds(config: Config) -> int:
    """Return how long a compute node may take to come up: a moment here, and as long as on AWS where its queue has
    custom actions, which take as long as they take.
    """
    if not any(queue.get("CustomActions") for queue in _queues(config)):
        return BOOT_SECONDS
    timeouts = (config.get("DevSettings") or {}).get("Timeouts") or {}
    return int(timeouts.get("ComputeNodeBootstrapTimeout") or DEFAULT_BOOT_SECONDS)


def instance_types(resource: Config) -> tuple[str, ...]:
    many = [each["InstanceType"] for each in resource.get("Instances") or []]
    return tuple(many or [resource["InstanceType"]])


def database_name(config: Config, name: str) -> str:
    """Return the database of the accounting of the cluster ``name``; empty when its configuration asks for none.

    Source: user guide, SlurmSettings/Database/DatabaseName: the cluster's name, with ``_`` for every ``-``.
    """
    settings = (config.get("Scheduling", {}).get("SlurmSettings") or {}).get("Database")
    return str(settings.get("DatabaseName") or name.replace("-", "_")) if settings else ""


def login_user(config: Config) -> str:
    """Return the user that the cluster's operating system has for logging in."""
    system = str(config.get("Image", {}).get("Os", ""))
    for prefix, user in _USERS.items():
        if system.startswith(prefix):
            return user
    raise PcinfraError(f"unknown operating system {system!r}", where="Image.Os")


def head_name(address: str) -> str:
    """Return the host name that EC2 gives an instance by its private address."""
    return f"ip-{address.replace('.', '-')}"


def cluster_spec(
    name: str,
    config: Config,
    *,
    types: Mapping[str, InstanceFacts],
    head_address: str,
    addresses: Mapping[str, str],
    environment: Mapping[str, str] | None = None,
    endpoint: int = 0,
    stopped: bool = False,
    database: str = "",
) -> Spec:
    """Return the cluster that the head node would make of ``config`` (the content of the cluster's YAML file).

    Args:
        types: every instance type that the configuration names.
        addresses: node's name -> private address. A node without one is not there now.
        stopped: the compute fleet is stopped.
        database: of the accounting; see :func:`database_name`. Empty: there is none.
    """
    every = compute_nodes(config)
    settings = config.get("Scheduling", {}).get("SlurmSettings") or {}
    head_facts = types.get(config["HeadNode"].get("InstanceType", ""))
    return Spec(
        name=name,
        user=login_user(config),
        head=Node(head_name(head_address), head_address, scratch=_scratch(config["HeadNode"], head_facts)),
        nodes=tuple(_node(node, types, addresses.get(node.name, "")) for node in every),
        partitions=tuple(_partition(queue, every) for queue in _queues(config)),
        shared=_shared(config),
        memory_based=bool(settings.get("EnableMemoryBasedScheduling")),
        settings=_merge(settings.get("CustomSlurmSettings")),
        environment=environment or {},
        endpoint=endpoint,
        stopped=stopped,
        idle=idle_seconds(config),
        boot=boot_seconds(config),
        database=database,
    )


def _queues(config: Config) -> Sequence[Config]:
    queues: Sequence[Config] = config.get("Scheduling", {}).get("SlurmQueues") or []
    return queues


def _shared(config: Config) -> tuple[str, ...]:
    """``/home`` is always shared: without storage of its own the head node exports it to every node."""
    mounts = [storage["MountDir"] for storage in config.get("SharedStorage") or []]
    absolute = [mount if mount.startswith("/") else f"/{mount}" for mount in mounts]
    return tuple(dict.fromkeys(["/home", *absolute]))


def _node(node: ComputeNode, types: Mapping[str, InstanceFacts], address: str) -> Node:
    facts = [types[name] for name in node.instance_types]
    fewest = min(facts, key=lambda each: each.gpus)
    resource = node.resource
    vcpus = min(each.vcpus for each in facts)
    if resource.get("DisableSimultaneousMultithreading"):
        vcpus //= min(each.threads_per_core for each in facts)
    memory = resource.get("SchedulableMemory") or math.floor(min(each.memory for each in facts) * MEMORY_RATIO)
    return Node(
        name=node.name,
        address=address,
        cpus=vcpus,
        memory=memory,
        gpus=fewest.gpus,
        gpu=fewest.gpu.replace(" ", "").lower() if fewest.gpus else "",
        features=_features(node, fewest.gpus),
        scratch=_scratch(node.queue.get("ComputeSettings") or {}, facts[0]),
        settings=_texts(resource.get("CustomSlurmSettings") or {}),
        dynamic=node.dynamic,
    )


def _features(node: ComputeNode, gpus: int) -> tuple[str, ...]:
    one_type = node.instance_types if len(node.instance_types) == 1 else ()
    efa = ("efa",) if (node.resource.get("Efa") or {}).get("Enabled") else ()
    kind = "dynamic" if node.dynamic else "static"
    return (kind, *one_type, node.resource["Name"], *efa, *(("gpu",) if gpus else ()))


def _scratch(settings: Config, facts: InstanceFacts | None) -> str:
    if facts is None or not facts.instance_store:
        return ""
    volume = (settings.get("LocalStorage") or {}).get("EphemeralVolume") or {}
    return str(volume.get("MountDir") or DEFAULT_SCRATCH)


def _partition(queue: Config, every: Sequence[ComputeNode]) -> Partition:
    return Partition(
        name=queue["Name"],
        nodes=tuple(node.name for node in every if node.queue is queue),
        exclusive=bool(queue.get("JobExclusiveAllocation")),
        settings=_texts(queue.get("CustomSlurmSettings") or {}),
    )


def _merge(settings: Sequence[Config] | None) -> dict[str, str]:
    """CustomSlurmSettings of the whole cluster is a list of mappings; a later one wins."""
    merged: dict[str, str] = {}
    for each in settings or []:
        merged |= _texts(each)
    return merged


def _texts(settings: Config) -> dict[str, str]:
    return {str(name): str(value) for name, value in settings.items()}
