"""The end of every job of a cluster, as an Action: what comes before a cluster is deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.engine.model import Action, Kind, Pending
from pcinfra.errors import CommandFailed, NotFound, Unreachable
from pcinfra.jobs.headnode import HeadNode, SsmHeadNode, head_node_id
from pcinfra.jobs.slurm.render import PREFIX

if TYPE_CHECKING:
    from pcinfra.doors import Doors

SECONDS = 10.0
BOUND = 180.0  # seconds: KillWait of ParallelCluster's Slurm is 30, and a node's epilog may take a while

_LIST = f"timeout 20 squeue -h -u \"$USER\" -o '%A|%j' | sed -n 's/|{PREFIX}.*//p'"
_CANCEL = f'set -o pipefail; jobs=$({_LIST}) || exit; [ -z "$jobs" ] || scancel -Q $jobs; echo "$jobs"'


@dataclass(frozen=True, slots=True)
class JobsLeft:
    """Reads the ids of the jobs that a cluster has; the key is the head node's instance id."""

    user: str

    def read(self, context: Doors, keys: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
        return {key: self._left(SsmHeadNode(context.cloud, key, self.user)) for key in keys}

    def _left(self, head: HeadNode) -> tuple[str, ...]:
        """A head node that says nothing may still have jobs; how long that is waited for, the judge decides."""
        try:
            return tuple(head.run(f"set -o pipefail; {_LIST}").check().stdout.split())
        except (Unreachable, CommandFailed):
            return ("unknown",)


@dataclass(frozen=True, slots=True)
class CancelJobs:
    """Cancels the jobs of one cluster that pcinfra submitted; the result says what became of them.

    A head node that is gone or does not answer is no failure: its jobs end with the cluster.
    """

    cluster: str
    user: str

    def start(self, context: Doors, results: Mapping[str, Any]) -> str | Pending:
        try:
            instance = head_node_id(context.cloud, self.cluster)
            jobs = SsmHeadNode(context.cloud, instance, self.user).run(_CANCEL).check().stdout.split()
        except (NotFound, Unreachable, CommandFailed) as error:
            return f"not asked: {error.why}"
        if not jobs:
            return "none were there"
        return Pending(JobsLeft(self.user), instance, until_gone(len(jobs)), _progress)


def until_gone(jobs: int, clock: Callable[[], float] = time.monotonic) -> Callable[[Any], tuple[str] | None]:
    """Return a judge that waits until no job is left, at most ``BOUND`` seconds: the cluster ends the rest."""
    end = clock() + BOUND

    def judge(left: tuple[str, ...] | None) -> tuple[str] | None:
        if not left:
            return (f"{jobs} cancelled",)
        return (f"{jobs} cancelled, {len(left)} of them still ending",) if clock() > end else None

    return judge


def cancel_all(cluster: str, user: str = "", after: Iterable[str] = ()) -> Action:
    """Return the Action that ends every job which pcinfra submitted to ``cluster``.

    Args:
        user: the cluster's user; empty: the head node knows.
    """
    return Action(
        id=f"jobs/{cluster}",
        kind=Kind.RUN,
        what=f"cancel the jobs on {cluster}",
        why="they end with the cluster",
        operation=CancelJobs(cluster, user),
        after=frozenset(after),
        seconds=SECONDS,
    )


def _progress(left: tuple[str, ...] | None) -> str:
    return f"{len(left or ())} still ending"
