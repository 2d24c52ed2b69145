"""What every backend can do with a run: submit, look at it, steer it, and tell what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from pcinfra.errors import PcinfraError
from pcinfra.jobs.manifest import Manifest
from pcinfra.sessions import Request


class State(StrEnum):
    """Where a run stands, in the same words for every backend."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    ENDING = "ending"
    UNKNOWN = "unknown"  # the backend does not answer
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    LOST = "lost"  # ended without a result: its nodes died, or it was killed

    @property
    def ended(self) -> bool:
        return self in (State.DONE, State.FAILED, State.CANCELLED, State.TIMEOUT, State.LOST)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a run: from getting its nodes to losing them. Times are seconds since 1970.

    Args:
        number: from 0 on.
        nodes: as the backend writes them; ``count`` is their number.
        gpus: per node.
        began: when the command began; None: it has not, or it is not known.
        ended: None: it goes on, or nobody knows how long it lived.
        verdict: how it ended, in the backend's word; empty while it goes on, or when it left none. ``why``: in plain
            words, where it says so.
    """

    number: int
    nodes: str = ""
    count: int = 1
    gpus: int = 0
    started: float = 0.0
    began: float | None = None
    ended: float | None = None
    verdict: str = ""
    exit_code: int | None = None
    why: str = ""

    def seconds(self, now: float) -> float:
        """Return for how long it had its nodes, at ``now`` while it goes on."""
        return max(0.0, (now if self.ended is None else self.ended) - self.started)


@dataclass(frozen=True, slots=True)
class Tasks:
    """What the tasks of an array have used: too many to be told one by one.

    Args:
        begun: attempts of tasks that have begun.
        node_seconds: nodes times seconds of those that have ended; ``gpu_seconds`` likewise.
        nodes: of those that go on now, as ``gpus``; ``node_starts`` and ``gpu_starts`` sum up since when.
    """

    begun: int = 0
    node_seconds: float = 0.0
    gpu_seconds: float = 0.0
    nodes: int = 0
    gpus: int = 0
    node_starts: float = 0.0
    gpu_starts: float = 0.0


@dataclass(frozen=True, slots=True)
class Status:
    """Where one run stands.

    Args:
        job: the backend's own id; empty while there is none.
        why: in plain words, where there is something to say.
        nodes: where it runs or ran, as the backend writes it.
        exit_code: the job's, once it has ended; 128 + signal when it was killed.
        wants: the nodes that it asks for.
        submitted: seconds since 1970; 0: not known.
        attempts: what is known of each, in their order.
        tasks: of an array, in place of attempts.
    """

    run: str
    state: State
    job: str = ""
    why: str = ""
    nodes: str = ""
    exit_code: int | None = None
    wants: int = 1
    submitted: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    tasks: Tasks | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a run's logs is wanted; None: every node, every attempt, from the beginning.

    Args:
        node: a node's name, or its number in the run, from 0 on.
        since: nothing that was written before this moment (seconds since 1970), as far as the backend can tell.
    """

    node: str | None = None
    attempt: int | None = None
    since: float | None = None


EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a look may wait for something new before it answers.

    Args:
        seconds: at most.
        quiet: for how many seconds nothing new has come, or usually comes: the longer, the more seldom it is looked
            for.
    """

    seconds: float
    quiet: float = 0.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of one log: from ``offset`` on, as many as came in one answer; ``node`` wrote them, if one did."""

    log: str
    offset: int
    data: bytes
    node: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a run: where it stands, and what is new in its logs.

    Args:
        nodes: how many may have written what is wanted of the logs.
        more: the logs did not fit into one answer.
        begins: logs of which what came before an offset is not wanted (:attr:`Wanted.since`); the line that is under
            way there is not wanted either.
        waited: it has waited for so many seconds, or might have; None: it cannot wait, and whoever looks again must.
    """

    status: Status
    nodes: int = 1
    chunks: tuple[Chunk, ...] = ()
    more: bool = False
    begins: Mapping[str, int] = field(default_factory=dict)
    waited: float | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Which runs to list.

    Args:
        name: the beginning of their ids.
        states: none means all.
    """

    limit: int = 50
    name: str = ""
    states: frozenset[State] = frozenset()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that is complete: at which step, by which attempt, when (seconds since 1970)."""

    attempt: int
    time: float
    step: int | None = None


@dataclass(frozen=True, slots=True)
class History:
    """All that is kept of one run; ``spec`` is its job file as it was submitted."""

    status: Status
    spec: Mapping[str, object]
    checkpoints: tuple[Checkpoint, ...] = ()


class Launcher(Protocol):
    """Submits Manifests to one backend and follows them.

    A run is named by its id, by the beginning of it where that is clear, or by the backend's job id. What takes such a
    name raises NotFound when there is no such run, and UsageError when it means several.
    """

    def submit(self, manifest: Manifest) -> str:
        """Submit, and return the backend's job id. Done twice with one Manifest, it makes one job."""
        ...

    def look(
        self,
        run: str,
        offsets: Mapping[str, int] | None = None,
        wanted: Wanted = EVERYTHING,
        wait: Wait | None = None,
    ) -> Look:
        """Return where ``run`` stands and what its logs hold beyond ``offsets`` (bytes by log; None: no logs).

        Args:
            wait: whoever can waits for something new: beyond ``offsets``, or in where the last look said that the run
                stands. None: the answer comes at once.
        """
        ...

    def cancel(self, run: str) -> Status:
        """Ask for the end of ``run`` and return where it stands; a run that has ended is left as it is."""
        ...

    def requeue(self, run: str) -> Status:
        """End the present attempt of ``run`` and begin another, under the same id; return where it stands.

        Raises:
            Refused: the backend has forgotten it, or does not allow it.
        """
        ...

    def rerun(self, run: str, new: str) -> str:
        """Submit the files of ``run`` again as the run ``new``, and return the backend's job id."""
        ...

    def runs(self, query: Query) -> list[Status]:
        """Return the newest runs that ``query`` means, newest first."""
        ...

    def history(self, run: str) -> History:
        """Return all that is kept of ``run``."""
        ...

    def shell(self, run: str, node: str = "") -> Sequence[str] | Request:
        """Return the session, or the program of this machine with its arguments, that opens a shell beside the
        processes of ``run``.

        Args:
            node: name or number; empty: its first.

        Raises:
            Refused: it does not run.
        """
        ...


@runtime_checkable
class ManyLauncher(Launcher, Protocol):
    """A Launcher that submits many at little more than the price of one."""

    def submit_all(self, manifests: Sequence[Manifest]) -> list[str | PcinfraError]:
        """For each, return the backend's job id, or why it was refused."""
        ...


def submit_all(launcher: Launcher, manifests: Sequence[Manifest]) -> list[str | PcinfraError]:
    """Submit every manifest; for each, return the backend's job id, or why it was refused."""
    if isinstance(launcher, ManyLauncher):
        return launcher.submit_all(manifests)
    return [_submitted(launcher, manifest) for manifest in manifests]


def _submitted(launcher: Launcher, manifest: Manifest) -> str | PcinfraError:
    try:
        return launcher.submit(manifest)
    except PcinfraError as error:
        return error
