"""HTTP in front of moto: keep-alive, one call at a time, and an answer in the right format whatever happens."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import traceback
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)

from pcinfra.localcloud import answers
from pcinfra.localcloud.gate import turn

_LOG = logging.getLogger(__name__)

Headers = list[tuple[str, str]]

_OWN = "/_pcinfra/"
_METADATA = "/_pcinfra/metadata/"


def _nobody(_path: str, _body: bytes) -> bool:
    return False


class Application:
    """The WSGI application that answers every AWS service at one address.

    Args:
        touched: called after every call that may have changed something, by its name.
        resources: number of resources by kind, for ``pcinfra local status``.
    """

    def __init__(self, touched: Callable[[], None], resources: Callable[[], dict[str, int]]) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._touched = touched
        self._resources = resources
        self.asked: Callable[[str, bytes], bool] = _nobody
        """Called with path and body of what the machines ask the local cloud itself; returns whether it understood."""
        self.metadata: Callable[[str, str, Callable[[str], str]], tuple[int, str]] = lambda *_: (404, "")
        """Called with what machines ask their metadata service; see :class:`pcinfra.localcloud.metadata.Metadata`."""

    def __call__(self, environ: dict[str, Any], start: Callable[[str, Headers], Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/_pcinfra/resources":
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self._resources()).encode()]
        if environ["PATH_INFO"].startswith(_METADATA):
            return self._told(environ, start)
        body = environ["wsgi.input"].getvalue()
        if environ["PATH_INFO"].startswith(_OWN):
            understood = self.asked(environ["PATH_INFO"].removeprefix(_OWN), body)
            start("200 OK" if understood else "404 Not Found", [("Content-Type", "text/plain")])
            return [b""]
        call = answers.recognise(environ, body)
        with turn(str(call)):
            answer = self._answer(environ, call)
        if not call.reads:
            self._touched()
        start(f"{answer.status} {_phrase(answer.status)}", answer.headers)
        return [answer.body]

    def _told(self, environ: dict[str, Any], start: Callable[[str, Headers], Any]) -> Iterable[bytes]:
        def header(name: str) -> str:
            return str(environ.get(f"HTTP_{name.upper().replace('-', '_')}", ""))

        path = environ["PATH_INFO"].removeprefix(_METADATA)
        status, text = self.metadata(environ["REQUEST_METHOD"], path, header)
        kind = "application/json" if text.startswith("{") else "text/plain"
        start(f"{status} {_phrase(status)}", [("Content-Type", kind), ("Server", "EC2ws")])
        return [text.encode()]

    def _answer(self, environ: dict[str, Any], call: answers.Call) -> answers.Answer:
        if not self._serves(environ, call):
            return answers.not_implemented(_named(call, environ))
        try:
            answer = self._ask_moto(environ)
            if answers.is_nothing(call, answer):
                return answers.not_implemented(_named(call, environ))
            return answers.bad_request(call) if answers.is_page(answer) else answer
        except NotImplementedError as error:
            return answers.not_implemented(_named(call, environ), str(error))
        except Exception as error:  # the process must outlive every bug of a service
            _LOG.error("%s failed:\n%s", call, traceback.format_exc())
            message = f"the local cloud failed at {call}: {type(error).__name__}: {error}"
            return answers.refusal(call, answers.NOT_IMPLEMENTED, "InternalFailure", message)

    def _serves(self, environ: dict[str, Any], call: answers.Call) -> bool:
        """moto takes a service that it does not know for S3, and a subresource of S3 for the bucket or object."""
        if call.service == "s3":
            return not answers.UNKNOWN_S3 & set(parse_qs(environ["QUERY_STRING"], keep_blank_values=True))
        host = self._moto.infer_service_region_host(environ, environ["PATH_INFO"])
        environ["wsgi.input"].seek(0)
        return host is not None and self._moto.get_backend_for_host(host) is not None

    def _ask_moto(self, environ: dict[str, Any]) -> answers.Answer:
        said: dict[str, Any] = {}

        def start(status: str, headers: Headers, _: object = None) -> Callable[[bytes], None]:
            said["status"], said["headers"] = int(status.split()[0]), headers
            return lambda _: None

        chunks = self._moto(environ, start)
        body = b"".join(chunks)
        if hasattr(chunks, "close"):
            chunks.close()
        return answers.Answer(said["status"], list(said["headers"]), body)


class Handler(MotoRequestHandler):
    """Reads a request to its end and answers with a length, so that a connection serves many requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60
    """Seconds that an idle connection is kept."""

    def run_wsgi(self) -> None:
        environ = self.make_environ()
        self.environ = environ
        environ["wsgi.input"] = io.BytesIO(self._body(environ))
        environ["CONTENT_LENGTH"] = str(len(environ["wsgi.input"].getvalue()))
        environ.pop("wsgi.input_terminated", None)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        chunks = self.server.app(environ, self._start)
        self._send(b"".join(chunks))

    def handle_expect_100(self) -> bool:
        going_on = bool(super().handle_expect_100())
        self.wfile.flush()
        return going_on

    def _body(self, environ: dict[str, Any]) -> bytes:
        stream = environ["wsgi.input"]
        if environ.get("wsgi.input_terminated"):
            return bytes(stream.read())
        length = int(environ.get("CONTENT_LENGTH") or 0)
        return bytes(stream.read(length)) if length else b""

    def _start(self, status: str, headers: Headers, _: object = None) -> Callable[[bytes], None]:
        self._status, self._headers = status, headers
        return lambda _: None

    def _send(self, body: bytes) -> None:
        code, _, phrase = self._status.partition(" ")
        bodiless = self.command == "HEAD" or code in ("204", "304")
        self.send_response_only(int(code), phrase)
        named = {name.lower() for name, _ in self._headers}
        for name, value in self._headers:
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        if "content-length" not in named and code != "204":
            self.send_header("Content-Length", str(len(body)))
        if "date" not in named:
            self.send_header("Date", self.date_time_string())
        self.end_headers()
        if not bodiless:
            self.wfile.write(body)
        self.wfile.flush()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The log is for what goes wrong."""


def _named(call: answers.Call, environ: dict[str, Any]) -> answers.Call:
    """In REST protocols the operation's name is in AWS's model only."""
    if " " not in call.action:
        return call
    try:
        environ["wsgi.input"].seek(0)
        operation, _ = get_service_router(call.service).match(Request(environ))
    except Exception:  # no such service or path: method and path say what was asked
        return call
    return dataclasses.replace(call, action=operation.name)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
