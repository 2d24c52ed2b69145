"""What lets a loop that waits for input notice other things: signals, and other threads."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Wakes:
    """A file that can be read as soon as something has happened. One in a process: threads call it to the end."""

    def __init__(self) -> None:
        self.file, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.ending = 0
        """The signal that asked for the end; 0: none."""

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # it is full: somebody is being woken
            os.write(self._write, b".")

    def clear(self) -> None:
        with contextlib.suppress(OSError):
            os.read(self.file, 4096)

    @contextmanager
    def on(self, *signals: signal.Signals) -> Iterator[None]:
        """Wake at these; those that end a program are kept in :attr:`ending`."""
        before = {each: signal.signal(each, self._signalled) for each in signals}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _signalled(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGWINCH:
            self.ending = number
        self.wake()
