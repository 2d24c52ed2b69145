"""Bytes on their way to something that may not take them at once, written in a thread of their own.

Whoever brings them also brings the acknowledgements that a writer may be waiting for, and must not wait itself.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable

FULL = 1 << 20
"""Bytes from which on a sink is full."""


class Sink:
    """Args:
    write: writes some of the bytes and returns how many; raises OSError when nobody takes them any more.
    closed: called once, when all is written and the end has come, or nobody takes any more.
    """

    def __init__(self, write: Callable[[bytes], int], closed: Callable[[], None] = lambda: None) -> None:
        self._write, self._closed = write, closed
        self._queue: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._broken = False
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether so much waits that no more should come."""
        return self._held >= FULL and not self._broken

    def put(self, data: bytes) -> None:
        """Take ``data``; after the end it is dropped."""
        with self._condition:
            if data and not self._ended and not self._broken:
                self._queue.append(data)
                self._held += len(data)
                self._condition.notify()

    def end(self) -> None:
        """Close when all is written."""
        with self._condition:
            self._ended = True
            self._condition.notify()

    def finish(self, seconds: float) -> None:
        """End, and wait until all is written or time is up."""
        self.end()
        self._thread.join(seconds)

    def _run(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := self._take():
                left = data
                while left:
                    left = left[self._write(left) :]
                with self._condition:
                    self._held -= len(data)
        self._broken = True
        self._closed()

    def _take(self) -> bytes:
        with self._condition:
            self._condition.wait_for(lambda: self._queue or self._ended)
            return self._queue.popleft() if self._queue else b""
