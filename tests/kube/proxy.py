"""Something between a client and the API server that breaks chosen answers, as gateways and busy servers do."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pcinfra.jobs.kubernetes.api import LiveApi, with_token
from tests.kube.server import Server

FOREVER = 1_000_000


@dataclass
class Fault:
    """What becomes of calls whose method and path are these.

    Args:
        status: of the answer; 0: the connection is closed without one.
        reason: of a Status, as the server writes it; empty: ``text`` is sent as it is.
        arrives: the server gets the call all the same, and only its answer is lost.
        after: so many of them are well before it.
        times: how many it meets; then all is well again.
    """

    method: str
    path: str
    status: int = 0
    reason: str = ""
    text: str = ""
    arrives: bool = False
    after: int = 0
    times: int = FOREVER
    seen: int = field(default=0, init=False)

    def meets(self, method: str, path: str) -> bool:
        if method != self.method or self.path not in path:
            return False
        self.seen += 1
        return self.after < self.seen <= self.after + self.times

    @property
    def body(self) -> bytes:
        if not self.reason:
            return self.text.encode()
        said = {"kind": "Status", "status": "Failure", "reason": self.reason, "message": self.text, "code": self.status}
        return json.dumps(said).encode()


@contextmanager
def between(server: Server, namespace: str, *faults: Fault) -> Iterator[LiveApi]:
    """Yield the API server as its administrator meets it through ``faults``."""
    trust = ssl.create_default_context(cafile=str(server.authority))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = next((each for each in faults if each.meets(self.command, self.path)), None)
            if fault is None or fault.arrives:
                status, answer = self._asked(body)
            if fault is not None:
                status, answer = fault.status, fault.body
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _asked(self, body: bytes) -> tuple[int, bytes]:
            connection = HTTPSConnection("127.0.0.1", server.port, context=trust, timeout=60)
            kept = {name: self.headers[name] for name in ("Authorization", "Content-Type", "Accept")}
            connection.request(self.command, self.path, body or None, {k: v for k, v in kept.items() if v})
            with connection.getresponse() as answer:
                found = answer.status, answer.read()
            connection.close()
            return found

        do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815 - the names are http.server's

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        api = with_token(f"http://127.0.0.1:{listener.server_port}", "admintok", None, namespace)
        api.pause = lambda _: None
        yield api
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
