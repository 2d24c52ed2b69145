"""The nouns of a transfer: what is here, what is there, and what is to be done about it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A regular file below the directory. Times are seconds since 1970.

    Args:
        modified: when its content was last written, as the file system says; ``pull`` sets it.
        touched: the later of that and of its inode's last change, which no program can set back.
    """

    size: int
    modified: float
    touched: float


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """An object below the prefix. ``etag`` is without quotes; ``modified`` in seconds since 1970."""

    size: int
    etag: str
    modified: float


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something that is not transferred, and why. ``harmless``: it is meant to be so, such as a socket."""

    name: str
    why: str
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Local:
    """What is below a directory, by relative name with ``/`` between its parts."""

    files: Mapping[str, LocalFile] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Remote:
    """What is below a prefix, by key without the prefix. ``skew``: our clock minus that of S3, in seconds."""

    files: Mapping[str, RemoteFile] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    skew: float = 0.0


class StepKind(StrEnum):
    """What is done to one file."""

    SEND = "send"
    FETCH = "fetch"
    DELETE_REMOTE = "delete from S3"
    DELETE_LOCAL = "delete here"


@dataclass(frozen=True, slots=True)
class Step:
    """One file to move or to delete, and why. ``size`` in bytes."""

    kind: StepKind
    name: str
    size: int
    why: str
    remote: RemoteFile | None = None
    doubtful: bool = False
    """Only the content can tell whether it has to be moved: see :func:`pcinfra.transfer.compare.settle`."""


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """Everything to be done, in order of names; ``same`` counts what is equal on both sides."""

    steps: tuple[Step, ...] = ()
    same: int = 0
    problems: tuple[Problem, ...] = ()

    @property
    def moves(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.kind in (StepKind.SEND, StepKind.FETCH))

    @property
    def deletions(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.kind in (StepKind.DELETE_REMOTE, StepKind.DELETE_LOCAL))

    @property
    def size(self) -> int:
        """Bytes to move."""
        return sum(step.size for step in self.moves)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a Step.

    Args:
        problem: why it was not done; None when it was.
        verified: the content was proven equal to what S3 holds, by checksum.
        reused: bytes that an earlier transfer had brought already.
    """

    step: Step
    problem: Problem | None = None
    verified: bool = False
    reused: int = 0


class Stopped(Exception):
    """The transfer has been told to stop."""


class Meter:
    """Counts what has been done, and knows whether to go on; safe to use from many threads."""

    def __init__(self, files: int, size: int) -> None:
        self.files, self.size = files, size
        self.done_files = self.done_size = 0
        self._reused = 0
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self.stop = threading.Event()

    def check(self) -> None:
        """Raise :class:`Stopped` when the transfer is to end."""
        if self.stop.is_set():
            raise Stopped

    def add(self, size: int, reused: bool = False) -> None:
        """Count ``size`` bytes; ``reused`` ones did not travel and say nothing about the rate."""
        with self._lock:
            self.done_size += size
            self._reused += size if reused else 0

    def add_file(self) -> None:
        with self._lock:
            self.done_files += 1

    @property
    def seconds(self) -> float:
        return max(time.monotonic() - self._begin, 1e-6)

    @property
    def rate(self) -> float:
        """Bytes a second that travelled."""
        return (self.done_size - self._reused) / self.seconds

    @property
    def left(self) -> float | None:
        """Seconds that the rest takes at this rate, by bytes or by files, whichever is longer; None: not known."""
        if not self.done_files and not self.rate:
            return None
        by_files = (self.files - self.done_files) * self.seconds / self.done_files if self.done_files else 0.0
        by_size = (self.size - self.done_size) / self.rate if self.rate else 0.0
        return max(by_files, by_size, 0.0)
