"""A shell on the instance, at the terminal of whoever runs this.

Source: session-manager-plugin, ``src/sessionmanagerplugin/session/shellsession``.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pcinfra.sessions.channel import Channel
from pcinfra.sessions.marks import Marks, end_of_input, typed
from pcinfra.sessions.sink import Sink
from pcinfra.sessions.wakes import Wakes
from pcinfra.sessions.wire import Kind, Message

_CHUNK = 4096
_FLUSH = 5.0

Opened = Callable[[Callable[[Message], bool], Callable[[], None]], Channel]
"""Opens the channel, for a handler of its messages and for what is to be called when it has news."""


def attach(opened: Opened, marks: Marks | None) -> int:
    """Let the terminal be the session's until it ends, and return its exit status.

    Standard input may be a pipe: then it is typed, and its end is the end of the input.

    Args:
        marks: what the command says of itself; None: it says nothing, and its status is 0.
    """
    return _Attached(Wakes(), marks).run(opened)


class _Attached:
    def __init__(self, wakes: Wakes, marks: Marks | None) -> None:
        self._wakes, self._marks = wakes, marks
        self._screen = Sink(lambda data: os.write(1, data))
        self._size: tuple[int, int] | None = None
        self._last = b"\n"

    def run(self, opened: Opened) -> int:
        sys.stdout.flush()
        channel = opened(self._show, self._wakes.wake)  # Ctrl-C still ends this
        channel.halted = lambda: bool(self._wakes.ending)
        with _raw(), self._wakes.on(signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP):
            try:
                self._converse(channel)
            finally:
                channel.drain(1.0)
                channel.close()
                if self._marks:
                    self._screen.put(self._marks.rest())
                self._screen.finish(_FLUSH)
        return self._outcome(channel)

    def _converse(self, channel: Channel) -> None:
        last, reading = b"", True
        while not channel.over.is_set() and not self._wakes.ending:
            self._resize(channel)
            data = self._typed(reading and self._may_type(channel))
            if data is None:
                continue
            if data and channel.lost.is_set() and b"\x03" in data:
                self._wakes.ending = signal.SIGINT  # nobody there would hear of it
            elif data:
                last = data[-1:]
                channel.send(data if os.isatty(0) else typed(data) if self._marks else data)
            else:
                reading = False
                channel.send(end_of_input(last))

    def _may_type(self, channel: Channel) -> bool:
        """A pipe waits until the command has made the terminal fit for it."""
        return channel.ready.is_set() and (os.isatty(0) or not self._marks or self._marks.ready)

    def _typed(self, reading: bool) -> bytes | None:
        """Return what was typed, nothing at the end of the input; None when something else has happened."""
        files = [self._wakes.file, *([0] if reading else [])]
        found, _, _ = select.select(files, [], [])
        self._wakes.clear()
        if 0 not in found:
            return None
        try:
            return os.read(0, _CHUNK)
        except OSError:  # the terminal is gone
            return b""

    def _resize(self, channel: Channel) -> None:
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(1 if os.isatty(1) else 0)
            if channel.ready.is_set() and (size.columns, size.lines) != self._size:
                self._size = size.columns, size.lines
                channel.say(Kind.SIZE, json.dumps({"cols": size.columns, "rows": size.lines}).encode())

    def _show(self, message: Message) -> bool:
        if message.kind not in (Kind.DATA, Kind.ERROR, Kind.STDERR):
            return True
        if self._screen.full:
            return False
        data = message.payload
        if self._marks:
            was = self._marks.ready
            data = self._marks.without(data)
            if self._marks.ready and not was:
                self._wakes.wake()
        self._screen.put(data)
        self._last = data[-1:] or self._last
        return True

    def _outcome(self, channel: Channel) -> int:
        from pcinfra.errors import PcinfraError

        status = channel.exit_code if channel.exit_code is not None else self._marks.status if self._marks else None
        if status is not None:
            return status
        if self._wakes.ending:
            return 128 + self._wakes.ending
        if self._last != b"\n" and os.isatty(1):
            os.write(1, b"\n")  # what is wrong is told on a line of its own
        if channel.error:
            raise channel.error
        if channel.said or self._marks:
            why = f"the session was ended: {channel.said or 'its node went away, or somebody terminated it'}"
            raise PcinfraError(why, where="session", hint="the same command again")
        return 0


@contextmanager
def _raw() -> Iterator[None]:
    """Let every key, Ctrl-C too, be a byte to read; the terminal is as before afterwards, whatever happens."""
    if not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSANOW)  # what is typed already is not lost
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSANOW, before)
