"""What is broken between a user and the API server is told in one error; a submission that it ends leaves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pcinfra.errors import AccessDenied, Conflict, CredentialsError, NotFound, PcinfraError, Unreachable, UsageError
from pcinfra.jobs.kubernetes.api import LiveApi, connect
from pcinfra.jobs.kubernetes.kinds import KINDS
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
from pcinfra.jobs.launcher import Query
from pcinfra.jobs.manifest import Manifest
from tests.kube.proxy import Fault, between
from tests.kube.server import Server, needed
from tests.kube.test_launcher import SCRIPT, config_maps, manifest

pytestmark = needed

JOBS = KINDS["TrainJob"]
SWEEP = {**SCRIPT, "sweep": {"A": ["1", "2", "3"]}}
PAGE = "<!doctype html><html><head><title>x</title></head><body><h1>Bad gateway</h1></body></html>"


def jobs(api: LiveApi) -> list[str]:
    return [each["metadata"]["name"] for each in api.call("GET", JOBS.path(api.namespace))["items"]]


def submitted(server: Server, api: LiveApi, sent: Manifest, *faults: Fault) -> str:
    with between(server, api.namespace, *faults) as broken:
        return KubernetesLauncher(broken).submit(sent)


# What the server answers, and the error of ours. Each ends the request: it is not carried out later.
ENDS: list[tuple[int, str, str, type[PcinfraError]]] = [
    (403, "Forbidden", "you may not", AccessDenied),
    (404, "NotFound", "no such thing", NotFound),
    (409, "AlreadyExists", "it is there", PcinfraError),
    (409, "Conflict", "try again", Conflict),
    (422, "Invalid", "it is wrong", PcinfraError),
    (429, "TooManyRequests", "slow down", Unreachable),
    (429, "", "Too many requests, please try again later.", Unreachable),
    (500, "InternalError", "failed calling webhook: connection refused", Unreachable),
    (503, "ServiceUnavailable", "not now", Unreachable),
]
POINTS = [("POST", "configmaps"), ("POST", JOBS.plural), ("PATCH", "configmaps")]


@pytest.mark.parametrize(("method", "path"), POINTS)
@pytest.mark.parametrize(("status", "reason", "text", "kind"), ENDS, ids=[f"{e[0]}-{e[1]}" for e in ENDS])
def test_a_submission_that_the_server_ends_leaves_nothing(
    server: Server, api: LiveApi, method: str, path: str, status: int, reason: str, text: str, kind: type[PcinfraError]
) -> None:
    fault = Fault(method, path, status, reason, text)
    if (status, reason, path) == (409, "AlreadyExists", "configmaps") and method == "POST":
        return  # the name has the run's id in it: it is our own, sent before
    with pytest.raises(kind) as caught:
        submitted(server, api, manifest(api), fault)
    assert text in str(caught.value) or isinstance(caught.value, (NotFound, Conflict))
    assert caught.value.exit_code in (1, 2)
    assert (jobs(api), config_maps(api)) == ([], [])


@pytest.mark.parametrize(("status", "reason"), [(429, "TooManyRequests"), (500, "InternalError"), (403, "Forbidden")])
def test_of_many_tasks_all_or_none_are_there(server: Server, api: LiveApi, status: int, reason: str) -> None:
    third = Fault("POST", JOBS.plural, status, reason, "no more", after=2)
    with pytest.raises(PcinfraError, match="no more"):
        submitted(server, api, manifest(api, SWEEP), third)
    assert (jobs(api), config_maps(api)) == ([], [])


@pytest.mark.parametrize(("method", "path"), POINTS)
@pytest.mark.parametrize("fault", [{}, {"status": 502, "text": PAGE}, {"status": 504, "reason": "Timeout"}], ids=str)
@pytest.mark.parametrize("arrives", [True, False])
def test_an_answer_that_was_lost_makes_one_run(
    server: Server, api: LiveApi, method: str, path: str, fault: dict[str, Any], arrives: bool
) -> None:
    sent = manifest(api)
    uid = submitted(server, api, sent, Fault(method, path, **fault, arrives=arrives, times=1))
    assert jobs(api) == [sent.run]
    (files,) = config_maps(api)
    assert files["metadata"]["ownerReferences"][0]["uid"] == uid


@pytest.mark.parametrize("fault", [{}, {"status": 502, "text": PAGE}, {"status": 504, "reason": "Timeout"}], ids=str)
def test_what_nobody_knows_is_said_and_what_is_left_is_found(
    server: Server, api: LiveApi, fault: dict[str, Any]
) -> None:
    sent = manifest(api)
    with pytest.raises(Unreachable, match="it may have been submitted") as caught:
        submitted(server, api, sent, Fault("POST", JOBS.plural, **fault))
    assert caught.value.where == sent.run
    assert "pcinfra jobs" in caught.value.hint
    assert "<" not in caught.value.why
    assert [each["metadata"]["name"] for each in KubernetesLauncher(api).orphans()] == [f"{sent.run}-files"]


def test_a_trainjob_without_jobset_is_refused_before_it_is_sent(server: Server, api: LiveApi) -> None:
    gone = Fault("GET", "jobsets.jobset.x-k8s.io", 404, "NotFound", "not found")
    sent, alone = manifest(api), manifest(api, kind="PyTorchJob")
    with between(server, api.namespace, gone) as broken:
        with pytest.raises(NotFound, match="no pod of it would ever be made") as caught:
            KubernetesLauncher(broken).submit(sent)
        assert caught.value.hint.startswith("pcinfra k8s setup --operator trainer")
        assert (jobs(api), config_maps(api)) == ([], [])
        KubernetesLauncher(broken).submit(alone)  # the training operator makes its pods itself


@pytest.mark.parametrize(
    ("status", "text", "why"),
    [(200, PAGE, "answers as no API server does: a page: Bad gateway"), (200, "[]", "answers as no API server does"),
     (302, "", "sends elsewhere"), (502, PAGE, "a page: Bad gateway"), (200, '{"kind": ', "answers as no API server")],
)  # fmt: skip
def test_what_is_no_api_server_is_told(server: Server, api: LiveApi, status: int, text: str, why: str) -> None:
    page = Fault("GET", "/", status, text=text)
    with between(server, api.namespace, page) as broken, pytest.raises(PcinfraError, match=why):
        broken.call("GET", JOBS.path(api.namespace))


# A change of a kubeconfig that works (path, and what is there instead; None: nothing), the error, and what it says.
Change = tuple[tuple[str | int, ...], Any]
CLUSTER: tuple[str | int, ...] = ("clusters", 0, "cluster")
USER: tuple[str | int, ...] = ("users", 0, "user")


def by(program: str, *arguments: str) -> Change:
    fields = {"apiVersion": "client.authentication.k8s.io/v1", "command": program, "args": list(arguments)}
    return USER, {"exec": {**fields, "interactiveMode": "Never"}}


BROKEN: list[tuple[Change, type[PcinfraError], str]] = [
    (((*CLUSTER, "server"), None), UsageError, "names no server"),
    (((*CLUSTER, "server"), "ht!tp:// /x"), UsageError, "names no address of a server"),
    (((*CLUSTER, "server"), "https://127.0.0.1:1"), Unreachable, "Connection refused"),
    (((*CLUSTER, "server"), "https://nowhere.invalid"), Unreachable, "Failed to resolve 'nowhere.invalid'"),
    (((*CLUSTER, "certificate-authority"), None), Unreachable, "no trusted connection: certificate verify failed"),
    (((*CLUSTER, "certificate-authority"), "/nowhere"), UsageError, "File does not exist"),
    (((*CLUSTER, "certificate-authority-data"), "bm8="), Unreachable, "no trusted connection"),
    (((*USER, "token"), "wrong"), CredentialsError, "the server does not know who this is: Unauthorized"),
    (((*USER, "token"), None), CredentialsError, "neither a token nor a certificate"),
    (by("false"), CredentialsError, "exec: process returned 1"),
    (by("no-such-program"), CredentialsError, "No such file or directory: 'no-such-program'"),
    (by("echo", "hi"), CredentialsError, "failed to decode process output"),
    ((("current-context",), "nope"), UsageError, "nope"),
    ((("clusters",), 3), UsageError, ""),
    ((("contexts", 0, "context"), "x"), UsageError, ""),
    ((("users",), None), CredentialsError, "neither a token nor a certificate"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "kind", "why"), BROKEN, ids=[f"{c[0][0][-1]}-{c[2][:20]}" for c in BROKEN])
def test_a_broken_kubeconfig_is_told(
    server: Server, api: LiveApi, tmp_path: Path, change: Change, kind: type[PcinfraError], why: str
) -> None:
    content = yaml.safe_load(server.kubeconfig(api.namespace).read_text())
    (*way, last), value = change
    inner = content
    for step in way:
        inner = inner[step]
    inner[last] = value
    if value is None:
        del inner[last]
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(kind) as caught:
        connect(kubeconfig=str(file)).call("GET", "/version")
    assert why in str(caught.value)
    assert caught.value.hint


def test_another_context_is_another_namespace_and_one_that_is_not_there_is_told(server: Server, api: LiveApi) -> None:
    file = str(server.kubeconfig(api.namespace))
    assert (connect("", "test", file).namespace, connect("other", "test", file).namespace) == (api.namespace, "other")
    with pytest.raises(UsageError, match="there is no such context") as caught:
        connect("", "nope", file)
    assert caught.value.hint == "test"


def test_inside_a_pod_the_account_of_the_pod_is_taken(
    server: Server, api: LiveApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    for name, text in (("token", "admintok"), ("ca.crt", server.authority.read_text()), ("namespace", api.namespace)):
        (tmp_path / name).write_text(text)
    inside = connect(account=tmp_path)
    assert (inside.namespace, inside.where) == (api.namespace, server.host)
    assert KubernetesLauncher(inside).runs(Query()) == []
    (tmp_path / "token").write_text("wrong")
    with pytest.raises(CredentialsError, match="does not know who this is"):
        connect(account=tmp_path).call("GET", "/api")
