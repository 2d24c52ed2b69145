"""The compute fleet of a cluster: whether it runs, and starting and stopping it.

pcluster 3.16.1, ``models/compute_fleet_status_manager.py``: the status is in DynamoDB, written by pcluster as a
request and by the head node (clustermgtd) as it is carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pcinfra.clusters.pcluster import Pcluster
from pcinfra.engine import Action, Kind, Pending
from pcinfra.errors import NotFound, ResourceFailed

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors

PROTECTED = (
    "PROTECTED: nodes failed to start again and again, so that the head node has switched their queues off. "
    "Why: pcinfra cluster diagnose {0}   When that is mended: pcinfra cluster start {0}"
)
"""Source: ParallelCluster user guide, "Slurm cluster protected mode"."""

STOP_SECONDS = 120.0
START_SECONDS = 60.0


class Fleet(StrEnum):
    """pcluster's ComputeFleetStatus."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    STOPPING = "STOPPING"
    STARTING = "STARTING"
    STOP_REQUESTED = "STOP_REQUESTED"
    START_REQUESTED = "START_REQUESTED"
    PROTECTED = "PROTECTED"  # nodes failed to start again and again: queues are inactive
    UNKNOWN = "UNKNOWN"

    def in_words(self, cluster: str) -> str:
        """Return the status, and what to do about it where something is to be done."""
        return PROTECTED.format(cluster) if self is Fleet.PROTECTED else str(self)

    @property
    def stopped(self) -> bool:
        """Whether no node can run."""
        return self is Fleet.STOPPED


def fleet_of(cloud: Cloud, cluster: str) -> Fleet:
    """Return the status of the compute fleet: one call; UNKNOWN until the head node has come up."""
    try:
        answer = cloud.call(
            "dynamodb", "GetItem", TableName=f"parallelcluster-{cluster}", Key={"Id": {"S": "COMPUTE_FLEET"}}
        )
    except NotFound:
        return Fleet.UNKNOWN
    text = answer.get("Item", {}).get("Data", {}).get("M", {}).get("status", {}).get("S", "")
    return Fleet(text) if text in set(Fleet) else Fleet.UNKNOWN


@dataclass(frozen=True, slots=True)
class FleetProbe:
    """Reads the status of compute fleets by the name of the cluster."""

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, Fleet]:
        return {key: fleet_of(doors.cloud, key) for key in keys}


@dataclass(frozen=True, slots=True)
class SetFleet:
    """Starts or stops a compute fleet; the result is its status."""

    cluster: str
    running: bool

    def start(self, context: Doors, results: Mapping[str, Any]) -> Pending:
        Pcluster(context.shell, context.target).set_fleet(self.cluster, running=self.running)
        wanted = Fleet.RUNNING if self.running else Fleet.STOPPED
        return Pending(FleetProbe(), self.cluster, until(wanted, self.cluster), str)


def until(wanted: Fleet, cluster: str) -> Callable[[Fleet | None], tuple[Fleet] | None]:
    """Return the judge of a fleet that is to become ``wanted``."""

    def judge(state: Fleet | None) -> tuple[Fleet] | None:
        if state is wanted:
            return (state,)
        if state is Fleet.PROTECTED and wanted is Fleet.RUNNING:
            raise ResourceFailed(
                "its nodes fail to start again and again, so that the head node has given up",
                where=f"compute fleet of {cluster}", hint=f"pcinfra cluster diagnose {cluster}",
            )  # fmt: skip
        return None

    return judge


def stopping(cluster: str, why: str, after: frozenset[str] = frozenset(), loses: str = "") -> Action:
    """Return the Action that stops the compute fleet of ``cluster``: every compute node is terminated."""
    what = f"compute fleet of {cluster}: stop"
    return Action(f"cluster/{cluster}/stop", Kind.RUN, what, why, SetFleet(cluster, False), after, loses, STOP_SECONDS)


def starting(cluster: str, why: str, after: frozenset[str] = frozenset()) -> Action:
    """Return the Action that starts the compute fleet of ``cluster``."""
    what = f"compute fleet of {cluster}: start"
    return Action(f"cluster/{cluster}/start", Kind.RUN, what, why, SetFleet(cluster, True), after, "", START_SECONDS)
