"""Peers of sessions for tests: a gateway's account, an ear, a line that can be cut, an agent that obeys."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from websockets.sync.server import serve

from pcinfra.localcloud.sessions import gateway as gateways
from pcinfra.localcloud.sessions import wire as theirs
from pcinfra.localcloud.sessions.channel import Channel as AgentChannel
from pcinfra.localcloud.sessions.gateway import Gateway
from pcinfra.sessions import Request
from pcinfra.sessions.channel import Channel
from pcinfra.sessions.line import SessionLine
from pcinfra.sessions.wire import Kind, Message
from tests.waiting import until


class Host:
    """Every instance is this machine."""

    def reaches(self, instance_id: str) -> bool:
        return True

    def terminal(self, instance_id: str, command: str) -> list[str]:
        return ["env", f"PATH={os.environ['PATH']}", "setsid", "--ctty", "--wait", "sh", "-c", command]

    def dial(self, instance_id: str, host: str, port: int) -> socket.socket:
        return socket.create_connection((host or "127.0.0.1", port), timeout=10)


class Way(Protocol):
    """A port that leads to another."""

    port: int
    to: int


class Account:
    """The calls of an account, straight to a gateway. ``through``: what is gone through on the way."""

    def __init__(self, gateway: Gateway, through: Way | None = None) -> None:
        self.gateway, self.through = gateway, through
        self.calls: list[str] = []
        self.tokens: list[str] = []

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        self.calls.append(operation)
        if operation == "StartSession":
            kind = "Port" if "SSH" in parameters["DocumentName"] or "Port" in parameters["DocumentName"] else "Text"
            values = {name: value[0] for name, value in parameters["Parameters"].items()}
            values |= {"type": "LocalPortForwarding"} if "Forwarding" in parameters["DocumentName"] else {}
            asked = gateways.Request(parameters["Target"], parameters["DocumentName"], kind, values, "me")
            return self._way_in(self.gateway.start(asked))
        session = self.gateway.sessions[parameters["SessionId"]]
        if operation == "ResumeSession":
            return self._way_in(session.renewed())
        session.end()
        return {}

    def signature(self, service: str, address: str) -> dict[str, str]:
        return {"Authorization": f"for {service}"}

    def _way_in(self, session: gateways.Session) -> dict[str, Any]:
        url = urlsplit(self.gateway.url(session))
        if self.through:
            self.through.to = url.port or 0
            url = url._replace(netloc=f"127.0.0.1:{self.through.port}")
        self.tokens.append(session.token)
        return {"SessionId": session.identity, "StreamUrl": url.geturl(), "TokenValue": session.token}


class Ear:
    """Opens a channel and keeps what it hears."""

    def __init__(self, account: Account, request: Request, version: str = "1.2.707.0") -> None:
        self.line = SessionLine(account, request, version)
        self.heard = b""
        self.woken = threading.Event()
        self.channel = Channel(self.line, self._hear, self.woken.set, version)

    def _hear(self, message: Message) -> bool:
        self.heard += message.payload if message.kind == Kind.DATA else b""
        return True

    def wait_for(self, text: bytes) -> None:
        until(lambda: text in self.heard)


class Relay:
    """A port that leads to another, until the line is cut."""

    def __init__(self) -> None:
        self.to = 0
        self._ends: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self.to))
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Agent:
    """A gateway of one session whose agent does what it is told to."""

    def __init__(self, act: Callable[[AgentChannel, Any], None]) -> None:
        self.answers: list[theirs.Message] = []
        self.openings: list[dict[str, Any]] = []
        self._act = act
        self._server = serve(self._serve, "127.0.0.1", 0, compression=None)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = "ws://127.0.0.1:%d/" % self._server.socket.getsockname()[1]  # noqa: UP031

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        return {"SessionId": "s-1", "TokenValue": "secret", "StreamUrl": self.address}

    def signature(self, service: str, address: str) -> dict[str, str]:
        return {}

    def close(self) -> None:
        self._server.shutdown()

    def _hear(self, message: theirs.Message) -> bool:
        self.answers.append(message)
        return True

    def _serve(self, client: Any) -> None:
        self.openings.append(json.loads(client.recv()))
        channel = AgentChannel(self._hear)
        channel.attach(client)
        threading.Thread(target=self._act, args=(channel, client), daemon=True).start()
        for raw in client:
            channel.receive(raw)
