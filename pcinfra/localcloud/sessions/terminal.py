"""A shell on a node, in a terminal of its own.

Source: amazon-ssm-agent, ``agent/session/shell/shell.go`` and ``shell_unix.go``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Sequence

from pcinfra.localcloud.sessions import sink, wire
from pcinfra.localcloud.sessions.channel import Channel

_LOG = logging.getLogger(__name__)
_DRAIN = 5.0
_TICK = 0.1


class Terminal:
    """A program in a pseudo-terminal, with a channel as its keyboard and screen.

    Args:
        argv: started without a terminal to control; it makes this one its own.
        ended: called once, when the program is gone and its last output was sent.
    """

    def __init__(self, argv: Sequence[str], channel: Channel, ended: Callable[[str], None]) -> None:
        self._channel, self._ended = channel, ended
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        try:
            self._process = subprocess.Popen(
                list(argv), stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env={"PATH": os.defpath}
            )
        finally:
            os.close(slave)
        self._stopped = threading.Event()
        self._keys = sink.Sink(self._press, self._hang_up)
        threading.Thread(target=self._pump, daemon=True).start()

    def handle(self, message: wire.Message) -> bool:
        if message.payload_type == wire.SIZE:
            self._resize(message.payload)
        elif message.payload_type == wire.DATA:
            if self._keys.full:
                return False
            self._keys.put(message.payload)
        return True

    def stop(self) -> None:
        """Hang up, as a terminal that is closed does. May be called more than once."""
        self._stopped.set()

    def _press(self, data: bytes) -> int:
        """A program that does not read must not keep the terminal open: a write that waits would."""
        if self._stopped.is_set():
            raise OSError("hung up")
        _, writable, _ = select.select([], [self._master], [], _TICK)
        return os.write(self._master, data) if writable else 0

    def _hang_up(self) -> None:
        """Nobody reads or writes any more; the programs on the other side get SIGHUP."""
        os.close(self._master)

    def _resize(self, payload: bytes) -> None:
        try:
            size = json.loads(payload)
            packed = struct.pack("HHHH", int(size["rows"]), int(size["cols"]), 0, 0)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, packed)
        except (ValueError, TypeError, KeyError, struct.error, OSError) as error:
            _LOG.warning("a size that is none: %s", error)

    def _read(self) -> bytes:
        """Return what is shown; nothing at its end, or when it is stopped."""
        while not self._stopped.is_set():
            if select.select([self._master], [], [], _TICK)[0]:
                with contextlib.suppress(OSError):  # Linux: EIO, when the last program has closed its side
                    return os.read(self._master, wire.PAYLOAD)
                return b""
        return b""

    def _pump(self) -> None:
        while data := self._read():
            self._channel.send(wire.DATA, data)
        self._stopped.set()
        self._keys.end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_DRAIN)
        with contextlib.suppress(ProcessLookupError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._channel.drain(_DRAIN)
        self._ended("")
