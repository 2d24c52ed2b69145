"""Letting a cluster run empty and go on again, as Actions: what stands around an update that stops its nodes.

Queues are held by ``State=DOWN`` (scontrol(1)): jobs can be submitted and wait, those that run go on, none starts.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.engine.model import Action, Kind, Pending
from pcinfra.jobs.headnode import SsmHeadNode, head_node_id
from pcinfra.jobs.slurm.view import Job, view

if TYPE_CHECKING:
    from pcinfra.doors import Doors

SECONDS = 5.0
JOB_SECONDS = 3600.0  # nobody knows how long a job without a limit takes
KILL_SECONDS = 120.0  # KillWait of the shapes is 90

_SET = 'for queue in {queues}; do timeout 20 scontrol update PartitionName="$queue" State={state} || exit; done'


@dataclass(frozen=True, slots=True)
class Hold:
    """Holds every queue that is up; the result is their names."""

    cluster: str

    def start(self, context: Doors, results: Mapping[str, Any]) -> tuple[str, ...]:
        head = _head(context, self.cluster)
        up = tuple(queue.name for queue in view(head).queues if queue.state == "up")
        _set(head, up, "DOWN")
        return up


@dataclass(frozen=True, slots=True)
class Release:
    """Lets the queues that ``held`` (the id of the Action that held them) go on; without it, every queue that is held.

    The result is their names.
    """

    cluster: str
    held: str

    def start(self, context: Doors, results: Mapping[str, Any]) -> tuple[str, ...]:
        head = _head(context, self.cluster)
        down = [queue.name for queue in view(head).queues if queue.state == "down"]
        ours = results.get(self.held)
        wanted = tuple(name for name in down if ours is None or name in ours)
        _set(head, wanted, "UP")
        return wanted


@dataclass(frozen=True, slots=True)
class JobsOn:
    """Reads the jobs that hold nodes; the key is the head node's instance id."""

    def read(self, context: Doors, keys: frozenset[str]) -> Mapping[str, tuple[Job, ...]]:
        return {key: view(SsmHeadNode(context.cloud, key, "")).running for key in keys}


@dataclass(frozen=True, slots=True)
class AwaitJobs:
    """Waits until no job holds a node; with ``kill`` ends them first. The result is how many there were at first."""

    cluster: str
    kill: bool = False

    def start(self, context: Doors, results: Mapping[str, Any]) -> int | Pending:
        head = _head(context, self.cluster)
        running = view(head).running
        if not running:
            return 0
        if self.kill:
            head.administer(f"timeout 30 scancel -Q -- {shlex.join(job.id for job in running)}").check()
        first = len(running)
        return Pending(JobsOn(), head.instance_id, lambda left: None if left else (first,), _progress)


def _progress(left: tuple[Job, ...] | None) -> str:
    return "; ".join(map(str, (left or ())[:3])) + (f" and {len(left) - 3} more" if left and len(left) > 3 else "")


def _head(context: Doors, cluster: str) -> SsmHeadNode:
    return SsmHeadNode(context.cloud, head_node_id(context.cloud, cluster), "")


def _set(head: SsmHeadNode, queues: Sequence[str], state: str) -> None:
    if queues:
        head.administer(_SET.format(queues=shlex.join(queues), state=state), timeout=120).check()


def pausing(cluster: str, running: Sequence[Job], *, kill: bool) -> list[Action]:
    """Return the Actions after which no job holds a node and none will start."""
    name = f"cluster/{cluster}"
    hold = Action(
        f"{name}/hold", Kind.RUN, f"queues of {cluster}: hold", "so that no job starts", Hold(cluster), seconds=SECONDS
    )
    told = "; ".join(map(str, running[:5])) + (f" and {len(running) - 5} more" if len(running) > 5 else "")
    what = f"jobs on {cluster}: {'end them' if kill and running else 'wait until they have ended'}"
    loses = f"what these jobs have not saved: {told}" if kill and running else ""
    seconds = (KILL_SECONDS if kill else _longest(running)) if running else SECONDS
    why = told or "none runs now"
    wait = Action(f"{name}/jobs", Kind.RUN, what, why, AwaitJobs(cluster, kill), frozenset({hold.id}), loses, seconds)
    return [hold, wait]


def resuming(cluster: str, after: frozenset[str]) -> Action:
    """Return the Action that lets the queues go on that :func:`pausing` has held."""
    operation = Release(cluster, f"cluster/{cluster}/hold")
    what = f"queues of {cluster}: let jobs start again"
    return Action(f"cluster/{cluster}/release", Kind.RUN, what, "they were held", operation, after, seconds=SECONDS)


def _longest(running: Sequence[Job]) -> float:
    """Return the seconds after which the last job is ended by its limit."""
    left = [JOB_SECONDS if job.seconds_left is None else job.seconds_left for job in running]
    return max(left, default=SECONDS)
