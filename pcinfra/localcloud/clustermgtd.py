"""What ParallelCluster's clustermgtd does: it keeps the fleet as it is wanted, and replaces what died.

Source: aws-parallelcluster-node, ``slurm_plugin/clustermgtd.py`` (``_handle_unhealthy_static_nodes``,
``_handle_unhealthy_dynamic_nodes``, ``_handle_ice_nodes``), and ``clusterstatusmgtd.py`` (requests to stop and to
start the fleet). On AWS it looks every minute; here every two seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from pcinfra.errors import NotFound
from pcinfra.localcloud import computefleet, logins, power, protected
from pcinfra.localcloud.computefleet import Instance
from pcinfra.localcloud.homes import Home, Homes
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.localcloud.slurm.config import ComputeNode

_LOG = logging.getLogger(__name__)

LOOK = 2.0
"""Seconds between two looks."""

PATIENCE = 30.0
"""Seconds beyond its time to boot that a replaced static node has before it is replaced again."""

INSUFFICIENT_CAPACITY_TIMEOUT = 60.0
"""Seconds after which a node that EC2 had no capacity for may be tried again; ten minutes on AWS."""

BOOT_LOGS = {"parallelcluster/bootstrap_error_msg": "bootstrap_error_msg", "cloud-init-output.log": "cloud-init-output"}
"""Files in /var/log that say why a node did not boot, and their streams in CloudWatch."""

UNHEALTHY_STATIC = "Static node maintenance: unhealthy node is being replaced"
UNHEALTHY_DYNAMIC = "Scheduler health check failed"
QUEUE_UPDATE = "Queue update: the node is replaced once it is idle"
STOPPING = "stopping cluster"

_OFF = "~"
_SILENT = "*"
"""End of the state of a node that does not answer."""
_POWERED_OFF = ("~", "%")
"""Ends of the state of a node that is off, or on its way there; see sinfo(1), "NODE STATE CODES"."""


@dataclass
class _Notes:
    """What is remembered of one cluster between two looks: node -> when (time.monotonic)."""

    replaced: dict[str, float] = field(default_factory=dict)
    without_capacity: dict[str, float] = field(default_factory=dict)
    failures: protected.Failures = field(default_factory=protected.Failures)

    def arrived(self, states: Mapping[str, str]) -> None:
        """Forget that a node was replaced once it is up: what happens to it then is another failure.

        Source: ``_update_static_nodes_in_replacement`` of clustermgtd.
        """
        up = {name for name, state in states.items() if not _is_bad(state) and not state.endswith(_SILENT)}
        self.replaced = {name: when for name, when in self.replaced.items() if name not in up}


class Clustermgtd:
    """One thread for every cluster of the local cloud."""

    def __init__(self, homes: Homes) -> None:
        self._homes = homes
        self._notes: dict[str, _Notes] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clustermgtd", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return when it has ended."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(60)

    def _run(self) -> None:
        while not self._end.wait(LOOK):
            for home in self._homes:
                if not self._end.is_set():
                    self._look_safely(home)

    def _look_safely(self, home: Home) -> None:
        if not home.lock.acquire(blocking=False):
            return  # it is being set up, updated or deleted
        try:
            self.look(home)
        except NotFound:
            _LOG.debug("cluster %s is gone", home.name)
        except Exception:
            _LOG.exception("cluster %s", home.name)
        finally:
            home.lock.release()

    def look(self, home: Home) -> None:
        """Look at one cluster and do what is to be done. Its head node must be there: without it nobody would."""
        cluster = home.cluster
        if not cluster.up(cluster.spec.head.name) or not computefleet.running(home.client, [home.machines.head]):
            return
        logins.keep(home)
        status = computefleet.status(home.client, home.name)
        if status in ("STOP_REQUESTED", "STOPPING"):
            self._stop_fleet(home, status)
        elif status in ("START_REQUESTED", "STARTING"):
            self._start_fleet(home, status)
        elif status in ("RUNNING", "PROTECTED"):
            self._maintain(home, cluster, status)

    # -- the fleet as a whole -------------------------------------------------------------------------------------

    def _stop_fleet(self, home: Home, status: str) -> None:
        computefleet.say(home.client, home.name, "STOPPING", before=status)
        spec, machines = home.cluster.spec, home.machines
        home.cluster.stop_fleet()
        there = [node.name for node in spec.nodes if node.name in machines.nodes]
        power.down(home, there, STOPPING)
        power.unplug(home, there)
        home.cluster.control(*_update([n.name for n in spec.nodes if n.dynamic and n.name in there], "POWER_DOWN"))
        computefleet.say(home.client, home.name, "STOPPED", before="STOPPING")
        power.publish(home, "clusterstatusmgtd", ["the compute fleet is STOPPED"])

    def _start_fleet(self, home: Home, status: str) -> None:
        computefleet.say(home.client, home.name, "STARTING", before=status)
        home.cluster.start_fleet()
        self._notes.setdefault(home.name, _Notes()).failures.clear()
        self._replace(home, [node for node in home.compute().values() if not node.dynamic])
        computefleet.say(home.client, home.name, "RUNNING", before="STARTING")
        power.publish(home, "clusterstatusmgtd", ["the compute fleet is RUNNING"])

    # -- single nodes ---------------------------------------------------------------------------------------------

    def _maintain(self, home: Home, cluster: SlurmCluster, status: str) -> None:
        health = cluster.health()
        if not health:
            return  # the controller does not answer
        off = cluster.inactive() if status == "PROTECTED" else frozenset()
        self._clear_out(home, off)
        notes = self._notes.setdefault(home.name, _Notes())
        compute = {name: node for name, node in home.compute().items() if node.queue["Name"] not in off}
        waiting = self._waiting_for_capacity(notes, {name: why for name, (_, why) in health.items()})
        states = {name: state for name, (state, _) in health.items() if name in compute and name not in waiting}
        dead = {node.name for node in cluster.spec.nodes if node.address and _is_dead(cluster, node.name)}
        bad = [node for name, node in compute.items() if name in dead or _is_bad(states.get(name, ""))]
        notes.arrived(states)
        notes.failures.look(states, compute)
        self._count(home, notes, [node for node in bad if node.dynamic or node.name in notes.replaced])
        self._heal_static(home, [n for n in bad if not n.dynamic and not self._is_coming(notes, n.name, dead, cluster)])
        on = [node.name for node in bad if node.dynamic and not states.get(node.name, "").endswith(_POWERED_OFF)]
        self._heal_dynamic(home, on)
        rested = [node.name for node in bad if node.dynamic and states.get(node.name, "").endswith(_OFF)]
        home.cluster.control(*_update(rested, "RESUME"))
        protected.write_settings(cluster.paths.etc)
        limit = protected.limit(cluster.paths.etc)
        self._protect(home, status, notes.failures.to_disable(limit, states, compute, off))

    # -- protected mode -------------------------------------------------------------------------------------------

    def _count(self, home: Home, notes: _Notes, nodes: Sequence[ComputeNode]) -> None:
        """Count the nodes that end without having been up; one without an instance has been counted."""
        there = home.machines.nodes
        names = notes.failures.failed(node for node in nodes if node.name in there)
        for name in names:
            self._say_why(home, name, there[name])
        if names:
            counts = {queue: dict(failures) for queue, failures in notes.failures.counts.items()}
            lines = [f"Found the following bootstrap failure nodes: {names}",
                     f"Partitions bootstrap failure count: {counts}"]  # fmt: skip
            power.publish(home, "clustermgtd", lines)

    def _say_why(self, home: Home, node: str, instance: str) -> None:
        """Put what the node wrote as it booted into CloudWatch: its disk goes with it."""
        cluster, client, group = home.cluster, home.client, home.machines.log_group
        machine = Instance(instance, cluster.spec.node(node).address, "")
        for file, stream in BOOT_LOGS.items():
            computefleet.log(client, group, machine, stream, cluster.last_lines(node, file))

    def _protect(self, home: Home, status: str, queues: Sequence[str]) -> None:
        if not queues:
            return
        power.publish(home, "clustermgtd", [f"Placing bootstrap failure partitions to INACTIVE: {queues}"])
        home.cluster.control(*(["update", f"PartitionName={queue}", "State=INACTIVE"] for queue in queues))
        if status != "PROTECTED" and computefleet.say(home.client, home.name, "PROTECTED", before=status):
            power.publish(home, "clustermgtd", [protected.ENTERED])

    def _clear_out(self, home: Home, queues: Collection[str]) -> None:
        """End what runs in queues that are switched off (``_clean_up_inactive_partition``)."""
        there = home.machines.nodes
        names = [name for name, node in home.compute().items() if node.queue["Name"] in queues and name in there]
        if names:
            power.down(home, names, UNHEALTHY_DYNAMIC)
            power.unplug(home, names)
            home.cluster.control(*_update(names, "POWER_DOWN"))

    def _is_coming(self, notes: _Notes, node: str, dead: set[str], cluster: SlurmCluster) -> bool:
        """A machine that was replaced a moment ago and runs may still come up."""
        until = notes.replaced.get(node, 0.0) + cluster.spec.boot + PATIENCE
        return node not in dead and node in notes.replaced and time.monotonic() < until

    def _heal_static(self, home: Home, nodes: Sequence[ComputeNode]) -> None:
        if nodes:
            names = [node.name for node in nodes]
            power.publish(home, "clustermgtd", [f"Setting unhealthy static nodes to DOWN: {names}"])
            power.down(home, names, UNHEALTHY_STATIC)
            self._replace(home, nodes)

    def _heal_dynamic(self, home: Home, names: Sequence[str]) -> None:
        if names:
            power.publish(home, "clustermgtd", [f"Setting unhealthy dynamic nodes to down and power_down: {names}"])
            power.down(home, names, UNHEALTHY_DYNAMIC)
            power.unplug(home, names)
            home.cluster.control(*_update(names, "POWER_DOWN"))

    def _replace(self, home: Home, nodes: Sequence[ComputeNode]) -> None:
        """Give static nodes new instances; what EC2 does not give is asked for again at a later look."""
        notes = self._notes.setdefault(home.name, _Notes())
        for node in nodes:
            power.unplug(home, [node.name])
            try:
                power.plug_in(home, power.launch(home, [node]))
            except ClientError as error:
                power.publish(home, "clustermgtd", [f"Failed to launch an instance for {node.name}: {error}"])
            else:
                home.cluster.control(["update", f"NodeName={node.name}", "State=RESUME"])
            notes.replaced[node.name] = time.monotonic()

    def _waiting_for_capacity(self, notes: _Notes, reasons: dict[str, str]) -> set[str]:
        """Return the dynamic nodes that EC2 had no capacity for a short while ago."""
        failed = {name for name, why in reasons.items() if power.RESUME_FAILED in why}
        now, noted = time.monotonic(), notes.without_capacity
        notes.without_capacity = {name: noted.get(name, now) for name in failed}
        return {n for n, since in notes.without_capacity.items() if now - since < INSUFFICIENT_CAPACITY_TIMEOUT}


def _is_dead(cluster: SlurmCluster, node: str) -> bool:
    """A node whose boot fails switches itself off (pcluster, ``resources/compute_node/user_data.sh``)."""
    return not cluster.up(node) or cluster.boot_failed(node)


def _is_bad(state: str) -> bool:
    """ParallelCluster replaces what is down, and what is drained and runs no job, whoever put it into that state."""
    return state.startswith(("down", "drained"))


def _update(names: Sequence[str], state: str) -> list[list[str]]:
    return [["update", f"NodeName={name}", f"State={state}"] for name in names]
