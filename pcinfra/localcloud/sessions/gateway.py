"""Where clients connect to: one WebSocket server of the loopback for all sessions.

Source: amazon-ssm-agent, ``agent/session/service`` (OpenDataChannelInput) and ``sessionplugin.go`` (who needs a
handshake); session-manager-plugin, ``src/datachannel/streaming.go`` (what a client says first).
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import secrets
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from pcinfra.localcloud import HOST
from pcinfra.localcloud.sessions import ports, wire
from pcinfra.localcloud.sessions.channel import Channel
from pcinfra.localcloud.sessions.terminal import Terminal

_LOG = logging.getLogger(__name__)

AGENT_VERSION = "3.3.0.0"
IDLE = 20 * 60.0
"""Seconds without a message, after which a session ends (user guide, "Specify an idle session timeout value")."""

_PATH = "/v1/data-channel/"
_PATIENCE = 15.0
"""Seconds for the token and for the answer to a handshake (``handshakeTimeout``)."""

_MUX_FROM = "1.1.70"
"""Version of the client from which on connections share a session (``muxSupportedClientVersion``)."""

_LARGEST = 1 << 20


class Nodes(Protocol):
    """The way to the instances of one local cloud."""

    def reaches(self, instance_id: str) -> bool: ...

    def terminal(self, instance_id: str, command: str) -> Sequence[str]:
        """Return the program that runs a command of sh on an instance and takes the terminal that it is given; an
        empty command: a shell. Raises NotFound.
        """
        ...

    def dial(self, instance_id: str, host: str, port: int) -> socket.socket:
        """Connect to a port of the instance, or of ``host`` as it sees it. Raises OSError."""
        ...


class _Plugin(Protocol):
    def handle(self, message: wire.Message) -> bool: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Request:
    """What a session is to do. ``kind``: Standard_Stream, InteractiveCommands or Port."""

    target: str
    document: str
    kind: str
    properties: Mapping[str, str]
    owner: str
    reason: str = ""


@dataclass
class Session:
    """One session, from StartSession to its end."""

    request: Request
    nodes: Nodes
    identity: str
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    client_version: str = ""

    def __post_init__(self) -> None:
        self.channel = Channel(self._handle)
        self._plugin: _Plugin | None = None
        self._answered = threading.Event()
        self._failure = ""
        self._lock = threading.Lock()
        self._started = False

    @property
    def status(self) -> str:
        if self.ended:
            return "Terminated"
        return "Connected" if self.channel.attached else "Disconnected" if self._started else "Connecting"

    def attach(self, client: Any, version: str) -> None:
        """Let a client have the session; with the first, the agent begins."""
        self.channel.attach(client)
        self.channel.announce(wire.START_PUBLICATION)
        with self._lock:
            first, self._started = not self._started, True
        if first:
            self.client_version = version
            threading.Thread(target=self._begin, name=self.identity, daemon=True).start()

    def renewed(self) -> Session:
        """Give it another token, in whose place the old one is worth nothing; one that has ended gets none."""
        with self._lock:
            self.token = "" if self.ended else secrets.token_urlsafe(48)
        return self

    def end(self, why: str = "") -> None:
        """End it, if it has not ended. ``why`` is told to the client."""
        with self._lock:
            if self.ended:
                return
            self.ended = datetime.now(UTC)
            plugin = self._plugin
        self.channel.close(self.identity, self.request.target, why)
        self.token = ""
        if plugin:
            plugin.stop()

    def _begin(self) -> None:
        try:
            if self.request.kind == "Port":
                self._shake_hands()
            plugin = self._make()
        except (OSError, TimeoutError) as error:
            self.end(ports.cannot(error) if not isinstance(error, TimeoutError) else str(error))
            return
        except Exception as error:  # the machine went away meanwhile
            _LOG.warning("session %s: %s", self.identity, error)
            self.end(f"Unable to start the session: {error}")
            return
        with self._lock:
            self._plugin = plugin
            over = self.ended
        if over:
            plugin.stop()

    def _make(self) -> _Plugin:
        request, properties = self.request, self.request.properties
        if request.kind != "Port":
            argv = self.nodes.terminal(request.target, properties.get("command", ""))
            return Terminal(argv, self.channel, self.end)

        def dial() -> socket.socket:
            return self.nodes.dial(request.target, properties.get("host", ""), int(properties["portNumber"]))

        forwarding = properties.get("type") == "LocalPortForwarding"
        if forwarding and _as_new_as(self.client_version, _MUX_FROM):
            return ports.Mux(dial, self.channel, self.end)
        return ports.Basic(dial, self.channel, forwarding, self.end)

    def _shake_hands(self) -> None:
        begun = time.monotonic_ns()
        action = {"SessionType": self.request.kind, "Properties": dict(self.request.properties)}
        question = {
            "AgentVersion": AGENT_VERSION,
            "RequestedClientActions": [{"ActionType": "SessionType", "ActionParameters": action}],
        }
        self.channel.send(wire.HANDSHAKE_REQUEST, json.dumps(question).encode())
        if not self._answered.wait(_PATIENCE):
            raise TimeoutError(
                "Handshake timed out. Please ensure that you have the latest version of the session manager plugin."
            )
        if self._failure:
            raise TimeoutError(self._failure)
        done = {"HandshakeTimeToComplete": time.monotonic_ns() - begun, "CustomerMessage": ""}
        self.channel.send(wire.HANDSHAKE_COMPLETE, json.dumps(done).encode())

    def _handle(self, message: wire.Message) -> bool:
        if message.payload_type == wire.HANDSHAKE_RESPONSE:
            self._answer(message)
            return True
        if self._plugin is None:
            return False  # ErrHandlerNotReady: it will come again
        return self._plugin.handle(message)

    def _answer(self, message: wire.Message) -> None:
        try:
            answer = json.loads(message.payload)
            self.client_version = str(answer.get("ClientVersion") or self.client_version)
            failed = [each for each in answer["ProcessedClientActions"] if each["ActionStatus"] != 1]
            if failed:
                self._failure = f"{failed[0]['ActionType']} failed on client: {failed[0].get('Error', '')}"
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._failure = f"the answer to the handshake cannot be read: {error}"
        self._answered.set()


class Gateway:
    """Holds the sessions of one process, and listens once there is one.

    Args:
        idle: seconds without a message, after which a session ends.
    """

    def __init__(self, nodes: Nodes, idle: float = IDLE) -> None:
        self.sessions: dict[str, Session] = {}
        self._nodes, self._idle = nodes, idle
        self._server: Any = None
        self._lock = threading.Lock()

    def start(self, request: Request) -> Session:
        """Make a session that waits for its client."""
        self._listen()
        name = f"pcinfra-{secrets.token_hex(9)[:17]}"
        session = self.sessions[name] = Session(request, self._nodes, name)
        return session

    def url(self, session: Session) -> str:
        port = self._server.socket.getsockname()[1]
        return f"ws://{HOST}:{port}{_PATH}{quote(session.identity)}?role=publish_subscribe"

    def stop(self) -> None:
        """End every session and listen no more."""
        for session in list(self.sessions.values()):
            session.end("the local cloud was stopped")
        if self._server:
            self._server.shutdown()

    def _listen(self) -> None:
        from websockets.sync.server import serve

        with self._lock:
            if self._server is None:
                logging.getLogger("websockets").setLevel(logging.CRITICAL)  # what a stranger sends is no error of ours
                self._server = serve(self._serve, HOST, 0, compression=None, max_size=_LARGEST, ping_interval=None)
                threading.Thread(target=self._server.serve_forever, name="sessions", daemon=True).start()
                threading.Thread(target=self._watch, name="idle sessions", daemon=True).start()

    def _serve(self, client: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        session = None
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            session = self._admitted(client)
            if session is None:
                client.close(1008, "not authorised")
                return
            for raw in client:
                if isinstance(raw, bytes):
                    session.channel.receive(raw)
        if session:
            session.channel.detach(client)

    def _admitted(self, client: Any) -> Session | None:
        """Return the session of the path, if the first message has its token."""
        path = unquote(urlsplit(client.request.path).path)
        session = self.sessions.get(path.removeprefix(_PATH)) if path.startswith(_PATH) else None
        first = client.recv(timeout=_PATIENCE)
        try:
            opening = json.loads(first)
            token, version = str(opening["TokenValue"]), str(opening.get("ClientVersion", ""))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        if not (session and session.token and hmac.compare_digest(token.encode(), session.token.encode())):
            return None
        session.attach(client, version)
        return session

    def _watch(self) -> None:
        pause = min(5.0, self._idle / 4)
        while True:
            time.sleep(pause)
            for session in list(self.sessions.values()):
                if not session.ended and time.monotonic() - session.channel.used > self._idle:
                    session.end(f"the session was idle for {self._idle / 60:g} minutes")


def _as_new_as(version: str, other: str) -> bool:
    """Compare part by part, as text where one is no number (``agent/versionutil``): not every client says numbers."""
    for mine, its in zip(version.split("."), other.split("."), strict=False):
        if mine.isdecimal() and its.isdecimal() and int(mine) != int(its):
            return int(mine) > int(its)
        if not (mine.isdecimal() and its.isdecimal()) and mine != its:
            return mine > its
    return version.count(".") >= other.count(".")
