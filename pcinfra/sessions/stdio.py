"""The bytes of one connection over standard input and output: what ssh's ProxyCommand wants.

Source: session-manager-plugin, ``src/sessionmanagerplugin/session/portsession/standardstreamforwarding.go``.
"""

from __future__ import annotations

import os
import select
import signal
import time

from pcinfra.errors import PcinfraError
from pcinfra.sessions.channel import Channel
from pcinfra.sessions.sink import Sink
from pcinfra.sessions.terminal import Opened
from pcinfra.sessions.wakes import Wakes
from pcinfra.sessions.wire import Flag, Kind, Message

_CHUNK = 32 * 1024
_FLUSH = 5.0
_TICK = 0.05
_QUIET = 1.0
"""Seconds without a byte from there, after the end of ours, until it is taken for the end: no message says it."""


def pass_through(opened: Opened) -> int:
    """Pass bytes on until the other side ends, or standard input does; return the exit status."""
    sink = Sink(lambda data: os.write(1, data))
    came = [time.monotonic()]

    def handle(message: Message) -> bool:
        if message.kind != Kind.DATA:
            return True
        if sink.full:
            return False
        came[0] = time.monotonic()
        sink.put(message.payload)
        return True

    wakes = Wakes()
    with wakes.on(signal.SIGTERM, signal.SIGHUP):
        channel = opened(handle, wakes.wake)
        channel.halted = lambda: bool(wakes.ending)
        try:
            _feed(channel, wakes)
            channel.drain(_FLUSH)
            while not wakes.ending and not channel.over.wait(_TICK) and time.monotonic() - came[0] < _QUIET:
                pass
        finally:
            channel.say(Kind.FLAG, Flag.TERMINATE_SESSION.payload)
            channel.drain(1.0)
            channel.close()
            sink.finish(_FLUSH)
    if channel.error:
        raise channel.error
    if channel.said:
        raise PcinfraError(f"the session was ended: {channel.said}", where="session")
    return 128 + wakes.ending if wakes.ending else 0


def _feed(channel: Channel, wakes: Wakes) -> None:
    while not channel.over.is_set() and not wakes.ending:
        found, _, _ = select.select([wakes.file, *([0] if channel.ready.is_set() else [])], [], [])
        wakes.clear()
        if 0 in found:
            data = os.read(0, _CHUNK)
            if not data:
                return
            channel.send(data)
