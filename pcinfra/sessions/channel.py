"""The client's side of a data channel: numbered messages, acknowledged, sent again until they are, over a WebSocket
that may break and be replaced.

Source: session-manager-plugin, ``src/datachannel/streaming.go``, ``src/config/config.go`` (times and sizes) and
``src/sessionmanagerplugin/session/sessionhandler.go`` (how a session is resumed).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from pcinfra.errors import CloudError, MissingTool, PcinfraError
from pcinfra.sessions.wire import (
    ACKNOWLEDGE,
    CHANNEL_CLOSED,
    INPUT,
    OUTPUT,
    PIECE,
    SYN_FIN,
    Flag,
    Kind,
    Malformed,
    Message,
)

CLIENT_VERSION = "1.2.707.0"
"""The plug-in's version that this behaves like. From 1.1.70 on the agent lets connections share a session."""

WINDOW = 128
"""Messages that may wait for an acknowledgement before the next one has to."""

AHEAD = 10_000
"""Messages that are kept when they come before their turn."""

RESEND_AFTER = 1.0
"""Seconds (MaxTransmissionTimeout)."""

SILENCE = 20.0
"""Seconds without any answer after which the connection is taken for broken: a network that is gone says nothing."""

RETRIES = 5
PLUGIN_HINT = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
)
_TICK = 0.1


class Socket(Protocol):
    """A WebSocket. Iterating it ends when it is closed, by whomever."""

    def send(self, message: bytes) -> None: ...
    def close(self) -> None: ...
    def messages(self) -> Iterable[bytes]: ...


class Line(Protocol):
    """How the session is reached."""

    @property
    def session(self) -> str: ...

    def open(self) -> Socket:
        """Return a WebSocket on which the session's token has been said; the first time, or again.

        Raises:
            PcinfraError: there is none.
        """
        ...

    def resume(self) -> bool:
        """Fetch another token; False: the session has ended."""
        ...


class Channel:
    """One session.

    Args:
        handle: gets every message for the user of the channel, in order; False: not now, it will come again.
        wake: called, from any thread, when :attr:`over` or :attr:`ready` has become set.
    """

    def __init__(
        self, line: Line, handle: Callable[[Message], bool], wake: Callable[[], None], version: str = CLIENT_VERSION
    ) -> None:
        self.over, self.ready = threading.Event(), threading.Event()
        self.error: PcinfraError | None = None
        self.said = ""
        """Why the other side closed the channel; empty: the session ended by itself."""
        self.notice = ""
        self.agent = ""
        """Version of the agent; empty when it shook no hands."""
        self.exit_code: int | None = None
        self.ended = False
        """Whether the other side has said that the session is over."""
        self.lost = threading.Event()
        """Set while there is no connection."""
        self.halted: Callable[[], bool] = lambda: False
        """Whether who sends wants to wait no longer."""
        self._heard = time.monotonic()
        self._line, self._handle, self._wake, self._version = line, handle, wake, version
        self._next = self._expected = 0
        self._sent: OrderedDict[int, tuple[bytes, float]] = OrderedDict()
        self._early: dict[int, Message] = {}
        self._condition = threading.Condition()
        self._receiving = threading.Lock()
        self._socket: Socket | None = line.open()
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._resend, daemon=True).start()

    def send(self, data: bytes) -> None:
        """Send bytes of the stream, in as many messages as it takes; waits while too many are on their way."""
        for start in range(0, len(data), PIECE):
            self.say(Kind.DATA, data[start : start + PIECE])

    def say(self, kind: Kind, payload: bytes) -> None:
        """Send one message. Nothing happens once the channel is over."""
        with self._condition:
            while not self._condition.wait_for(lambda: len(self._sent) < WINDOW or self.over.is_set(), _TICK):
                if self.halted():
                    return
            if self.over.is_set():
                return
            raw = Message(INPUT, payload, kind, self._next).encode()
            self._sent[self._next] = raw, time.monotonic()
            self._next += 1
        self._transmit(raw)

    def drain(self, seconds: float) -> None:
        """Wait until everything has arrived, or the channel is over, or time is up."""
        with self._condition:
            self._condition.wait_for(lambda: not self._sent or self.over.is_set(), seconds)

    def close(self) -> None:
        """Hang up."""
        self._end()
        with self._condition:
            socket, self._socket = self._socket, None
        if socket:
            socket.close()

    def fail(self, error: PcinfraError) -> None:
        """Be over because of ``error``."""
        if not self.over.is_set():
            self.error = error
        self._end()

    def _end(self) -> None:
        self.over.set()
        with self._condition:
            self._condition.notify_all()
        self._wake()

    # -- what comes -----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        while not self.over.is_set():
            socket = self._socket
            for raw in socket.messages() if socket else ():
                self._receive(raw)
            if not self.over.is_set():
                self.lost.set()
                self._reconnect()
                self.lost.clear()

    def _receive(self, raw: bytes) -> None:
        """What is no message is forgotten; one that matters comes again, because it was not acknowledged."""
        self._heard = time.monotonic()
        with contextlib.suppress(Malformed):
            message = Message.decode(raw)
            if message.type == OUTPUT:
                with self._receiving:
                    self._take(message)
            elif message.type == ACKNOWLEDGE:
                self._acknowledged(content(message))
            elif message.type == CHANNEL_CLOSED:
                self.ended, self.said = True, str(content(message).get("Output") or "")
                self._end()

    def _take(self, message: Message) -> None:
        if message.sequence > self._expected:
            if len(self._early) < AHEAD:
                self._early[message.sequence] = message
                self._acknowledge(message)
            return
        if message.sequence == self._expected:
            self._early[message.sequence] = message
        else:
            self._acknowledge(message)
        self._advance()

    def _advance(self) -> None:
        while (message := self._early.get(self._expected)) and self._dispatch(message):
            del self._early[self._expected]
            self._expected += 1
            self._acknowledge(message)

    def _dispatch(self, message: Message) -> bool:
        if message.kind == Kind.HANDSHAKE_REQUEST:
            self._shake_hands(content(message))
        elif message.kind == Kind.HANDSHAKE_COMPLETE:
            self.notice = str(content(message).get("CustomerMessage") or "")
            self._begin()
        elif message.kind == Kind.EXIT_CODE:
            with contextlib.suppress(ValueError):
                self.exit_code = int(message.payload)
        else:
            if not self.ready.is_set():
                self._begin()  # an agent that has nothing to agree on begins with its output
            return self._handle(message)
        return True

    def _begin(self) -> None:
        self.ready.set()
        self._wake()

    def _acknowledge(self, message: Message) -> None:
        said = {
            "AcknowledgedMessageType": message.type,
            "AcknowledgedMessageId": str(message.identity),
            "AcknowledgedMessageSequenceNumber": message.sequence,
            "IsSequentialMessage": True,
        }
        self._transmit(Message(ACKNOWLEDGE, json.dumps(said).encode(), flags=SYN_FIN).encode())

    def _acknowledged(self, said: dict[str, Any]) -> None:
        number = said.get("AcknowledgedMessageSequenceNumber")
        with self._condition:
            if isinstance(number, int):
                self._sent.pop(number, None)
                self._condition.notify_all()

    def _shake_hands(self, asked: dict[str, Any]) -> None:
        self.agent = str(asked.get("AgentVersion") or "")
        actions = asked.get("RequestedClientActions")
        done = [_done(action) for action in actions or [] if isinstance(action, dict)]
        errors = [each["Error"] for each in done if each["Error"]]
        answer = {"ClientVersion": self._version, "ProcessedClientActions": done, "Errors": errors}
        # In a thread of its own: it may have to wait for acknowledgements, which this one brings.
        payload = json.dumps(answer).encode()
        threading.Thread(target=self._answer, args=(payload, errors), daemon=True).start()

    def _answer(self, payload: bytes, errors: list[str]) -> None:
        self.say(Kind.HANDSHAKE_RESPONSE, payload)
        if errors:
            self.drain(2.0)
            self.fail(MissingTool(errors[0], where="session", hint=f"install session-manager-plugin: {PLUGIN_HINT}"))

    # -- the socket -----------------------------------------------------------------------------------------------

    def _reconnect(self) -> None:
        """Resume the session, a few times; fail if it cannot be."""
        pause, why = 0.1, ""
        for _ in range(RETRIES):
            if self.over.wait(pause):
                return
            pause *= 2
            try:
                if not self._line.resume():
                    self.fail(PcinfraError("the session has timed out, or somebody has ended it", where="session"))
                    return
                self._socket = self._line.open()
                self._heard = time.monotonic()
            except CloudError as error:
                why = error.why
            except PcinfraError as error:
                why = error.why
            else:
                self._resend_all()
                return
        self.fail(PcinfraError(f"the connection is lost, and the session cannot be resumed: {why}", where="session",
                               hint="the same command again"))  # fmt: skip

    def _resend_all(self) -> None:
        with self._condition:
            waiting = [raw for raw, _ in self._sent.values()]
        for raw in waiting:
            self._transmit(raw)

    def _resend(self) -> None:
        while not self.over.wait(_TICK):
            with self._receiving:
                self._advance()
            with self._condition:
                sequence, (raw, at) = next(iter(self._sent.items()), (-1, (b"", 0.0)))
                if sequence < 0 or time.monotonic() - at < RESEND_AFTER:
                    continue
                self._sent[sequence] = raw, time.monotonic()
                dead, socket = time.monotonic() - self._heard > SILENCE, self._socket
            if dead and socket and not self.lost.is_set():
                socket.close()
            else:
                self._transmit(raw)

    def _transmit(self, raw: bytes) -> None:
        socket = self._socket
        if socket:
            with contextlib.suppress(OSError):
                socket.send(raw)


def content(message: Message) -> dict[str, Any]:
    """Return the JSON object that the payload is; an empty one when it is none."""
    try:
        found = json.loads(message.payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_flag(message: Message, flag: Flag) -> bool:
    return message.kind == Kind.FLAG and message.payload[:4] == flag.payload


def _done(action: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to what the agent asks of its client: 1 is done, 2 failed, 3 not known."""
    name = str(action.get("ActionType"))
    if name == "SessionType":
        return {"ActionType": name, "ActionStatus": 1, "ActionResult": None, "Error": ""}
    if name == "KMSEncryption":
        why = "this account encrypts its sessions with a key of KMS, which only AWS's own plug-in does"
        return {"ActionType": name, "ActionStatus": 2, "ActionResult": None, "Error": why}
    return {
        "ActionType": name,
        "ActionStatus": 3,
        "ActionResult": None,
        "Error": f"the agent asks for {name}, which is not known here",
    }
