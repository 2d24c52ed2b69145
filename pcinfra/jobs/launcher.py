"""What every backend can do with a run: submit, look at it, cancel it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from pcinfra.errors import PcinfraError
from pcinfra.jobs.manifest import Manifest


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
class Status:
    """Where one run stands.

    Args:
        job: the backend's own id; empty while there is none.
        why: in plain words, where there is something to say.
        nodes: where it runs or ran, as the backend writes it.
        exit_code: the job's, once it has ended; 128 + signal when it was killed.
    """

    run: str
    state: State
    job: str = ""
    why: str = ""
    nodes: str = ""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of one log: from ``offset`` on, as many as came in one answer; ``node`` wrote them, if one did."""

    log: str
    offset: int
    data: bytes
    node: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a run of ``nodes`` nodes: where it stands and what is new in its logs.

    ``more`` says that the logs did not fit into one answer.
    """

    status: Status
    nodes: int = 1
    chunks: tuple[Chunk, ...] = ()
    more: bool = False


class Launcher(Protocol):
    """Submits Manifests to one backend and follows them.

    A run is named by its id, by the beginning of it where that is clear, or by the backend's job id.
    """

    def submit(self, manifest: Manifest) -> str:
        """Submit, and return the backend's job id. Done twice with one Manifest, it makes one job."""
        ...

    def look(self, run: str, offsets: Mapping[str, int] | None = None) -> Look:
        """Return where ``run`` stands and what its logs hold beyond ``offsets`` (bytes by log; None: no logs).

        Raises:
            NotFound: there is no such run.
            UsageError: the name means several runs.
        """
        ...

    def cancel(self, run: str) -> Status:
        """Ask for the end of ``run`` and return where it stands; a run that has ended is left as it is."""
        ...

    def runs(self, limit: int) -> list[Status]:
        """Return the newest runs, newest first."""
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
