"""A server on loopback that answers as AWS does on a bad day: real sockets for a real boto3."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """One answer. ``how``: "whole"; "reset" (RST instead of an answer), "half" (the line goes dead), "late" (never)."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    how: str = "whole"


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


class Server(ThreadingHTTPServer):
    """Gives ``answers`` in order, the last one again and again; keeps the ``requests``."""

    daemon_threads = True

    def __init__(self, answers: Sequence[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that give up are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length).decode()
        answer = self.server.take(Request(self.command, self.path, dict(self.headers), body))
        if answer.how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        if answer.how == "late":
            self.server.closing.wait()
            self.close_connection = True
            return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        body = b"" if self.command == "HEAD" else answer.body.encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + (100 if answer.how == "half" else 0)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = answer.how == "half"

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def serving(*answers: Answer) -> Iterator[Server]:
    """Run a :class:`Server` for the time of a block."""
    with Server(answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- answers in the formats of AWS's protocols ---------------------------------------------------------------------

STS = "https://sts.amazonaws.com/doc/2011-06-15/"
IDENTITY = Answer(
    body=f"<GetCallerIdentityResponse xmlns='{STS}'><GetCallerIdentityResult><Account>123456789012</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


def query_error(status: int, code: str, message: str = "what AWS says") -> Answer:
    """Return an error of STS, CloudFormation, IAM (query protocol)."""
    return Answer(
        status, f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )


def ec2_error(status: int, code: str, message: str = "what AWS says") -> Answer:
    """Return an error of EC2."""
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, f"<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>")


def s3_error(status: int, code: str, message: str = "what AWS says", extra: str = "", **headers: str) -> Answer:
    """Return an error of S3 (REST XML)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message>{extra}</Error>", named)


def json_error(status: int, code: str, message: str = "what AWS says") -> Answer:
    """Return an error of FSx, ECR, SSM (JSON protocol)."""
    body = json.dumps({"__type": code, "message": message})
    return Answer(status, body, {"Content-Type": "application/x-amz-json-1.1"})
