"""One poller for everything that is waited for.

Pendings with the same probe share one read per tick, however many they are. A tick comes often while the thing is
young (it may fail at once) and around the time when it is expected to end, and seldom in between; with jitter, so
that many processes do not ask in step.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pcinfra.engine.model import Pending, Probe
from pcinfra.errors import PcinfraError, Unreachable

SHORTEST = 0.25  # seconds between two reads of one probe, at least
LONGEST = 8.0  # and at most: 7.5 reads a minute
CROWD = 4  # things that one probe is asked for in detail, at most
CROWDED = 9.0  # seconds between two reads where there are more: what is true of one of twenty must not hurry them all
TOLERATED = 5  # reads in a row that may fail for want of an answer


def interval(elapsed: float, expected: float) -> float:
    """Return the seconds until the next look at something that has been going on for ``elapsed`` seconds.

    A quarter of its age, or a quarter of the distance to its expected end where that is less, within
    ``SHORTEST`` and ``LONGEST``.
    """
    near = abs(expected - elapsed) / 4
    if elapsed > expected / 2:
        near = max(near, min(expected / 200, 2.0))
    return min(max(SHORTEST, min(elapsed / 4, near)), LONGEST)


@dataclass(slots=True)
class _Waiter:
    pending: Pending
    since: float
    expected: float


@dataclass(slots=True)
class _Question:
    """One probe, those that wait for its answer, and when it is asked next.

    ``crowded`` says that more than :data:`CROWD` waited at a time since ``since``.
    """

    waiters: dict[str, _Waiter] = field(default_factory=dict)
    due: float = 0.0
    asked: frozenset[str] = frozenset()  # action ids that the read under way answers for; empty when none is
    unanswered: int = 0
    since: float = 0.0
    crowded: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """A Pending that ended: with ``value``, or with ``error``."""

    action_id: str
    value: Any = None
    error: Exception | None = None


@dataclass(slots=True)
class Poller:
    """The waiting of one run. Pure bookkeeping: the caller makes the reads and brings the answers."""

    jitter: random.Random = field(default_factory=random.Random)
    _questions: dict[Probe, _Question] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(question.waiters) for question in self._questions.values())

    def add(self, action_id: str, pending: Pending, expected: float, now: float) -> None:
        """Start to wait for ``pending``, which usually takes ``expected`` seconds."""
        question = self._questions.setdefault(pending.probe, _Question())
        if not question.waiters:
            question.since, question.crowded = now, False
        question.waiters[action_id] = _Waiter(pending, now, expected)
        hurry = not (question.crowded and question.due > now)
        question.crowded |= len(question.waiters) > CROWD
        if hurry:
            question.due = min(question.due, now) if question.asked else now + SHORTEST

    def due(self, now: float) -> list[tuple[Probe, frozenset[str]]]:
        """Return the probes to read now, each with the keys wanted, and regard them as being read."""
        ready = []
        for probe, question in self._questions.items():
            if question.waiters and not question.asked and question.due <= now:
                question.asked = frozenset(question.waiters)
                ready.append((probe, frozenset(waiter.pending.key for waiter in question.waiters.values())))
        return ready

    def reader(self, probe: Probe) -> Probe:
        """Return what to ask in place of ``probe``: its ``brief`` where it has one and a crowd waits."""
        return getattr(probe, "brief", probe) if self._questions[probe].crowded else probe

    def next_due(self) -> float | None:
        """Return when the next read is due, or None while nothing waits for its turn."""
        return min((q.due for q in self._questions.values() if q.waiters and not q.asked), default=None)

    def answer(self, probe: Probe, states: Mapping[str, Any], now: float) -> tuple[list[Settled], dict[str, str]]:
        """Take the answer to a read; return what ended, and a progress text for the rest by Action id."""
        question = self._questions[probe]
        question.unanswered = 0
        settled, progress = [], {}
        for action_id in question.asked:
            waiter = question.waiters[action_id]
            state = states.get(waiter.pending.key)
            end = _judge(action_id, waiter.pending, state)
            if end:
                settled.append(end)
                del question.waiters[action_id]
            else:
                progress[action_id] = waiter.pending.progress(state)
        self._schedule(question, now)
        return settled, progress

    def no_answer(self, probe: Probe, error: Exception, now: float) -> list[Settled]:
        """Take a read that failed; return those whose waiting ends with it."""
        question = self._questions[probe]
        question.unanswered += 1
        if isinstance(error, Unreachable) and question.unanswered < TOLERATED:
            self._schedule(question, now)
            return []
        ended = [Settled(action_id, error=error) for action_id in question.asked]
        for end in ended:
            del question.waiters[end.action_id]
        self._schedule(question, now)
        return ended

    def _schedule(self, question: _Question, now: float) -> None:
        question.asked = frozenset()
        ages = [(now - waiter.since, waiter.expected) for waiter in question.waiters.values()]
        wait = min((interval(elapsed, expected) for elapsed, expected in ages), default=0.0)
        if question.crowded and question.waiters:
            wait = max(wait, min((now - question.since) / 4, CROWDED))
        question.due = now + wait * self.jitter.uniform(0.9, 1.1) * 2**question.unanswered


def _judge(action_id: str, pending: Pending, state: Any) -> Settled | None:
    try:
        verdict = pending.judge(state)
    except PcinfraError as error:
        return Settled(action_id, error=error)
    return Settled(action_id, value=verdict[0]) if verdict else None
