"""Bytes on their way to a file descriptor that may not take them at once."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable

LIMIT = 1 << 20
"""Bytes that wait before the sender is made to wait."""


class Sink:
    """Writes in a thread of its own, so that nobody waits for the reader.

    Args:
        write: writes some bytes, and returns how many, perhaps none; raises OSError when nobody reads any more.
        closed: called once, when everything was written that came before the end, or nobody reads.
    """

    def __init__(self, write: Callable[[bytes], int], closed: Callable[[], None] = lambda: None) -> None:
        self._write, self._closed = write, closed
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._ended = self._broken = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def full(self) -> bool:
        return self._size >= LIMIT and not self._broken

    def put(self, data: bytes) -> None:
        with self._changed:
            if data and not self._ended and not self._broken:
                self._waiting.append(data)
                self._size += len(data)
                self._changed.notify_all()

    def end(self) -> None:
        """Let it close when everything is written."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._next():
                rest = data
                while rest:
                    rest = rest[self._write(rest) :]
                with self._changed:
                    self._size -= len(data)
        with self._changed:
            self._broken = True
        self._closed()

    def _next(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            return self._waiting.popleft() if self._waiting else b""
