"""Sessions on bad days: lines that break, peers that lie, accounts that encrypt, and clients of other ages."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from pcinfra.errors import MissingTool, PcinfraError, Unreachable
from pcinfra.localcloud.sessions import wire as theirs
from pcinfra.localcloud.sessions.channel import Channel as AgentChannel
from pcinfra.localcloud.sessions.gateway import Gateway
from pcinfra.sessions import Request, forwarding
from pcinfra.sessions.wire import INPUT, Kind, Message
from tests.local.services.peers import Account, Agent, Ear, Host, Relay
from tests.waiting import until, until_equal


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway(Host())
    yield made
    made.stop()


def test_a_line_that_is_cut_is_mended_and_nothing_is_lost(gateway: Gateway) -> None:
    relay = Relay()
    account = Account(gateway, relay)
    count = "i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); echo line $i; done; read answer; echo heard $answer"
    ear = Ear(account, Request.command("i-1", count))
    ear.wait_for(b"line 100\r")
    relay.cut()
    ear.wait_for(b"line 3000\r")
    relay.cut()
    ear.channel.send(b"you\r")
    ear.wait_for(b"heard you\r")
    until(ear.channel.over.is_set)
    assert ear.channel.error is None
    lines = [line for line in ear.heard.decode().split("\r\n") if line.startswith("line")]
    assert lines == [f"line {number}" for number in range(1, 3001)]
    assert account.calls.count("ResumeSession") >= 1
    relay.close()


def test_a_line_that_cannot_be_mended_is_one_error_without_a_secret(gateway: Gateway) -> None:
    relay = Relay()
    account = Account(gateway, relay)
    ear = Ear(account, Request.command("i-1", "echo here; sleep 1000"))
    ear.wait_for(b"here")
    relay.close()
    until(ear.channel.over.is_set)
    assert isinstance(ear.channel.error, PcinfraError)
    assert "the connection is lost, and the session cannot be resumed: 127.0.0.1 cannot be reached" in str(
        ear.channel.error
    )
    assert not [token for token in account.tokens if token in str(ear.channel.error)]
    assert ear.channel.error.__cause__ is None


def test_a_session_that_ended_meanwhile_is_told(gateway: Gateway) -> None:
    relay = Relay()
    account = Account(gateway, relay)
    ear = Ear(account, Request.command("i-1", "echo here; sleep 1000"))
    ear.wait_for(b"here")
    session = gateway.sessions[ear.line.session]
    session.channel.announce = lambda *_: None  # type: ignore[method-assign]  # the word of its end is lost
    session.end()
    until(ear.channel.over.is_set)
    assert "has timed out, or somebody has ended it" in str(ear.channel.error)
    relay.close()


def test_a_session_without_a_word_ends() -> None:
    gateway = Gateway(Host(), idle=3)
    ear = Ear(Account(gateway), Request.command("i-1", "echo here; sleep 1000"))
    ear.wait_for(b"here")
    until(ear.channel.over.is_set)
    assert ear.channel.said == "the session was idle for 0.05 minutes"
    gateway.stop()


HOSTILE = [
    b"",
    b"\x00",
    b"\xff" * 119,
    b"\xff" * 5000,
    Message(INPUT, b"x", Kind.DATA, -1).encode(),
    Message(INPUT, b"x", Kind.DATA, 2**62).encode(),
    Message(INPUT, b"x", Kind.DATA, 0).encode()[:-1],
    Message(INPUT, b"x", Kind.DATA, 0).encode()[:116] + b"\xff\xff\xff\xffx",
    Message("acknowledge", b"[]").encode(),
    Message("acknowledge", b'{"AcknowledgedMessageSequenceNumber": []}').encode(),
    Message("acknowledge", b"\xff").encode(),
    Message("nonsense", b"x").encode(),
    Message(INPUT, b'{"cols": -1, "rows": "x"}', Kind.SIZE, 0).encode(),
    Message(INPUT, b"[]", Kind.SIZE, 1).encode(),
    Message(INPUT, b"not json", Kind.HANDSHAKE_RESPONSE, 2).encode(),
    Message(INPUT, b"[]", Kind.HANDSHAKE_RESPONSE, 3).encode(),
]


def test_the_gateway_outlives_what_it_does_not_understand(gateway: Gateway) -> None:
    account = Account(gateway)
    answer = account.call("ssm", "StartSession", **Request.command("i-1", "read x; echo got $x").call())
    for opening in (b"\xff\xfe", "nonsense", "[]", "{}", json.dumps({"TokenValue": "guessed"})):
        with connect(answer["StreamUrl"]) as stranger:
            stranger.send(opening)
            with pytest.raises(ConnectionClosed):
                stranger.recv(timeout=30)
    with connect(answer["StreamUrl"]) as client:
        client.send(json.dumps({"TokenValue": answer["TokenValue"]}))
        client.send("text")
        for raw in HOSTILE:
            client.send(raw)
        client.send(Message(INPUT, b"it\r", Kind.DATA, 4).encode())
        heard = b""
        while b"got it" not in heard:
            message = theirs.decode(client.recv(timeout=30, decode=False))
            heard += message.payload if message.payload_type == theirs.DATA else b""


def heard_from(act: Callable[[AgentChannel, Any], None]) -> tuple[Agent, Ear]:
    agent = Agent(act)
    return agent, Ear(agent, Request.shell("i-1"))  # type: ignore[arg-type]


def asking(*kinds: str) -> bytes:
    actions = [{"ActionType": kind, "ActionParameters": {"KMSKeyId": "arn:aws:kms:key"}} for kind in kinds]
    return json.dumps({"AgentVersion": "3.3.0.0", "RequestedClientActions": actions}).encode()


def test_an_account_that_encrypts_its_sessions_needs_the_plugin() -> None:
    question = asking("SessionType", "KMSEncryption")
    agent, ear = heard_from(lambda channel, _: channel.send(theirs.HANDSHAKE_REQUEST, question))
    until(ear.channel.over.is_set)
    assert isinstance(ear.channel.error, MissingTool)
    assert "encrypts its sessions with a key of KMS" in str(ear.channel.error)
    assert "install session-manager-plugin" in str(ear.channel.error)
    done = json.loads(agent.answers[0].payload)["ProcessedClientActions"]
    assert [each["ActionStatus"] for each in done] == [1, 2], "the agent is told, too"
    agent.close()


def test_the_client_outlives_what_it_does_not_understand() -> None:
    def act(channel: AgentChannel, client: Any) -> None:
        for raw in HOSTILE:
            client.send(raw)
        changed = bytearray(theirs.Message(theirs.OUTPUT, b"lie", theirs.DATA, 0).encode())
        changed[-1] ^= 1
        client.send(bytes(changed))
        early = theirs.Message(theirs.OUTPUT, b"second", theirs.DATA, 1).encode()
        client.send(early)
        client.send(early)
        channel.send(theirs.DATA, b"first ")
        channel.send(99, b"what no payload is yet")

    agent, ear = heard_from(act)
    ear.wait_for(b"first second")
    assert ear.channel.ready.is_set()
    assert not ear.channel.over.is_set()
    ear.channel.close()
    agent.close()


def test_a_status_that_the_agent_tells_is_kept() -> None:
    def act(channel: AgentChannel, client: Any) -> None:
        channel.send(12, b"42")
        channel.drain(30)
        channel.close("s-1", "i-1")

    agent, ear = heard_from(act)
    until(ear.channel.over.is_set)
    assert ear.channel.exit_code == 42
    assert agent.openings[0].keys() == {"MessageSchemaVersion", "RequestId", "TokenValue", "ClientId", "ClientVersion"}
    agent.close()


def test_an_address_that_is_not_encrypted_is_not_gone_to() -> None:
    class Open(Agent):
        def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
            return {"SessionId": "s-1", "TokenValue": "secret", "StreamUrl": "ws://example.com/"}

    agent = Open(lambda *_: None)
    with pytest.raises(PcinfraError, match="not encrypted"):
        Ear(agent, Request.shell("i-1"))  # type: ignore[arg-type]
    agent.close()


@dataclass
class Elsewhere:
    """Where no relay is."""

    port: int
    to: int = 0


def test_where_nobody_answers_the_token_is_not_told(gateway: Gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    account = Account(gateway, Elsewhere(port))
    with pytest.raises(Unreachable) as raised:
        Ear(account, Request.command("i-1", "true"))
    assert account.tokens[0] not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("version", ["1.1.69", "1.2.707.0"])
def test_a_port_of_agents_of_every_age(gateway: Gateway, version: str) -> None:
    """An old client is given one connection after the other, a newer one as many as it likes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ear = Passing(Account(gateway), Request.forward("i-1", 1, server.getsockname()[1]), version)
        until(ear.channel.ready.is_set)
        for text in (b"one", b"two"):
            near, far = socket.socketpair()
            ear.take(far)
            near.sendall(text)
            end, _ = server.accept()
            with near, end:
                assert end.recv(100) == text
                end.sendall(text.upper())
                assert near.recv(100) == text.upper()
                near.shutdown(socket.SHUT_RDWR)
                until_equal(lambda end=end: end.recv(100), b"")  # type: ignore[misc]
        ear.channel.close()


class Passing(Ear):
    """A client of ports, as old or as new as it says."""

    def __init__(self, account: Account, request: Request, version: str) -> None:
        self._passing: Any = None
        self._old = version == "1.1.69"
        super().__init__(account, request, version)

    def take(self, connection: socket.socket) -> None:
        if self._passing is None:
            channel = self.channel
            self._passing = forwarding.OneByOne(channel) if self._old else forwarding.ManyAtOnce(channel, lambda: None)
        self._passing.take(connection)

    def _hear(self, message: Message) -> bool:
        return bool(self._passing and self._passing.handle(message))


@pytest.mark.parametrize(
    ("agent", "many", "signs"),
    [("", False, True), ("3.0.196.0", False, True), ("3.0.222.0", True, True), ("3.1.1511.0", True, True),
     ("3.1.1512.0", True, False), ("3.3.0.0", True, False)],
)  # fmt: skip
def test_agents_of_every_age_are_spoken_to_in_their_way(agent: str, many: bool, signs: bool) -> None:
    assert (forwarding.takes_many(agent), forwarding.wants_signs_of_life(agent)) == (many, signs)


def test_much_through_a_window_that_is_small_takes_no_more_than_its_time(gateway: Gateway) -> None:
    """Both directions at once, each much more than waits anywhere on the way."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ear = Ear(Account(gateway), Request.ssh("i-1", server.getsockname()[1]))
        until(ear.channel.ready.is_set)
        end, _ = server.accept()
        data = os.urandom(1 << 20)
        threading.Thread(target=end.sendall, args=(data,), daemon=True).start()
        threading.Thread(target=ear.channel.send, args=(data,), daemon=True).start()
        with end, end.makefile("rb") as file:
            assert file.read(len(data)) == data
            until(lambda: len(ear.heard) >= len(data))
        assert ear.heard == data
        began = time.monotonic()
        ear.channel.close()
        assert time.monotonic() - began < 60
