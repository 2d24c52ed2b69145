"""The door to an API server: errors told apart, retries where nothing was changed, lists page by page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pcinfra.errors import (
    AccessDenied,
    CloudError,
    Conflict,
    CredentialsError,
    NotFound,
    Unreachable,
    UsageError,
)
from pcinfra.jobs.kubernetes.api import LiveApi, connect, error_of, pages, with_token
from pcinfra.jobs.kubernetes.eks import token
from pcinfra.jobs.kubernetes.kinds import KINDS
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
from pcinfra.jobs.launcher import Query
from pcinfra.shell import Completed


class Scripted:
    """A server on loopback that gives its answers one after the other, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                outer.asked.append(f"{self.command} {self.path}")
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, body = outer.answers.pop(0)
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - names of http.server

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - likewise
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def api(self) -> LiveApi:
        api = with_token(f"http://127.0.0.1:{self.server.server_address[1]}", "t", None, "team-a")
        api.pause = self.slept.append
        return api

    slept: list[float]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    found = Scripted()
    found.slept = []
    yield found
    found.server.shutdown()
    found.server.server_close()


def status(code: int, reason: str = "", message: str = "no") -> tuple[int, dict[str, str], Any]:
    return code, {}, {"kind": "Status", "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("code", "kind"),
    [(401, CredentialsError), (403, AccessDenied), (404, NotFound), (409, Conflict), (413, CloudError),
     (422, CloudError), (429, Unreachable), (500, Unreachable), (503, Unreachable)],
)  # fmt: skip
def test_every_refusal_is_told_with_the_servers_words(code: int, kind: type[CloudError]) -> None:
    error = error_of(code, json.dumps({"reason": "R", "message": "the server's words"}).encode(), "x")
    assert type(error) is kind
    assert error.why.endswith("the server's words")
    assert error.code == "R"


def test_what_is_no_status_is_shown_as_it_is() -> None:
    assert error_of(502, b"<html>Bad Gateway</html>", "x").why == "a page: Bad Gateway"
    assert error_of(500, b"", "x").why == "answered 500"
    assert error_of(500, b"", "x", "/api/v1/pods").why == "answered 500 to /api/v1/pods"
    assert error_of(400, b"[]", "x").why == "[]"


def test_a_namespace_that_is_not_there_is_told_and_not_taken_for_an_empty_one(scripted: Scripted) -> None:
    none: dict[str, Any] = {"items": [], "metadata": {}}
    scripted.answers = [(200, {}, none), (200, {}, none), status(404, "NotFound", 'namespaces "team-a" not found')]
    with pytest.raises(NotFound, match='namespaces "team-a" not found') as caught:
        KubernetesLauncher(scripted.api()).runs(Query(5))
    assert "kubectl create namespace team-a" in caught.value.hint
    scripted.answers = [(200, {}, none), (200, {}, none), status(403)]  # who may not ask sees an empty list
    assert KubernetesLauncher(scripted.api()).runs(Query(5)) == []


def test_too_many_requests_are_asked_again_after_the_time_that_the_server_says(scripted: Scripted) -> None:
    scripted.answers = [(429, {"Retry-After": "3"}, {}), (200, {}, {"ok": True})]
    assert scripted.api().call("POST", "/a", body={}) == {"ok": True}
    assert scripted.slept == [3.0]


def test_a_change_is_not_repeated_when_the_server_fails(scripted: Scripted) -> None:
    scripted.answers = [status(500)]
    with pytest.raises(Unreachable):
        scripted.api().call("POST", "/a", body={})
    scripted.answers = [status(503), (200, {}, {"ok": 1})]
    assert scripted.api().call("GET", "/a") == {"ok": 1}


def test_a_list_is_read_page_by_page(scripted: Scripted) -> None:
    scripted.answers = [
        (200, {}, {"items": [{"n": 1}, {"n": 2}], "metadata": {"continue": "more"}}),
        (200, {}, {"items": [{"n": 3}], "metadata": {}}),
    ]
    assert [each["n"] for each in pages(scripted.api(), "/jobs")] == [1, 2, 3]
    assert scripted.asked == ["GET /jobs?limit=500", "GET /jobs?limit=500&continue=more"]


def test_five_thousand_jobs_are_ten_calls_and_no_pod_is_asked_for(scripted: Scripted) -> None:
    labels = {"pcinfra.dev/run": "x"}
    for page in range(10):
        items = [{"metadata": {"name": f"train-{page}-{n}", "labels": labels}} for n in range(500)]
        scripted.answers.append((200, {}, {"items": items, "metadata": {"continue": str(page)} if page < 9 else {}}))
    scripted.answers.append(status(404))  # the training operator is not installed
    found = KubernetesLauncher(scripted.api()).runs(Query(50))
    assert len(found) == 50
    assert len(scripted.asked) == 11
    assert all("pods" not in call for call in scripted.asked)
    assert KINDS["PyTorchJob"].plural in scripted.asked[-1]


def test_nobody_at_the_address_is_told() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        with_token("http://127.0.0.1:1", "t", None, "a").call("GET", "/a")


@pytest.mark.parametrize("text", ["", "{", "a: b", "apiVersion: v1\nkind: Config\n"])
def test_a_kubeconfig_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(UsageError):
        connect(kubeconfig=str(file))


class Aws:
    """A shell in which ``aws eks get-token`` answers."""

    def __init__(self, answer: str, code: int = 0) -> None:
        self.answer, self.code = answer, code

    def which(self, program: str) -> str | None:
        return program

    def run(self, argv: Any, **rest: Any) -> Completed:
        assert argv[:3] == ["aws", "eks", "get-token"]
        return Completed(tuple(argv), self.code, self.answer, "expired")

    def begin(self, argv: Any, **rest: Any) -> None:
        raise AssertionError

    def stream(self, argv: Any, **rest: Any) -> Completed:
        raise AssertionError


def test_a_token_of_eks() -> None:
    from pcinfra.aws import Target

    target = Target("us-east-1")
    assert token("c", Aws('{"status": {"token": "k8s-aws-v1.x"}}'), target) == "k8s-aws-v1.x"
    for broken in (Aws("", 1), Aws("not json"), Aws("{}")):
        with pytest.raises(CredentialsError, match="no token"):
            token("c", broken, target)


def test_a_cluster_of_eks_is_reached_by_its_address_and_its_certificate(tmp_path: Path) -> None:
    import base64

    from pcinfra.aws import Target
    from pcinfra.jobs.kubernetes.eks import connect as to_eks

    certificate = (Path(__file__).parent / "authority.pem").read_bytes()

    class Cloud:
        def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
            assert (service, operation, parameters) == ("eks", "DescribeCluster", {"name": "c"})
            data = base64.b64encode(certificate).decode()
            return {"cluster": {"endpoint": "https://eks.example", "certificateAuthority": {"data": data}}}

    cloud: Any = Cloud()
    api = to_eks("c", cloud, Aws('{"status": {"token": "t"}}'), Target("us-east-1"), "team-a", tmp_path)
    assert (api.where, api.namespace) == ("https://eks.example", "team-a")
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == certificate
