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


class Terminal:
    """A program in a pseudo-terminal, with a channel as its keyboard and screen.

    Args:
        argv: started without a terminal to control; it makes this one its own.
        ended: called once, when the program is gone and its last output was sent.
    """

    def __init__(self, argv: Sequence[str], channel: Channel, ended: Callable[[str], None]) -> None:
        self._channel, self._ended = channel, ended
        self._master, slave = pty.openpty()
        try:
            self._process = subprocess.Popen(
                list(argv), stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env={"PATH": os.defpath}
            )
        finally:
            os.close(slave)
        self._keys = sink.Sink(sink.to_descriptor(self._master))
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
        with contextlib.suppress(ProcessLookupError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGHUP)
        self._hang_up()

    def _hang_up(self) -> None:
        """Closing it is what the programs on the other side notice; the descriptor may be in use by a read."""
        master, self._master = self._master, -1
        self._keys.end()
        if master >= 0:
            with contextlib.suppress(OSError):
                os.close(master)

    def _resize(self, payload: bytes) -> None:
        try:
            size = json.loads(payload)
            packed = struct.pack("HHHH", int(size["rows"]), int(size["cols"]), 0, 0)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, packed)
        except (ValueError, TypeError, KeyError, struct.error, OSError) as error:
            _LOG.warning("a size that is none: %s", error)

    def _pump(self) -> None:
        with contextlib.suppress(OSError):  # Linux: EIO, when the last program has closed its side
            while data := os.read(self._master, wire.PAYLOAD):
                self._channel.send(wire.DATA, data)
        self._hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_DRAIN)
        self.stop()
        self._process.wait()
        self._channel.drain(_DRAIN)
        self._ended("")
