"""Who does the work and keeps the time: threads on the real clock, or one thread on a virtual clock."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

HEARTBEAT = 0.5
"""Seconds after which a wait looks up: Ctrl-C that comes a moment before a wait begins is noticed only then."""


@dataclass(frozen=True, slots=True)
class Done:
    """A job that ended: ``value`` is what it returned, or ``error`` what it raised."""

    key: Any
    value: Any = None
    error: BaseException | None = None


class Workers(Protocol):
    """Runs jobs and tells when they end. Times are seconds since an arbitrary start."""

    def now(self) -> float: ...

    def submit(self, key: Any, job: Callable[[], Any]) -> None:
        """Run ``job`` soon; its end is reported by :meth:`wait` under ``key``."""
        ...

    def wait(self, until: float | None) -> list[Done]:
        """Return the jobs that ended; block until there is one, or until the time ``until``."""
        ...


def _attempt(key: Any, job: Callable[[], Any]) -> Done:
    try:
        return Done(key, value=job())
    except Exception as error:
        return Done(key, error=error)


class Threads:
    """The real clock and at most ``limit`` threads.

    Daemon threads, so that a second Ctrl-C ends the process even while a call hangs.
    """

    def __init__(self, limit: int = 16) -> None:
        self._limit = limit
        self._started = 0
        self._idle = 0
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Any, Callable[[], Any]] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()

    def now(self) -> float:
        return time.monotonic()

    def submit(self, key: Any, job: Callable[[], Any]) -> None:
        self._jobs.put((key, job))
        with self._lock:
            if self._idle or self._started >= self._limit:
                return
            self._started += 1
        threading.Thread(target=self._work, daemon=True, name="pcinfra-worker").start()

    def wait(self, until: float | None) -> list[Done]:
        ended: list[Done] = []
        while not ended:
            left = HEARTBEAT if until is None else min(max(0.0, until - self.now()), HEARTBEAT)
            try:
                ended.append(self._done.get(timeout=left))
            except queue.Empty:
                if until is not None and self.now() >= until:
                    return []
        while not self._done.empty():
            ended.append(self._done.get())
        return ended

    def close(self) -> None:
        """Let the threads end once they are idle."""
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            job = self._jobs.get()
            with self._lock:
                self._idle -= 1
            if job is None:
                return
            self._done.put(_attempt(*job))


class VirtualTime:
    """A clock that jumps: jobs run at once, in the caller's thread, and take no time unless they say so.

    ``context.clock`` style use: a job may call :meth:`spend` to say how many virtual seconds it takes.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._spent = 0.0
        self._order = 0
        self._ends: list[tuple[float, int, Done]] = []

    def now(self) -> float:
        return self._now

    def spend(self, seconds: float) -> None:
        """Let the job that is running take ``seconds`` more."""
        self._spent += seconds

    def submit(self, key: Any, job: Callable[[], Any]) -> None:
        self._spent = 0.0
        done = _attempt(key, job)
        self._order += 1
        heapq.heappush(self._ends, (self._now + self._spent, self._order, done))

    def wait(self, until: float | None) -> list[Done]:
        if self._ends and (until is None or self._ends[0][0] <= until):
            self._now = max(self._now, self._ends[0][0])
        elif until is None:
            raise RuntimeError("nothing is running and there is nothing to wait for")
        else:
            self._now = max(self._now, until)
        ended = []
        while self._ends and self._ends[0][0] <= self._now:
            ended.append(heapq.heappop(self._ends)[2])
        return ended
