"""The agent's side of a data channel: numbered messages, acknowledged, and sent again until they are.

Source: amazon-ssm-agent, ``agent/session/datachannel/datachannel.go``, and its ``agent/session/config``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from pcinfra.localcloud.sessions import wire
from pcinfra.localcloud.sessions.wire import Message

_LOG = logging.getLogger(__name__)

WINDOW = 128
"""Messages that may wait for their acknowledgement before the next is held back."""

AHEAD = 10_000
"""Messages that are kept when they come before their turn (``IncomingMessageBufferCapacity``)."""

RESEND_AFTER = 1.0
"""Seconds (``MaxTransmissionTimeout``)."""

_TICK = 0.1


class Socket(Protocol):
    """A WebSocket."""

    def send(self, message: bytes) -> None: ...
    def close(self) -> None: ...


class Channel:
    """One session's stream in both directions, whichever WebSocket carries it now.

    Args:
        handle: gets every message of the client's in its order; False: not now, let it come again.
    """

    def __init__(self, handle: Callable[[Message], bool]) -> None:
        self.handle = handle
        self.used = time.monotonic()
        """When something that is no acknowledgement went through last."""
        self.closed = threading.Event()
        self._socket: Socket | None = None
        self._next = self._expected = 0
        self._sent: OrderedDict[int, tuple[bytes, float]] = OrderedDict()
        self._early: dict[int, Message] = {}
        self._changed = threading.Condition()
        self._receiving = threading.Lock()
        threading.Thread(target=self._resend, daemon=True).start()

    @property
    def attached(self) -> bool:
        return self._socket is not None

    def attach(self, socket: Socket) -> None:
        """Let ``socket`` carry the stream from now on, in the place of another."""
        with self._changed:
            before, self._socket = self._socket, socket
            waiting = [raw for raw, _ in self._sent.values()]
        if before:
            before.close()
        for raw in waiting:  # it may have been lost with the one before
            self._transmit(raw)

    def detach(self, socket: Socket) -> None:
        with self._changed:
            if self._socket is socket:
                self._socket = None

    def send(self, payload_type: int, payload: bytes) -> None:
        """Send a message of the stream; waits while too many are on their way. Nothing happens once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._sent) < WINDOW or self.closed.is_set())
            if self.closed.is_set() or not payload:
                return
            flags = 1 if self._next == 0 else 0
            raw = Message(wire.OUTPUT, payload, payload_type, self._next, flags).encode()
            self._sent[self._next] = raw, time.monotonic()
            self._next += 1
            self.used = time.monotonic()
        self._transmit(raw)

    def receive(self, raw: bytes) -> None:
        """Take a message from the WebSocket. One that is wrong is logged and forgotten."""
        try:
            message = wire.decode(raw)
            if message.kind == wire.ACKNOWLEDGE:
                self._acknowledged(message)
            elif message.kind == wire.INPUT:
                with self._receiving:
                    self._take(message)
            else:
                _LOG.warning("a message of type %r is not for an agent", message.kind)
        except ValueError as error:  # Malformed, and JSON that is none
            _LOG.warning("a message that cannot be read: %s", error)

    def drain(self, seconds: float) -> None:
        """Wait until the client has everything (``PrepareToCloseChannel``), or goes away, or time is up."""
        with self._changed:
            self._changed.wait_for(lambda: not self._sent or self.closed.is_set(), seconds)

    def close(self, session: str, target: str, why: str = "") -> None:
        """Say ``channel_closed`` and hang up. ``why`` is empty when the session ended by itself."""
        if self.closed.is_set():
            return
        self.closed.set()
        notice = {
            "MessageType": wire.CHANNEL_CLOSED,
            "MessageId": "",
            "DestinationId": target,
            "SessionId": session,
            "SchemaVersion": 1,
            "CreatedDate": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "Output": why,
        }
        self.announce(wire.CHANNEL_CLOSED, json.dumps(notice).encode())
        with self._changed:
            self._changed.notify_all()
            socket, self._socket = self._socket, None
        if socket:
            socket.close()

    def announce(self, kind: str, payload: bytes = b"") -> None:
        """Send a message that is no part of the stream."""
        self._transmit(Message(kind, payload, flags=3).encode())

    def _take(self, message: Message) -> None:
        """What cannot be handled now is kept, and acknowledged when it was handled: some clients send nothing twice."""
        if message.sequence < self._expected:
            self._acknowledge(message)
        elif message.sequence == self._expected or len(self._early) < AHEAD:
            self._early[message.sequence] = message
            if message.sequence > self._expected:
                self._acknowledge(message)
            self._advance()

    def _advance(self) -> None:
        while (message := self._early.get(self._expected)) and self.handle(message):
            del self._early[self._expected]
            self._expected += 1
            self.used = time.monotonic()
            self._acknowledge(message)

    def _acknowledge(self, message: Message) -> None:
        content = {
            "AcknowledgedMessageType": message.kind,
            "AcknowledgedMessageId": str(message.identity),
            "AcknowledgedMessageSequenceNumber": message.sequence,
            "IsSequentialMessage": True,
        }
        self.announce(wire.ACKNOWLEDGE, json.dumps(content).encode())

    def _acknowledged(self, message: Message) -> None:
        content: Any = json.loads(message.payload)
        number = content.get("AcknowledgedMessageSequenceNumber") if isinstance(content, dict) else None
        if not isinstance(number, int):
            raise wire.Malformed("an acknowledgement of nothing")
        with self._changed:
            self._sent.pop(number, None)
            self._changed.notify_all()

    def _resend(self) -> None:
        """What could not be handled when it came is tried again here, too."""
        while not self.closed.wait(_TICK):
            with self._receiving:
                self._advance()
            with self._changed:
                if not self._sent or not self._socket:
                    continue
                sequence, (raw, at) = next(iter(self._sent.items()))
                if time.monotonic() - at < RESEND_AFTER:
                    continue
                self._sent[sequence] = raw, time.monotonic()
            self._transmit(raw)

    def _transmit(self, raw: bytes) -> None:
        socket = self._socket
        if socket:
            with contextlib.suppress(OSError, EOFError, _closed_error()):
                socket.send(raw)


def _closed_error() -> type[Exception]:
    """websockets' own: imported when there is one, which is when it has been imported already."""
    from websockets.exceptions import ConnectionClosed

    return ConnectionClosed
