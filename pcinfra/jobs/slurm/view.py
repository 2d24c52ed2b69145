"""What Slurm says of a cluster now: its queues, nodes and jobs, in one round trip."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcinfra.engine.model import Action, Kind
from pcinfra.errors import CommandFailed, NotFound, Unreachable
from pcinfra.jobs.headnode import SsmHeadNode, decoded, encoder, head_node_id

if TYPE_CHECKING:
    from pcinfra.doors import Doors

_SCRIPT = Path(__file__).parent / "scripts" / "view.sh"
_STOPPED = "stopping cluster"
"""The reason that clustermgtd gives to nodes when the compute fleet stops (aws-parallelcluster-node)."""

_KINDS = {
    **dict.fromkeys(("powered_down", "cloud", "future"), "off"),
    **dict.fromkeys(("powering_up", "power_up", "reboot", "reboot_issued"), "starting"),
    **dict.fromkeys(("powering_down", "power_down"), "stopping"),
    **dict.fromkeys(("down", "fail", "failing", "unknown", "error", "drained", "inval", "?"), "down"),
    "draining": "draining",
    **dict.fromkeys(("idle", "planned", "reserved", "maint", "resume", "cancel_reboot"), "idle"),
}
"""Words of node_state_string (slurm_protocol_defs.c of Slurm, which only grew); the others are of nodes with jobs."""

_ON_NODES = ("RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "SIGNALING", "STOPPED", "RESIZING")


@dataclass(frozen=True, slots=True)
class Queue:
    """A partition. ``state`` is Slurm's: up, down, drain or inact."""

    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Node:
    """A node as sinfo shows it.

    Args:
        state: Slurm's, for example ``idle``, ``allocated``, ``down*``; a flag behind it as sinfo(1) explains.
        reason: Slurm's, of a node that is down or drained; empty when it gives none. ``since``: when it was set.
    """

    name: str
    queue: str
    state: str
    reason: str = ""
    since: str = ""

    @property
    def static(self) -> bool:
        """Whether it always runs (pcluster's names: QUEUE-st-RESOURCE-N and QUEUE-dy-RESOURCE-N)."""
        return "-st-" in self.name

    @property
    def kind(self) -> str:
        """One of idle, alloc, off (not started, costs nothing), starting, stopping, draining, down.

        sinfo(1), "NODE STATE CODES": ``~`` powered off, ``#`` powering up, ``%`` powering down, ``!`` to be powered
        down, ``*`` does not answer.
        """
        word, flag = self.state.rstrip("*~#!%$@^-+"), self.state[len(self.state.rstrip("*~#!%$@^-+")) :]
        if "~" in flag or self.reason == _STOPPED:
            return "off"
        if "#" in flag or "^" in flag:
            return "starting"
        if "%" in flag or "!" in flag:
            return "stopping"
        return "down" if "*" in flag else _KINDS.get(word, "alloc")


@dataclass(frozen=True, slots=True)
class Job:
    """A job in the queue.

    Args:
        nodes: where it runs, as Slurm writes it; ``count``: how many it has or wants.
        left: until its time limit, as squeue writes it: ``1-02:30:00``, ``UNLIMITED``, ``INVALID``.
    """

    id: str
    queue: str
    state: str
    user: str
    count: str
    nodes: str
    left: str
    name: str

    @property
    def seconds_left(self) -> float | None:
        """Until its time limit; None when it has none."""
        match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", self.left)
        if not match:
            return None
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)

    @property
    def on_nodes(self) -> bool:
        """Whether it holds nodes: stopping them would end it."""
        return self.state in _ON_NODES

    def __str__(self) -> str:
        return f"{self.id} {self.name} of {self.user} ({self.state.lower()})"


@dataclass(frozen=True, slots=True)
class View:
    """All of it."""

    queues: tuple[Queue, ...] = ()
    nodes: tuple[Node, ...] = ()
    jobs: tuple[Job, ...] = ()

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs that hold nodes."""
        return tuple(job for job in self.jobs if job.on_nodes)


def view(head: SsmHeadNode) -> View:
    """Return what Slurm says now.

    Raises:
        CommandFailed: Slurm's controller does not answer.
        Unreachable: the head node does not.
    """
    done = head.administer(f"{encoder()}\n{_SCRIPT.read_text()}", timeout=70)
    if done.status:
        raise CommandFailed(["slurm"], done.status, done.stderr or "the controller does not answer")
    return parse(decoded(done.stdout).decode(errors="replace").splitlines())


def parse(lines: Iterable[str]) -> View:
    """Return the View in what the script printed. A node of several queues counts once, in the first."""
    rows = [line.split("|") for line in lines]
    nodes: dict[str, Node] = {}
    for node in _nodes(rows):
        nodes.setdefault(node.name, node)
    queues = {row[1]: Queue(row[1], row[2]) for row in rows if row[0] == "queue" and len(row) == 3}
    jobs = tuple(_job(row) for row in rows if row[0] == "job" and len(row) >= 9)
    return View(tuple(queues.values()), tuple(nodes.values()), jobs)


def _job(row: list[str]) -> Job:
    _, number, queue, state, user, count, nodes, left, *name = row
    return Job(number, queue, state, user, count, nodes, left, "|".join(name))


def _nodes(rows: Iterable[list[str]]) -> Iterator[Node]:
    for row in rows:
        if row[0] == "node" and len(row) >= 6:
            reason = "|".join(row[5:]).strip()
            given = reason not in ("", "none", "None")
            yield Node(row[1], row[2], row[3], reason if given else "", row[4] if given and row[4] != "Unknown" else "")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a cluster's Slurm said, or why it could not be asked."""

    view: View = View()
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class ReadView:
    """Ask a cluster's Slurm. The result is :class:`Asked`."""

    cluster: str

    def start(self, context: Doors, results: Mapping[str, Any]) -> Asked:
        try:
            return Asked(view(SsmHeadNode(context.cloud, head_node_id(context.cloud, self.cluster), "")))
        except (NotFound, Unreachable, CommandFailed) as error:
            return Asked(unknown=error.why)


def reading(cluster: str) -> Action:
    """Return the Action that asks the Slurm of ``cluster``."""
    return Action(f"read/slurm/{cluster}", Kind.READ, f"Slurm of {cluster}", "", ReadView(cluster))
