"""What ParallelCluster's clustermgtd does: it keeps the fleet as it is wanted, and replaces what died.

Source: aws-parallelcluster-node, ``slurm_plugin/clustermgtd.py`` (``_handle_unhealthy_static_nodes``,
``_handle_unhealthy_dynamic_nodes``, ``_handle_ice_nodes``), and ``clusterstatusmgtd.py`` (requests to stop and to
start the fleet). On AWS it looks every minute; here every two seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from pcinfra.errors import NotFound
from pcinfra.localcloud import computefleet, power
from pcinfra.localcloud.homes import Home, Homes
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.localcloud.slurm.config import ComputeNode

_LOG = logging.getLogger(__name__)

LOOK = 2.0
"""Seconds between two looks."""

PATIENCE = 90.0
"""Seconds that a replaced static node has to come up before it is replaced again (node_replacement_timeout)."""

INSUFFICIENT_CAPACITY_TIMEOUT = 60.0
"""Seconds after which a node that EC2 had no capacity for may be tried again; ten minutes on AWS."""

UNHEALTHY_STATIC = "Static node maintenance: unhealthy node is being replaced"
UNHEALTHY_DYNAMIC = "Scheduler health check failed"
QUEUE_UPDATE = "Queue update: the node is replaced once it is idle"
STOPPING = "stopping cluster"


@dataclass
class _Notes:
    """What is remembered of one cluster between two looks: node -> when (time.monotonic)."""

    replaced: dict[str, float] = field(default_factory=dict)
    without_capacity: dict[str, float] = field(default_factory=dict)


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
        status = computefleet.status(home.client, home.name)
        if status in ("STOP_REQUESTED", "STOPPING"):
            self._stop_fleet(home, status)
        elif status in ("START_REQUESTED", "STARTING"):
            self._start_fleet(home, status)
        elif status == "RUNNING":
            self._maintain(home, cluster)

    # -- the fleet as a whole -------------------------------------------------------------------------------------

    def _stop_fleet(self, home: Home, status: str) -> None:
        computefleet.say(home.client, home.name, "STOPPING", before=status)
        spec, machines = home.cluster.spec, home.machines
        home.cluster.stop_fleet()
        there = [node.name for node in spec.nodes if node.name in machines.nodes]
        power.down(home, there, STOPPING)
        power.unplug(home, there)
        home.cluster.control(*_power_down([node.name for node in spec.nodes if node.dynamic and node.name in there]))
        computefleet.say(home.client, home.name, "STOPPED", before="STOPPING")
        power.publish(home, "clusterstatusmgtd", ["the compute fleet is STOPPED"])

    def _start_fleet(self, home: Home, status: str) -> None:
        computefleet.say(home.client, home.name, "STARTING", before=status)
        home.cluster.start_fleet()
        self._replace(home, [node for node in home.compute().values() if not node.dynamic])
        computefleet.say(home.client, home.name, "RUNNING", before="STARTING")
        power.publish(home, "clusterstatusmgtd", ["the compute fleet is RUNNING"])

    # -- single nodes ---------------------------------------------------------------------------------------------

    def _maintain(self, home: Home, cluster: SlurmCluster) -> None:
        health = cluster.health()
        if not health:
            return  # the controller does not answer
        notes, compute = self._notes.setdefault(home.name, _Notes()), home.compute()
        self._retry_capacity(home, notes, {name: why for name, (_, why) in health.items()})
        dead = {node.name for node in cluster.spec.nodes if node.address and not cluster.up(node.name)}
        unhealthy = [compute[name] for name in compute if name in dead or _is_down(*health.get(name, ("", "")))]
        idle = [compute[name] for name in compute if _waits_for_replacement(*health.get(name, ("", "")))]
        static = [node for node in unhealthy if not node.dynamic and not self._is_coming(notes, node, dead)]
        self._heal_static(home, static, cluster)
        there = home.machines.nodes
        self._heal_dynamic(home, [node.name for node in unhealthy if node.dynamic and node.name in there])
        self._replace(home, [node for node in idle if not node.dynamic])
        home.cluster.control(*_power_down([node.name for node in idle if node.dynamic]))

    def _is_coming(self, notes: _Notes, node: ComputeNode, dead: set[str]) -> bool:
        """A machine that was replaced a moment ago and runs may still come up."""
        since = notes.replaced.get(node.name, -PATIENCE)
        return node.name not in dead and time.monotonic() - since < PATIENCE

    def _heal_static(self, home: Home, nodes: Sequence[ComputeNode], cluster: SlurmCluster) -> None:
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
            home.cluster.control(*_power_down(names))

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

    def _retry_capacity(self, home: Home, notes: _Notes, reasons: dict[str, str]) -> None:
        """A dynamic node that EC2 had no capacity for is free again after a while."""
        failed = {name for name, why in reasons.items() if power.RESUME_FAILED in why}
        now, noted = time.monotonic(), notes.without_capacity
        notes.without_capacity = {name: noted.get(name, now) for name in failed}
        over = [n for n, since in notes.without_capacity.items() if now - since > INSUFFICIENT_CAPACITY_TIMEOUT]
        home.cluster.control(*_power_down(over))


def _is_down(state: str, reason: str) -> bool:
    """A node that EC2 had no capacity for waits for its time; one that an administrator put down is left alone."""
    return state.startswith("down") and power.RESUME_FAILED not in reason


def _waits_for_replacement(state: str, reason: str) -> bool:
    return state.startswith("drained") and reason == QUEUE_UPDATE


def _power_down(names: Sequence[str]) -> list[list[str]]:
    return [["update", f"NodeName={name}", "State=POWER_DOWN"] for name in names]
