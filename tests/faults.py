"""A loopback proxy in front of the local cloud that lets requests fail: real sockets, real HTTP, a real boto3.

A request is told apart from others by its content, without what is drawn by chance; its key is the operation and a
number: ``fsx.CreateDataRepositoryAssociation#2`` is the second different one. A fault hits the first sight of a key;
what is tried again, or asked again, passes.
"""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from pcinfra.localcloud import answers


class Fault(StrEnum):
    """How a request fails. Of the last two, the cloud has done what was asked: only the answer is lost."""

    THROTTLED = "throttled"
    BROKEN = "500"
    TIMEOUT = "timeout"
    RESET = "reset"


Choice = Callable[[str], Fault | None]
_BY_CHANCE = re.compile(rb'(ClientRequestToken(?:"\s*:\s*"|=))[^"&]*')
_CODES = {"json": "ThrottlingException", "query": "Throttling", "ec2": "RequestLimitExceeded", "s3": "SlowDown"}
_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length", "date", "server"}


class Proxy(ThreadingHTTPServer):
    """Forwards to ``upstream``. ``choose`` says how each new key fails, and None lets it pass; ``seen`` lists them."""

    daemon_threads = True

    def __init__(self, upstream: str, choose: Choice) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = str(urlsplit(upstream).netloc)
        self.choose = choose
        self.seen: list[str] = []
        self.hit: list[tuple[str, Fault]] = []
        self.closing = threading.Event()
        self._known: set[tuple[str, str, bytes]] = set()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self, call: answers.Call, path: str, body: bytes) -> Fault | None:
        """Return how this request fails."""
        name = _name(call, path)
        content = (name, path, _BY_CHANCE.sub(rb"\1", body))
        with self._lock:
            if content in self._known:
                return None
            self._known.add(content)
            key = f"{name}#{1 + sum(other.startswith(f'{name}#') for other in self.seen)}"
            self.seen.append(key)
            fault = self.choose(key)
            if fault:
                self.hit.append((key, fault))
            return fault

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that give up are part of the game."""


def _name(call: answers.Call, path: str) -> str:
    if call.protocol != "s3":
        return str(call)
    parts = urlsplit(path)
    method = call.action.partition(" ")[0]
    level = "object" if parts.path.strip("/").count("/") else "bucket"
    subresource = "".join(f"?{key}" for key, value in parse_qsl(parts.query, keep_blank_values=True) if not value)
    return f"s3.{method} {level}{subresource}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy
    disable_nagle_algorithm = True
    wbufsize = -1

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        call = answers.recognise(self._environ(), body)
        fault = self.server.fault(call, self.path, body)
        if fault in (Fault.THROTTLED, Fault.BROKEN):
            self._refuse(call, fault is Fault.THROTTLED)
            return
        answer = self._forward(body)
        if fault is Fault.TIMEOUT:
            self.server.closing.wait(60)
            self.close_connection = True
        elif fault is Fault.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        else:
            self._send(*answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815

    def handle_expect_100(self) -> bool:
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def _environ(self) -> dict[str, str]:
        named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}
        parts = urlsplit(self.path)
        own = {"REQUEST_METHOD": self.command, "PATH_INFO": parts.path, "QUERY_STRING": parts.query}
        return {**named, **own, "CONTENT_TYPE": self.headers.get("Content-Type", "")}

    def _refuse(self, call: answers.Call, throttled: bool) -> None:
        status = 503 if call.protocol in ("s3", "ec2") else 400
        if throttled:
            answer = answers.refusal(call, status, _CODES.get(call.protocol, "Throttling"), "Rate exceeded")
        else:
            answer = answers.refusal(call, 500, "InternalFailure", "an internal error")
        self._send(answer.status, answer.headers, answer.body)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            connection.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if self.command != "HEAD" or not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def failing(upstream: str, choose: Choice) -> Iterator[Proxy]:
    """Run a :class:`Proxy` for the time of a block."""
    with Proxy(upstream, choose) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.closing.set()
            proxy.shutdown()
            thread.join()
