"""Renders slurm.conf, gres.conf and cgroup.conf. Only options that every release from 21.08 to 25.11 knows."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pcinfra.localcloud.slurm.spec import Node, Partition, Spec

CONTROLLER_PORT: Final = 6820
"""First of ParallelCluster's ports of slurmctld."""

NODE_PORT: Final = 6818

JOB_LOG: Final = "slurm_jobcomp.log"
"""Where finished jobs are noted for ``sacct -c``, which needs no database."""

_FIXED: Final = frozenset(
    (
        "ClusterName SlurmctldHost SlurmctldPort SlurmdPort SlurmUser SlurmdUser AuthType CredType AuthInfo "
        "StateSaveLocation SlurmdSpoolDir SlurmctldPidFile SlurmdPidFile SlurmctldLogFile SlurmdLogFile "
        "ProctrackType TaskPlugin JobAcctGatherType SlurmdParameters CommunicationParameters GresTypes SelectType "
        "ResumeProgram SuspendProgram ResumeFailProgram SuspendExcNodes PrivateData "
        "AccountingStorageType AccountingStorageHost AccountingStoragePort AccountingStoragePass"
    )
    .lower()
    .split()
)
"""Options that a cluster on this machine stands on: a user's setting of one of these is not taken over."""


NOWHERE: Final = "192.0.2.1"
"""Address of a node that has no machine now: no network has it (RFC 5737), so nobody waits for an answer."""

SUSPEND_TIMEOUT: Final = 5

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
        programs: directory of the programs that start and end dynamic nodes.
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
    programs: str = "/opt/slurm/etc/pcluster"
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
    startable = bool(spec.endpoint)
    lines += [_node_line(node, place, startable) for node in spec.nodes] or [_NO_NODE]
    state = "INACTIVE" if spec.stopped else "UP"
    lines += [_partition_line(each, state, default=number == 0) for number, each in enumerate(spec.partitions)]
    return "\n".join(lines) + "\n"


def hostlist(names: Iterable[str]) -> str:
    """Return the names as Slurm writes them, ``a-[1-3],b-1``: a line of slurm.conf has no room for a thousand."""
    numbers: dict[str, list[int]] = {}
    for name in names:
        prefix, _, number = name.rpartition("-")
        numbers.setdefault(prefix, []).append(int(number))
    return ",".join(f"{prefix}-{_ranges(found)}" for prefix, found in numbers.items())


def _ranges(numbers: list[int]) -> str:
    first, last = min(numbers), max(numbers)
    if len(numbers) == 1:
        return str(first)
    if last - first + 1 == len(set(numbers)):
        return f"[{first}-{last}]"
    return f"[{','.join(map(str, sorted(numbers)))}]"


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
    expire = f"cred_expire={spec.credential}"
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
        "DebugFlags": "NO_CONF_HASH",
        "JobCompType": "jobcomp/filetxt",
        "JobCompLoc": f"{place.logs}/{JOB_LOG}",
    }
    return options | _scheduling(spec) | _timeouts() | _power(spec, place)


def _scheduling(spec: Spec) -> dict[str, str]:
    options = {
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU_Memory" if spec.memory_based else "CR_CPU",
        "SchedulerParameters": "bf_interval=1,sched_interval=2,batch_sched_delay=0,sched_min_interval=0",
        "SlurmdParameters": "config_overrides",
    }
    if any(node.gpus for node in spec.nodes):
        options["GresTypes"] = "gpu"
    return options


def _power(spec: Spec, place: Place) -> dict[str, str]:
    """As ParallelCluster sets up power saving: dynamic nodes alone are ended, and those that are off are shown.

    A node that fails to start is ended like one that was idle.
    """
    if not (spec.endpoint and any(node.dynamic for node in spec.nodes)):
        return {}
    static = hostlist(node.name for node in spec.nodes if not node.dynamic)
    return {
        "PrivateData": "cloud",
        "ResumeProgram": f"{place.programs}/resume",
        "SuspendProgram": f"{place.programs}/suspend",
        "ResumeFailProgram": f"{place.programs}/suspend",
        "ResumeTimeout": str(spec.boot),
        "SuspendTimeout": str(SUSPEND_TIMEOUT),
        "SuspendTime": str(spec.idle or "INFINITE"),
        "ResumeRate": "0",
        "SuspendRate": "0",
        **({"SuspendExcNodes": static} if static else {}),
    }


def power_program(spec: Spec, what: str, environment: Mapping[str, str]) -> str:
    """Return the text of the program that asks the local cloud to start or end (``resume``, ``suspend``) nodes.

    Slurm gives it a list of nodes and does not wait for what becomes of them. It needs no program but bash's own and
    scontrol, so it runs on every node.
    """
    lines = ["#!/bin/bash", *(f"export {name}={shlex.quote(value)}" for name, value in environment.items())]
    target = f"/_pcinfra/clusters/{spec.name}/{what}"
    head = f"POST {target} HTTP/1.1\\r\\nHost: local\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n%s"
    return "\n".join(
        [
            *lines,
            'nodes=$(scontrol show hostnames "$1") || exit',
            f"exec 3<>/dev/tcp/127.0.0.1/{spec.endpoint} || exit",
            f'printf \'{head}\' "${{#nodes}}" "$nodes" >&3',
            "read -r _ status _ <&3",
            "[[ $status == 200 ]]",
            "",
        ]
    )


def _timeouts() -> dict[str, str]:
    """Seconds. Short, because nothing here is far away: a dead node is seen within 25 s, not 5 minutes."""
    return {
        "ReturnToService": "2",
        "SlurmctldTimeout": "10",
        "SlurmdTimeout": "10",
        "InactiveLimit": "0",
        "KillWait": "5",
    }


def _node_line(node: Node, place: Place, startable: bool) -> str:
    """A dynamic node that nobody could start is one of the future: Slurm keeps it for itself."""
    state = ("CLOUD" if startable else "FUTURE") if node.dynamic else "UNKNOWN"
    where = f"NodeAddr={node.address or NOWHERE}"
    if place.ports:
        where = f"NodeHostname={place.host} NodeAddr=127.0.0.1 Port={place.ports[node.name]}"
    words = [f"NodeName={node.name}", where, f"CPUs={node.cpus}", f"RealMemory={node.memory}", f"State={state}"]
    words += [f"Feature={','.join(node.features)}"] if node.features else []
    words += [f"Weight={1000 if node.dynamic else 1}"]
    words += [f"Gres=gpu:{node.gpu}:{node.gpus}"] if node.gpus else []
    return " ".join(words + [f"{name}={value}" for name, value in node.settings.items()])


def _partition_line(partition: Partition, state: str, *, default: bool) -> str:
    words = [f"PartitionName={partition.name}"]
    words += [f"Nodes={hostlist(partition.nodes)}"] if partition.nodes else []
    words += ["MaxTime=INFINITE", f"State={state}"]
    words += ["Default=YES"] if default else []
    words += ["OverSubscribe=EXCLUSIVE"] if partition.exclusive else []
    return " ".join(words + [f"{name}={value}" for name, value in partition.settings.items()])
