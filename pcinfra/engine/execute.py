"""Carries out a Plan: every Action starts the moment its last dependency ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pcinfra.engine.model import Action, Pending, Plan, Probe
from pcinfra.engine.wait import Poller, Settled
from pcinfra.engine.workers import Done, Workers
from pcinfra.errors import Interrupted, PcinfraError, PlanFailed


class Step(StrEnum):
    """What happened to an Action."""

    STARTED = "started"
    PROGRESS = "progress"
    FINISHED = "finished"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. ``seconds`` is the Action's age; ``text`` its progress or its error."""

    step: Step
    action: Action
    seconds: float = 0.0
    text: str = ""


Observer = Callable[[Event], None]


def _ignore(_: Event) -> None:
    return None


@dataclass(slots=True)
class Executor:
    """Runs Plans.

    On the first failure nothing new is started; what is running is left to finish, then :class:`PlanFailed` is
    raised. Ctrl-C does the same but does not wait for the cloud; since Actions can be repeated, running the same
    command again goes on from there.

    Args:
        context: handed to every operation and probe.
        workers: runs the calls and keeps the time.
        observer: told of every :class:`Event`, in the thread that called :meth:`run`.
        limit: seconds after which the run is given up; None is no limit.
    """

    context: Any
    workers: Workers
    observer: Observer = _ignore
    limit: float | None = None

    def run(self, plan: Plan, results: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Carry out ``plan`` and return the results by Action id, ``results`` included.

        Raises:
            PlanFailed: an Action failed, or ``limit`` was reached.
            Interrupted: Ctrl-C.
        """
        return _Run(self, plan, dict(results or {})).to_end()


@dataclass(slots=True)
class _Run:
    """The state of one run."""

    executor: Executor
    plan: Plan
    results: dict[str, Any]
    waiting: dict[str, Action] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    starting: set[str] = field(default_factory=set)
    failed: dict[str, Exception] = field(default_factory=dict)
    poller: Poller = field(default_factory=Poller)

    def to_end(self) -> dict[str, Any]:
        self.waiting = {action.id: action for action in self.plan.actions}
        deadline = None if self.executor.limit is None else self.executor.workers.now() + self.executor.limit
        try:
            while self._step(deadline):
                pass
        except KeyboardInterrupt:
            self._let_calls_end()
            raise Interrupted(
                f"interrupted; {len(self.poller)} change(s) go on in the cloud, {len(self.waiting)} not begun",
                hint="the same command again; it goes on where it stopped",
            ) from None
        self._raise_failures()
        return self.results

    def _step(self, deadline: float | None) -> bool:
        """Start what can start and take in what has ended; False when nothing is left to wait for."""
        workers = self.executor.workers
        if not self.failed:
            self._start_ready()
        for probe, keys in self.poller.due(workers.now()):
            workers.submit(probe, _reading(self.poller.reader(probe), self.executor.context, keys))
        if not self.starting and not len(self.poller):
            return False
        times = [at for at in (self.poller.next_due(), deadline) if at is not None]
        for done in workers.wait(min(times) if times else None):
            self._take(done)
        if deadline is not None and workers.now() >= deadline:
            running = ", ".join(self._action(i).what for i in self.begun)
            raise PlanFailed(
                f"not finished after {self.executor.limit:g} s: {running}",
                hint="the same command again; it goes on where it stopped",
            )
        return True

    def _start_ready(self) -> None:
        for action_id, action in list(self.waiting.items()):
            if all(before in self.results for before in self.plan.waits_for(action_id)):
                del self.waiting[action_id]
                self.begun[action_id] = self.executor.workers.now()
                self.starting.add(action_id)
                self._tell(Step.STARTED, action)
                self.executor.workers.submit(action_id, self._starting(action))

    def _starting(self, action: Action) -> Callable[[], Any]:
        return lambda: action.operation.start(self.executor.context, self.results)

    def _take(self, done: Done) -> None:
        if isinstance(done.key, str):
            self._take_start(done)
        else:
            self._take_read(done.key, done)

    def _take_start(self, done: Done) -> None:
        self.starting.discard(done.key)
        if isinstance(done.error, Exception):
            self._settle(Settled(done.key, error=done.error))
        elif isinstance(done.value, Pending):
            self.poller.add(done.key, done.value, self._action(done.key).seconds, self.executor.workers.now())
        else:
            self._settle(Settled(done.key, value=done.value))

    def _take_read(self, probe: Probe, done: Done) -> None:
        now = self.executor.workers.now()
        if isinstance(done.error, Exception):
            for end in self.poller.no_answer(probe, done.error, now):
                self._settle(end)
            return
        settled, progress = self.poller.answer(probe, done.value, now)
        for end in settled:
            self._settle(end)
        for action_id, text in progress.items():
            self._tell(Step.PROGRESS, self._action(action_id), text)

    def _settle(self, end: Settled) -> None:
        action = self._action(end.action_id)
        if end.error is None:
            self.results[end.action_id] = end.value
            self._tell(Step.FINISHED, action)
        else:
            self.failed[end.action_id] = end.error
            self._tell(Step.FAILED, action, str(end.error))
        self.begun.pop(end.action_id)

    def _tell(self, step: Step, action: Action, text: str = "") -> None:
        age = self.executor.workers.now() - self.begun.get(action.id, self.executor.workers.now())
        self.executor.observer(Event(step, action, age, text))

    def _action(self, action_id: str) -> Action:
        return next(action for action in self.plan.actions if action.id == action_id)

    def _let_calls_end(self) -> None:
        """Take in the calls that are under way, so that what they made is known to the cloud."""
        for action_id in self.starting:
            self._tell(Step.PROGRESS, self._action(action_id), "lets this call end; Ctrl-C again does not")
        while self.starting:
            for done in self.executor.workers.wait(None):
                if isinstance(done.key, str):
                    self._take_start(done)

    def _raise_failures(self) -> None:
        if not self.failed:
            return
        for action in self.waiting.values():
            self._tell(Step.SKIPPED, action)
        action_id, error = next(iter(self.failed.items()))
        if not isinstance(error, PcinfraError):
            raise error
        others = "".join(f"\n  also failed: {self._action(i).what}: {e}" for i, e in list(self.failed.items())[1:])
        skipped = f"\n  not begun: {', '.join(a.what for a in self.waiting.values())}" if self.waiting else ""
        what = self._action(action_id).what
        place = f"{error.where}: " if error.where and error.where != what else ""
        raise PlanFailed(f"{place}{error.why}{others}{skipped}", where=what, hint=error.hint) from error


def _reading(probe: Probe, context: Any, keys: frozenset[str]) -> Callable[[], Mapping[str, Any]]:
    return lambda: probe.read(context, keys)
