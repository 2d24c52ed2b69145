"""What a local Slurm cluster is, as data that is kept in its directory."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath

from pcinfra.errors import PcinfraError

_NODE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
"""A DNS label: ParallelCluster's node names are host names (RFC 1123, section 2.1)."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_DATABASE = re.compile(r"[A-Za-z0-9_]{1,64}")
_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNSAFE = re.compile(r"""[\s"'#\\\x00-\x1f\x7f]""")

_TAKEN = tuple(f"/{name}" for name in ("bin", "boot", "dev", "etc", "opt/slurm", "proc", "root", "run", "sbin"))
_TAKEN = (*_TAKEN, *(f"/{name}" for name in ("lib", "lib32", "lib64", "libx32", "sys", "tmp", "usr", "var")))
"""Directories that a node cannot do without; nothing is mounted on or below them."""


@dataclass(frozen=True, slots=True)
class Node:
    """One machine.

    Args:
        name: its host name, too.
        address: IPv4 address in the VPC; empty: there is no such machine now, though Slurm knows the node.
        cpus: vCPUs; 0 for the head node, which runs no jobs.
        memory: MiB.
        gpu: Slurm's type of the GPUs, as ``h100``.
        features: what ``--constraint`` may ask for.
        scratch: where the instance store is mounted; empty when the instance type has none.
        settings: options that the user adds to the NodeName line.
        dynamic: Slurm starts it when a job needs it and ends it when it has been idle.
    """

    name: str
    address: str = ""
    cpus: int = 0
    memory: int = 0
    gpus: int = 0
    gpu: str = ""
    features: tuple[str, ...] = ()
    scratch: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class Partition:
    """One queue. ``exclusive``: no two jobs share a node."""

    name: str
    nodes: tuple[str, ...]
    exclusive: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole cluster. The first partition is the default one.

    Args:
        user: the login name of the cluster's operating system.
        shared: mount points of the shared storage, ``/home`` among them.
        memory_based: memory is scheduled as CPUs are (EnableMemoryBasedScheduling).
        settings: options of slurm.conf that the user sets (CustomSlurmSettings).
        environment: variables that root's commands, logins and daemons see on every node.
        endpoint: port of this machine's loopback that every node reaches on its own loopback; 0: none, and then
            nobody starts dynamic nodes.
        logins: login nodes: machines with Slurm's programs and no daemon of it but munged.
        stopped: the compute fleet is stopped: no partition takes jobs.
        idle: seconds after which an idle dynamic node is ended; 0: never.
        boot: seconds that a compute node may take from its start until Slurm has it up.
        credential: seconds for which a job's credential holds (cred_expire). A machine that takes longer to launch a
            job fails to, and so long a requeued job waits (slurm.conf(5), AuthInfo).
        database: of Slurm's accounting, which then runs on the head node; empty: there is none.
    """

    name: str
    user: str
    head: Node
    nodes: tuple[Node, ...]
    partitions: tuple[Partition, ...]
    shared: tuple[str, ...] = ("/home",)
    memory_based: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    endpoint: int = 0
    logins: tuple[Node, ...] = ()
    stopped: bool = False
    idle: int = 0
    boot: int = 60
    credential: int = 15
    database: str = ""

    def __post_init__(self) -> None:
        check(self)

    @property
    def machines(self) -> tuple[Node, ...]:
        """Every node, the head node first."""
        return (self.head, *self.logins, *self.nodes)

    def at(self, addresses: Mapping[str, str]) -> Spec:
        """Return this cluster with other addresses of some nodes; an empty one: the machine is gone."""
        moved = (replace(node, address=addresses.get(node.name, node.address)) for node in self.nodes)
        return replace(self, nodes=tuple(moved))

    def node(self, name: str) -> Node:
        for machine in self.machines:
            if machine.name == name:
                return machine
        known = ", ".join(machine.name for machine in self.machines)
        raise PcinfraError(f"there is no node {name!r}", where=self.name, hint=f"one of {known}")

    def dump(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def load(cls, text: str) -> Spec:
        """Return what :meth:`dump` wrote."""
        content = json.loads(text)
        content["head"] = _node(content["head"])
        for kind in ("nodes", "logins"):
            content[kind] = tuple(map(_node, content.get(kind, ())))
        content["partitions"] = tuple(Partition(**{**p, "nodes": tuple(p["nodes"])}) for p in content["partitions"])
        content["shared"] = tuple(content["shared"])
        return cls(**content)


def _node(content: dict[str, object]) -> Node:
    features = content["features"]
    assert isinstance(features, list)
    return Node(**{**content, "features": tuple(features)})  # type: ignore[arg-type]


def check(spec: Spec) -> None:
    """Raise :class:`PcinfraError` for anything that must not get into a configuration file or a mount."""
    _match(_NAME, spec.name, "cluster name")
    _match(_USER, spec.user, "user name")
    _check_nodes(spec)
    _check_partitions(spec)
    for path in spec.shared:
        check_mount(path, "shared storage")
    _check_options(spec.settings)
    if spec.database:
        _match(_DATABASE, spec.database, "name of a database")
    for name, value in spec.environment.items():
        _match(_VARIABLE, name, "environment variable")
        _reject("\0" in value or "\n" in value, f"environment variable {name}", "its value has a line break")


def check_mount(path: str, where: str) -> None:
    """Refuse what is no plain absolute path, and what a node itself needs."""
    normal = str(PurePosixPath(path))
    plain = path.startswith("/") and normal == path and ".." not in PurePosixPath(path).parts
    _reject(not plain or bool(_UNSAFE.search(path)), where, f"{path!r} is not a plain absolute path")
    inside = any(path == taken or path.startswith(f"{taken}/") for taken in _TAKEN)
    _reject(path == "/" or inside, where, f"{path} is needed by the node itself")


def _check_nodes(spec: Spec) -> None:
    names = [machine.name for machine in spec.machines]
    _reject(len(set(names)) != len(names), spec.name, "two nodes have the same name")
    addresses = [machine.address for machine in spec.machines if machine.address]
    _reject(len(set(addresses)) != len(addresses), spec.name, "two nodes have the same address")
    _reject(not spec.head.address, spec.head.name, "the head node has no address")
    for machine in spec.machines:
        _match(_NODE_NAME, machine.name, "node name")
        _check_address(machine)
        _reject("-" not in machine.name, machine.name, "a node's name has a dash")
        for word in (*machine.features, *filter(None, [machine.gpu])):
            _match(_NAME, word, f"feature of {machine.name}")
        _check_options(machine.settings)
        if machine.scratch:
            check_mount(machine.scratch, f"scratch of {machine.name}")


def _check_address(machine: Node) -> None:
    try:
        ipaddress.IPv4Address(machine.address or "0.0.0.0")  # noqa: S104  (stands for none)
    except ValueError as error:
        raise PcinfraError(f"{machine.address!r} is not an IPv4 address", where=machine.name) from error


def _check_partitions(spec: Spec) -> None:
    known = {machine.name for machine in spec.nodes}
    for partition in spec.partitions:
        _match(_NAME, partition.name, "queue name")
        unknown = sorted(set(partition.nodes) - known)
        _reject(bool(unknown), partition.name, f"no such nodes: {', '.join(unknown)}")
        _check_options(partition.settings)


def _check_options(options: Mapping[str, str]) -> None:
    for name, value in options.items():
        _match(_OPTION, name, "Slurm option")
        _reject(not value or bool(_UNSAFE.search(value)), name, f"{value!r} cannot be the value of a Slurm option")


def _match(pattern: re.Pattern[str], text: str, what: str) -> None:
    _reject(pattern.fullmatch(text) is None, what, f"{text!r} is not allowed")


def _reject(wrong: bool, where: str, why: str) -> None:
    if wrong:
        raise PcinfraError(why, where=where)
