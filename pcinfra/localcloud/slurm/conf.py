"""Renders slurm.conf, gres.conf and cgroup.conf. Only options that every release from 21.08 to 25.11 knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pcinfra.localcloud.slurm.spec import Node, Partition, Spec

CONTROLLER_PORT: Final = 6820
"""First of ParallelCluster's ports of slurmctld."""

NODE_PORT: Final = 6818

_FIXED: Final = frozenset(
    (
        "ClusterName SlurmctldHost SlurmctldPort SlurmdPort SlurmUser SlurmdUser AuthType CredType AuthInfo "
        "StateSaveLocation SlurmdSpoolDir SlurmctldPidFile SlurmdPidFile SlurmctldLogFile SlurmdLogFile "
        "ProctrackType TaskPlugin JobAcctGatherType SlurmdParameters CommunicationParameters GresTypes SelectType"
    )
    .lower()
    .split()
)
"""Options that a cluster on this machine stands on: a user's setting of one of these is not taken over."""


_NO_NODE: Final = "NodeName=no-node NodeAddr=127.0.0.1 State=FUTURE"
"""slurmctld does not start without a node; one of the future is in no partition and no answer."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where daemons find and keep things, which is what distinguishes namespaced from shared-host nodes.

    Args:
        controller: value of SlurmctldHost.
        ports: port of slurmd by node; empty: :data:`NODE_PORT` everywhere, and every node at its own address.
        host: host name that shared-host nodes have in common.
        devices: directory of the GPUs' devices.
        spool, logs, run: directories; ``%n`` is the node's name.
        extra: options of this kind of place.
    """

    controller: str
    controller_port: int = CONTROLLER_PORT
    ports: Mapping[str, int] = field(default_factory=dict)
    host: str = ""
    slurm_user: str = "slurm"
    daemon_user: str = "root"
    state: str = "/var/spool/slurm.state"
    spool: str = "/var/spool/slurmd"
    logs: str = "/var/log"
    run: str = "/run"
    node_log: str = "slurmd.log"
    node_pid: str = "slurmd.pid"
    devices: str = "/dev"
    munge_socket: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


def slurm_conf(spec: Spec, place: Place) -> str:
    """Return the text of slurm.conf."""
    options = _options(spec, place) | dict(place.extra)
    taken = {name.lower(): name for name in options}
    for name, value in spec.settings.items():
        if name.lower() not in _FIXED:
            options[taken.get(name.lower(), name)] = value
    lines = [f"{name}={value}" for name, value in options.items()]
    lines += [_node_line(node, place) for node in spec.nodes] or [_NO_NODE]
    lines += [_partition_line(each, default=number == 0) for number, each in enumerate(spec.partitions)]
    return "\n".join(lines) + "\n"


def gres_conf(nodes: Sequence[Node], place: Place) -> str:
    """Return the text of gres.conf. Devices, not counts: with Count alone jobs get no CUDA_VISIBLE_DEVICES."""
    return "".join(
        f"NodeName={node.name} Name=gpu Type={node.gpu} File={place.devices}/nvidia[0-{node.gpus - 1}]\n"
        for node in nodes
        if node.gpus
    )


def cgroup_conf(version: tuple[int, int]) -> str:
    """Return the text of cgroup.conf for a release of Slurm, as (22, 5).

    Nothing here uses cgroups, but slurmd of 22.05 ends at its start where /sys/fs/cgroup is absent, v2 or mixed,
    unless it is told not to look. Before, there was nothing to choose; from 24.05 on (cgroup.conf(5)) it can be
    told so.
    """
    if version < (22, 5):
        return ""
    return f"CgroupPlugin={'cgroup/v1' if version < (24, 5) else 'disabled'}\n"


def _options(spec: Spec, place: Place) -> dict[str, str]:
    expire = "cred_expire=5"
    options = {
        "ClusterName": "parallelcluster",
        "SlurmctldHost": place.controller,
        "SlurmctldPort": str(place.controller_port),
        "SlurmdPort": str(NODE_PORT),
        "SlurmUser": place.slurm_user,
        "SlurmdUser": place.daemon_user,
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        "AuthInfo": f"socket={place.munge_socket},{expire}" if place.munge_socket else expire,
        "StateSaveLocation": place.state,
        "SlurmdSpoolDir": place.spool,
        "SlurmctldPidFile": f"{place.run}/slurmctld.pid",
        "SlurmdPidFile": f"{place.run}/{place.node_pid}",
        "SlurmctldLogFile": f"{place.logs}/slurmctld.log",
        "SlurmdLogFile": f"{place.logs}/{place.node_log}",
        "ProctrackType": "proctrack/linuxproc",
        "MpiDefault": "none",
        "PropagateResourceLimits": "NONE",
    }
    return options | _scheduling(spec) | _timeouts()


def _scheduling(spec: Spec) -> dict[str, str]:
    options = {
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU_Memory" if spec.memory_based else "CR_CPU",
        "SchedulerParameters": "bf_interval=2,sched_interval=2,batch_sched_delay=0,sched_min_interval=0",
        "SlurmdParameters": "config_overrides",
    }
    if any(node.gpus for node in spec.nodes):
        options["GresTypes"] = "gpu"
    return options


def _timeouts() -> dict[str, str]:
    """Seconds. Short, because nothing here is far away: a dead node is seen within 25 s, not 5 minutes."""
    return {
        "ReturnToService": "2",
        "SlurmctldTimeout": "10",
        "SlurmdTimeout": "10",
        "InactiveLimit": "0",
        "KillWait": "5",
    }


def _node_line(node: Node, place: Place) -> str:
    where = f"NodeAddr={node.address}"
    if place.ports:
        where = f"NodeHostname={place.host} NodeAddr=127.0.0.1 Port={place.ports[node.name]}"
    words = [f"NodeName={node.name}", where, f"CPUs={node.cpus}", f"RealMemory={node.memory}", "State=UNKNOWN"]
    words += [f"Feature={','.join(node.features)}"] if node.features else []
    words += ["Weight=1"]
    words += [f"Gres=gpu:{node.gpu}:{node.gpus}"] if node.gpus else []
    return " ".join(words + [f"{name}={value}" for name, value in node.settings.items()])


def _partition_line(partition: Partition, *, default: bool) -> str:
    words = [f"PartitionName={partition.name}"]
    words += [f"Nodes={','.join(partition.nodes)}"] if partition.nodes else []
    words += ["MaxTime=INFINITE", "State=UP"]
    words += ["Default=YES"] if default else []
    words += ["OverSubscribe=EXCLUSIVE"] if partition.exclusive else []
    return " ".join(words + [f"{name}={value}" for name, value in partition.settings.items()])
