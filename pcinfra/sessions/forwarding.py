"""A port of this machine that leads to a port of the instance.

Source: session-manager-plugin, ``src/sessionmanagerplugin/session/portsession``: ``portsession.go`` (agents newer than
3.0.196.0 take many connections at once), ``muxportforwarding.go`` and ``basicportforwarding.go``.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from pcinfra.errors import PcinfraError
from pcinfra.sessions.channel import Channel, is_flag
from pcinfra.sessions.sink import Sink
from pcinfra.sessions.smux import Command, Frames, NotSmux, frame
from pcinfra.sessions.terminal import Opened
from pcinfra.sessions.wakes import Wakes
from pcinfra.sessions.wire import PIECE, Flag, Kind, Message

_MANY_AFTER = (3, 0, 196, 0)
_QUIET_AFTER = (3, 1, 1511, 0)
_SIGN_OF_LIFE = 10.0
_ANSWER = 15.0


def listen(port: int) -> socket.socket:
    """Listen on the loopback, and there alone.

    Raises:
        PcinfraError: the port is in use, or not ours to have.
    """
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        why = f"this port of this machine cannot be had: {os.strerror(error.errno or 0)}"
        raise PcinfraError(why, where=f"port {port}", hint="another number before the colon of --forward") from error


def forward(listener: socket.socket, opened: Opened, tell: Callable[[str], None]) -> int:
    """Pass connections on until a signal ends it, and return the exit status: 0 after Ctrl-C.

    Args:
        tell: gets a line for the user when connections are taken, and when one cannot be.
    """
    wakes = Wakes()
    with wakes.on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP), listener:
        return _Forwarding(listener, wakes, tell).run(opened)


class _Passing(Protocol):
    def take(self, connection: socket.socket) -> None: ...
    def handle(self, message: Message) -> bool: ...
    def close(self) -> None: ...


class _Forwarding:
    def __init__(self, listener: socket.socket, wakes: Wakes, tell: Callable[[str], None]) -> None:
        self._listener, self._wakes, self._tell = listener, wakes, tell
        self._passing: _Passing | None = None

    def run(self, opened: Opened) -> int:
        channel = opened(self._handle, self._wakes.wake)
        channel.halted = lambda: bool(self._wakes.ending)
        try:
            self._accept(channel)
        finally:
            channel.say(Kind.FLAG, Flag.TERMINATE_SESSION.payload)
            channel.drain(1.0)
            channel.close()
            if self._passing:
                self._passing.close()
        if channel.error:
            raise channel.error
        if not self._wakes.ending:
            why = channel.said or "the node went away, or somebody terminated the session"
            raise PcinfraError(f"the session was ended: {why}", where="session", hint="the same command again")
        return 0 if self._wakes.ending == signal.SIGINT else 128 + self._wakes.ending

    def _accept(self, channel: Channel) -> None:
        while not channel.over.is_set() and not self._wakes.ending:
            files: list[int] = [self._wakes.file, *([self._listener.fileno()] if channel.ready.is_set() else [])]
            found, _, _ = select.select(files, [], [])
            self._wakes.clear()
            if channel.ready.is_set() and self._passing is None:
                many = takes_many(channel.agent)
                self._passing = ManyAtOnce(channel, self._complain) if many else OneByOne(channel)
                host, port = self._listener.getsockname()[:2]
                self._tell(f"{host}:{port} leads there now; Ctrl-C ends it")
            if self._listener.fileno() in found and self._passing:
                self._passing.take(self._listener.accept()[0])

    def _handle(self, message: Message) -> bool:
        return self._passing.handle(message) if self._passing else False

    def _complain(self) -> None:
        self._tell("a connection was refused there: does anything listen at that port?")


class ManyAtOnce:
    """Every connection has a number in the stream."""

    def __init__(self, channel: Channel, complain: Callable[[], None]) -> None:
        self._channel, self._complain = channel, complain
        self._frames = Frames()
        self._connections: dict[int, _Connection] = {}
        self._number = 1
        self._lock, self._sending = threading.Lock(), threading.Lock()
        if wants_signs_of_life(channel.agent):
            threading.Thread(target=self._live, daemon=True).start()

    def take(self, connection: socket.socket) -> None:
        with self._lock:
            self._number += 2
            number = self._number
        self._send(frame(Command.SYN, number))
        with self._lock:
            self._connections[number] = _Connection(connection, lambda data: self._got(number, data))

    def handle(self, message: Message) -> bool:
        if is_flag(message, Flag.CONNECT_TO_PORT_ERROR):
            self._complain()
        if message.kind != Kind.DATA:
            return True
        with self._lock:
            if any(each.full for each in self._connections.values()):
                return False
        try:
            for command, number, data in self._frames.add(message.payload):
                self._frame(command, number, data)
        except NotSmux as error:
            self._channel.fail(PcinfraError(f"the agent does not send what it should: {error}", where="session"))
        return True

    def close(self) -> None:
        with self._lock:
            connections = list(self._connections.values())
        for each in connections:
            each.close()

    def _frame(self, command: Command, number: int, data: bytes) -> None:
        with self._lock:
            connection = self._connections.get(number)
        if connection and command is Command.PSH:
            connection.write(data)
        elif connection and command is Command.FIN:
            connection.end()

    def _got(self, number: int, data: bytes) -> None:
        if data:
            self._send(frame(Command.PSH, number, data))
            return
        with self._lock:
            self._connections.pop(number, None)
        self._send(frame(Command.FIN, number))

    def _send(self, data: bytes) -> None:
        """One frame after the other, for they travel in pieces."""
        with self._sending:
            self._channel.send(data)

    def _live(self) -> None:
        while not self._channel.over.wait(_SIGN_OF_LIFE):
            self._send(frame(Command.NOP))


class OneByOne:
    """One connection after the other; the next waits until the one before has ended."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._now: _Connection | None = None
        self._ended = threading.Event()
        self._ended.set()

    def take(self, connection: socket.socket) -> None:
        while not self._ended.wait(0.1):
            if self._channel.over.is_set():
                connection.close()
                return
        self._ended.clear()
        self._now = _Connection(connection, self._got)

    def handle(self, message: Message) -> bool:
        now = self._now
        if message.kind != Kind.DATA or now is None:
            return True  # what comes for a connection that is gone
        if now.full:
            return False
        now.write(message.payload)
        return True

    def close(self) -> None:
        if self._now:
            self._now.close()
        self._ended.set()

    def _got(self, data: bytes) -> None:
        if data:
            self._channel.send(data)
            return
        self._now = None
        self._channel.say(Kind.FLAG, Flag.DISCONNECT_TO_PORT.payload)
        self._channel.drain(_ANSWER)
        self._ended.set()


class _Connection:
    """Args:
    got: called with what comes; once with nothing, when nothing more does.
    """

    def __init__(self, connection: socket.socket, got: Callable[[bytes], None]) -> None:
        self._socket, self._got = connection, got
        self._sink = Sink(connection.send, self.close)
        self.write, self.end = self._sink.put, self._sink.end
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def full(self) -> bool:
        return self._sink.full

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._socket.recv(PIECE - 8):
                self._got(data)
        self._sink.end()
        self._socket.close()
        self._got(b"")


def takes_many(agent: str) -> bool:
    """Return whether an agent of this version takes many connections at once."""
    return _numbers(agent) > _MANY_AFTER


def wants_signs_of_life(agent: str) -> bool:
    """Return whether an agent of this version hangs up on a client that says nothing for half a minute."""
    return _numbers(agent) <= _QUIET_AFTER


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
