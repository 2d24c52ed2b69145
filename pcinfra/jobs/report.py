"""Where the time of a run went, attempt by attempt. Pure: what is kept of a run in, values out.

Waiting is the time without nodes, starting the time from the nodes to the command (boot, image, processes), training
the time of the command. Lost is the training that is in no checkpoint: of an attempt that did not reach the end of the
job, all since its last complete checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pcinfra.jobs.launcher import Attempt, Checkpoint, History, State, Status
from pcinfra.jobs.usage import HOUR
from pcinfra.jobs.usage import gpu_hours as used_gpu_hours


class Kind(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    TRAINING = "training"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a run's time, in seconds since 1970. Lost time is a part of the training that it lies in."""

    kind: Kind
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.start)


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt: how it ended in plain words, its spans, its checkpoints (the last ones, when they are many)."""

    attempt: Attempt
    ended: str
    spans: tuple[Span, ...]
    checkpoints: tuple[Checkpoint, ...]
    gpu_hours: float

    def seconds(self, kind: Kind) -> float:
        return sum(span.seconds for span in self.spans if span.kind == kind)


@dataclass(frozen=True, slots=True)
class Report:
    """A run up to ``until``: its attempts, and the wait after the last one while there is such a wait.

    The tasks of an array are too many to be told one by one: of those there are only sums, in ``status.tasks``.
    """

    history: History
    tries: tuple[Try, ...]
    start: float
    until: float
    waiting: Span | None = None

    @property
    def status(self) -> Status:
        return self.history.status

    @property
    def gpu_hours(self) -> float:
        of_tasks = used_gpu_hours(self.status, self.until) if self.status.tasks else 0.0
        return of_tasks + sum(each.gpu_hours for each in self.tries)

    @property
    def lost_gpu_hours(self) -> float:
        return sum(each.seconds(Kind.LOST) * each.attempt.gpus * each.attempt.count for each in self.tries) / HOUR

    def seconds(self, kind: Kind) -> float:
        last = self.waiting.seconds if self.waiting and kind == Kind.WAITING else 0.0
        return last + sum(each.seconds(kind) for each in self.tries)


def report(history: History, now: float) -> Report:
    """Return where the time of a run went until ``now``, or until it ended."""
    status = history.status
    attempts = status.attempts
    start = status.submitted or (attempts[0].started if attempts else now)
    tries: list[Try] = []
    free = start  # since when it has had no nodes
    for attempt in attempts:
        last = attempt is attempts[-1]
        end = _end(attempt, now if last and not status.state.ended else None)
        tries.append(_try(history, attempt, last, free, end))
        free = max(free, end)
    waits = status.state is State.WAITING
    until = now if not status.state.ended else max(free, start)
    return Report(history, tuple(tries), start, until, Span(Kind.WAITING, free, until) if waits else None)


def _end(attempt: Attempt, now: float | None) -> float:
    if attempt.ended is not None:
        return attempt.ended
    return now if now is not None else max(attempt.started, attempt.began or 0.0)


def _try(history: History, attempt: Attempt, last: bool, free: float, end: float) -> Try:
    status = history.status
    made = tuple(each for each in history.checkpoints if each.attempt == attempt.number)
    goes_on = last and not status.state.ended
    finished = last and status.state is State.DONE
    spans = tuple(_spans(attempt, free, end, made, lossless=goes_on or finished))
    gpu_hours = max(0.0, end - attempt.started) * attempt.count * attempt.gpus / HOUR
    return Try(attempt, _ending(status, attempt, last), spans, made, gpu_hours)


def _spans(attempt: Attempt, free: float, end: float, made: Sequence[Checkpoint], *, lossless: bool) -> Iterator[Span]:
    began = end if attempt.began is None else min(attempt.began, end)
    yield Span(Kind.WAITING, min(free, attempt.started), attempt.started)
    yield Span(Kind.STARTING, attempt.started, max(attempt.started, began))
    if began >= end:
        return
    yield Span(Kind.TRAINING, began, end)
    saved = max((each.time for each in made if each.time <= end), default=began)
    if not lossless and saved < end:
        yield Span(Kind.LOST, max(saved, began), end)


def _ending(status: Status, attempt: Attempt, last: bool) -> str:
    """Return how an attempt ended, in plain words."""
    code = f", exit code {attempt.exit_code}" if attempt.exit_code else ""
    if last:
        why = f": {status.why}" if status.why and status.state is not State.WAITING else ""
        if status.state is not State.WAITING:
            return f"{status.state}{why}{code}"
    said = f"{attempt.verdict}: {attempt.why}" if attempt.why else attempt.verdict
    return f"{said or 'no result: its node failed, or it was killed'}{code}"
