"""What ParallelCluster's resume and suspend programs do: instances for dynamic nodes, and their end.

Source: aws-parallelcluster-node, ``slurm_plugin/resume.py``, ``suspend.py``, ``fleet_manager.py``: all the instances of
a compute resource that are asked for at once, or none; nodes without one go down with EC2's error code as the reason,
and Slurm requeues their job.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Sequence

from botocore.exceptions import ClientError

from pcinfra.errors import NotFound
from pcinfra.localcloud import computefleet, customactions
from pcinfra.localcloud.computefleet import Instance
from pcinfra.localcloud.homes import Home, Homes
from pcinfra.localcloud.slurm.config import ComputeNode

_LOG = logging.getLogger(__name__)

RESUME_FAILED = "Failure when resuming nodes"
"""End of the reason of a node that could not be started (``slurm_plugin/resume.py``)."""


class Power:
    """Starts and ends machines of compute nodes."""

    def __init__(self, homes: Homes) -> None:
        self._homes = homes

    def asked(self, cluster: str, what: str, nodes: Sequence[str]) -> bool:
        """Do what Slurm's program asks for, in a thread of its own; return whether it is known."""
        work = {"resume": self.resume, "suspend": self.suspend}.get(what)
        if work is None or not self._homes.home(cluster).exists:
            return False
        arguments = (work, self._homes.home(cluster), nodes)
        threading.Thread(target=_log_errors, args=arguments, name=f"{what} {cluster}", daemon=True).start()
        return True

    def resume(self, home: Home, names: Iterable[str]) -> None:
        """Start instances for dynamic nodes; names of others are ignored."""
        with home.lock:
            known = home.compute()
            wanted = [known[name] for name in names if name in known and known[name].dynamic]
            started: dict[str, Instance] = {}
            for group in _by_resource(wanted):
                started |= self._launch_or_down(home, group)
            plug_in(home, started)

    def suspend(self, home: Home, names: Iterable[str]) -> None:
        """End the machines of dynamic nodes and terminate their instances."""
        with home.lock:
            known = home.compute()
            unplug(home, [name for name in names if name in known and known[name].dynamic])

    def _launch_or_down(self, home: Home, group: Sequence[ComputeNode]) -> dict[str, Instance]:
        try:
            return launch(home, group)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            _LOG.warning("cluster %s: %s: %s", home.name, group[0].name, error)
            lines = [f"Failed to launch instances for {[node.name for node in group]}: {error}"]
            publish(home, "slurm_resume", lines)
            down(home, [node.name for node in group], f"(Code:{code}){RESUME_FAILED}")
            return {}


def launch(home: Home, group: Sequence[ComputeNode]) -> dict[str, Instance]:
    """Start an instance for each node of one compute resource: all or none. Raises what EC2 says."""
    instances = computefleet.launch(home.client, home.name, group[0], len(group))
    return {node.name: instance for node, instance in zip(group, instances, strict=True)}


def plug_in(home: Home, started: dict[str, Instance]) -> None:
    """Start the machines of instances that have just been launched, and write down which is which."""
    if not started:
        return
    machines, cluster = home.machines, home.cluster
    machines.moved({name: instance.id for name, instance in started.items()}).write(home.directory)
    head = cluster.spec.head
    computefleet.assign(home.client, home.name, started, (head.name, head.address))
    seeds = customactions.seeds(home, started)
    cluster.boot({name: instance.address for name, instance in started.items()}, seeds)
    publish(home, "clustermgtd", [f"{name} is {instance.id}" for name, instance in started.items()])


def unplug(home: Home, names: Collection[str]) -> None:
    """End the machines of nodes, and terminate their instances. They are forgotten first: who hears of the end of an
    instance must not take the next machine of that name for it.
    """
    machines = home.machines
    ended = [machines.nodes[name] for name in names if name in machines.nodes]
    machines.moved(dict.fromkeys(names, "")).write(home.directory)
    home.cluster.unplug(names)
    alive = computefleet.running(home.client, ended)
    computefleet.terminate(home.client, list(alive))
    computefleet.unassign(home.client, home.name, names)


def down(home: Home, names: Sequence[str], reason: str) -> None:
    """Tell Slurm that nodes are down: it requeues their jobs at once."""
    home.cluster.control(*(["update", f"NodeName={name}", "State=DOWN", f"Reason={reason}"] for name in names))


def publish(home: Home, stream: str, lines: Sequence[str]) -> None:
    """Write to a log of the head node in CloudWatch Logs."""
    machines, head = home.machines, home.cluster.spec.head
    instance = Instance(machines.head, head.address, "")
    computefleet.log(home.client, machines.log_group, instance, stream, lines)


def _by_resource(nodes: Iterable[ComputeNode]) -> list[list[ComputeNode]]:
    groups: dict[tuple[str, str], list[ComputeNode]] = {}
    for node in nodes:
        groups.setdefault((node.queue["Name"], node.resource["Name"]), []).append(node)
    return list(groups.values())


def _log_errors(work: object, home: Home, nodes: Sequence[str]) -> None:
    try:
        work(home, nodes)  # type: ignore[operator]
    except NotFound:
        _LOG.info("cluster %s is gone", home.name)
    except Exception:
        _LOG.exception("cluster %s: %s", home.name, nodes)
