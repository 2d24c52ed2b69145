"""Ports of a node: one connection after the other, or many at once.

Source: amazon-ssm-agent, ``agent/session/plugins/port``: ``port.go`` says which, ``port_basic.go`` and ``port_mux.go``
how.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Callable

from pcinfra.localcloud.sessions import smux, wire
from pcinfra.localcloud.sessions.channel import Channel
from pcinfra.localcloud.sessions.sink import Sink
from pcinfra.localcloud.sessions.wire import Message

_LOG = logging.getLogger(__name__)
_DRAIN = 5.0

Dial = Callable[[], socket.socket]
"""Connects to the port of the node; raises OSError."""


class Connection:
    """A connection to the port.

    Args:
        got: called with what comes; with nothing once, when nothing comes any more.
    """

    def __init__(self, end: socket.socket, got: Callable[[bytes], None]) -> None:
        self._socket, self._got = end, got
        self.sink = Sink(end.send, self.close)
        threading.Thread(target=self._pump, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _pump(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._socket.recv(wire.PAYLOAD):
                self._got(data)
        self.sink.end()
        self._socket.close()
        self._got(b"")


class Basic:
    """One connection at a time, from the start of the session on.

    Args:
        forwarding: whether another connection may follow; else the session ends with the first.
        ended: called when the session is to end.

    Raises:
        OSError: nothing listens.
    """

    def __init__(self, dial: Dial, channel: Channel, forwarding: bool, ended: Callable[[str], None]) -> None:
        self._dial, self._channel, self._forwarding, self._ended = dial, channel, forwarding, ended
        self._now: Connection | None = None
        self._connect()

    def handle(self, message: Message) -> bool:
        if message.payload_type == wire.FLAG:
            return self._flag(flag_of(message))
        if message.payload_type != wire.DATA:
            return True
        if self._now is None and not self._again():
            return True
        assert self._now is not None
        if self._now.sink.full:
            return False
        self._now.sink.put(message.payload)
        return True

    def stop(self) -> None:
        now, self._now = self._now, None
        if now:
            now.close()

    def _flag(self, flag: int) -> bool:
        if flag == wire.DISCONNECT_TO_PORT:
            now, self._now = self._now, None
            if now:
                now.sink.end()
        elif flag == wire.TERMINATE_SESSION:
            self._ended("")
        return True

    def _again(self) -> bool:
        try:
            self._connect()
        except OSError as error:
            self._ended(cannot(error))
            return False
        return True

    def _connect(self) -> None:
        place: list[Connection] = []
        connection = Connection(self._dial(), lambda data: self._got(data, place))
        place.append(connection)
        self._now = connection

    def _got(self, data: bytes, place: list[Connection]) -> None:
        if data:
            self._channel.send(wire.DATA, data)
        elif not self._forwarding:
            self._channel.drain(_DRAIN)
            self._ended("")
        elif place and self._now is place[0]:
            self._now = None


class Mux:
    """Many connections, made when the client opens them."""

    def __init__(self, dial: Dial, channel: Channel, ended: Callable[[str], None]) -> None:
        self._dial, self._channel, self._ended = dial, channel, ended
        self._reader = smux.Reader()
        self._connections: dict[int, Connection] = {}
        self._early: dict[int, list[bytes]] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()

    def handle(self, message: Message) -> bool:
        if message.payload_type == wire.FLAG and flag_of(message) == wire.TERMINATE_SESSION:
            self._ended("")
        if message.payload_type != wire.DATA:
            return True
        with self._lock:
            if any(each.sink.full for each in self._connections.values()):
                return False
        try:
            for command, stream, data in self._reader.feed(message.payload):
                self._frame(command, stream, data)
        except smux.Broken as error:
            self._ended(f"the stream of connections is broken: {error}")
        return True

    def stop(self) -> None:
        with self._lock:
            connections, self._connections = list(self._connections.values()), {}
        for each in connections:
            each.close()

    def _frame(self, command: int, stream: int, data: bytes) -> None:
        with self._lock:
            connection, early = self._connections.get(stream), self._early.get(stream)
            if command == smux.SYN and connection is None and early is None:
                self._early[stream] = []
                threading.Thread(target=self._open, args=(stream,), daemon=True).start()
            elif early is not None and command in (smux.PSH, smux.FIN):
                early.append(data if command == smux.PSH else b"")
            elif connection and command == smux.PSH:
                connection.sink.put(data)
            elif connection and command == smux.FIN:
                connection.sink.end()

    def _open(self, stream: int) -> None:
        """What came meanwhile is written first; an empty piece is the end."""
        try:
            end = self._dial()
        except OSError as error:
            _LOG.warning("connection %d: %s", stream, error)
            with self._lock:
                self._early.pop(stream, None)
            self._channel.send(wire.FLAG, struct.pack(">I", wire.CONNECT_TO_PORT_ERROR))
            self._send(smux.frame(smux.FIN, stream))
            return
        with self._lock:
            connection = self._connections[stream] = Connection(end, lambda data: self._got(stream, data))
            for piece in self._early.pop(stream, []):
                if piece:
                    connection.sink.put(piece)
                else:
                    connection.sink.end()

    def _got(self, stream: int, data: bytes) -> None:
        if data:
            self._send(smux.frame(smux.PSH, stream, data))
            return
        with self._lock:
            self._connections.pop(stream, None)
        self._send(smux.frame(smux.FIN, stream))

    def _send(self, data: bytes) -> None:
        """In pieces that fit a message, with no other connection's between them."""
        with self._sending:
            for start in range(0, len(data), wire.PAYLOAD):
                self._channel.send(wire.DATA, data[start : start + wire.PAYLOAD])


def flag_of(message: Message) -> int:
    return int.from_bytes(message.payload[:4], "big")


def cannot(error: OSError) -> str:
    return f"Unable to connect to specified port: {error.strerror or error}"
