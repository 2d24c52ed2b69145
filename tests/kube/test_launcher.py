"""Runs on a real API server: submitted, seen, cancelled, and gone with all that was theirs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pcinfra.errors import AccessDenied, CloudError, Conflict, NotFound, Refused, Unreachable, UsageError
from pcinfra.jobs.kubernetes import prepare, rbac
from pcinfra.jobs.kubernetes.api import LiveApi, pages, with_token
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
from pcinfra.jobs.kubernetes.reading import OURS
from pcinfra.jobs.kubernetes.settings import Kind
from pcinfra.jobs.launcher import Query, State
from pcinfra.jobs.load import Job as Loaded
from pcinfra.jobs.manifest import Manifest, new_run_id
from tests.kube.agreement import within
from tests.kube.server import Server, needed
from tests.unit.jobs.kubernetes.jobs import ACCELERATE, DEEPSPEED, ELASTIC, FETCHING, PLAIN, TENSORFLOW, spec
from tests.waiting import until

pytestmark = needed

SCRIPT = {**PLAIN, "command": [], "script": "train.sh"}


SENT: list[tuple[dict[str, Any], Kind]] = [(TENSORFLOW, "TrainJob"), (ELASTIC, "PyTorchJob"), (PLAIN, "PyTorchJob")]
for each in (FETCHING, ACCELERATE, DEEPSPEED):
    SENT += [(each, "TrainJob"), (each, "PyTorchJob")]


def manifest(api: LiveApi, fields: dict[str, Any] = SCRIPT, kind: Kind = "TrainJob", **changes: Any) -> Manifest:
    launcher = KubernetesLauncher(api)
    job = prepare.prepare(Loaded(spec(fields, **changes), b"#!/bin/sh\n"), kind, namespace=api.namespace)
    dialect = launcher.reading.schemas.dialect
    assert dialect is not None
    return prepare.render(job, kind, dialect).manifest(job.run)


def config_maps(api: LiveApi) -> list[dict[str, Any]]:
    return list(pages(api, f"/api/v1/namespaces/{api.namespace}/configmaps", OURS))


@pytest.mark.parametrize("kind", ["TrainJob", "PyTorchJob"])
def test_a_run_is_submitted_seen_and_cancelled_with_its_files(api: LiveApi, kind: Kind) -> None:
    launcher = KubernetesLauncher(api)
    run = manifest(api, kind=kind)
    uid = launcher.submit(run)
    look = launcher.look(run.run)
    assert (look.status.state, look.status.job) == (State.WAITING, uid)
    assert look.status.why == "the operator has made no pods yet"
    assert [status.run for status in launcher.runs(Query(5))] == [run.run]
    (files,) = config_maps(api)
    assert files["metadata"]["ownerReferences"][0]["uid"] == uid
    assert files["immutable"] is True
    assert launcher.look(run.run[:10]).status.run == run.run == launcher.look(uid).status.run
    assert launcher.cancel(run.run).state is State.CANCELLED
    assert launcher.look(run.run).status.state is State.CANCELLED
    assert launcher.runs(Query(5)) == []
    until(lambda: config_maps(api) == [])  # the real garbage collector
    with pytest.raises(NotFound, match="there is no such run"):
        KubernetesLauncher(api).look(run.run)


def test_submitting_twice_makes_one_job(api: LiveApi) -> None:
    launcher = KubernetesLauncher(api)
    run = manifest(api)
    assert launcher.submit(run) == launcher.submit(run)
    assert len(launcher.runs(Query(5))) == len(config_maps(api)) == 1


def test_the_same_job_file_twice_in_one_second_is_two_runs(api: LiveApi) -> None:
    launcher = KubernetesLauncher(api)
    first, second = manifest(api), manifest(api)
    assert launcher.submit(first) != launcher.submit(second)
    assert len(config_maps(api)) == 2


def test_a_name_that_somebody_else_has_is_a_conflict_and_leaves_no_files(api: LiveApi) -> None:
    launcher = KubernetesLauncher(api)
    run = manifest(api)
    job = json.loads(run.files[0].content)
    job["metadata"]["labels"] = {}
    api.call("POST", f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{api.namespace}/trainjobs", body=job)
    with pytest.raises(Conflict, match="something else has this name"):
        launcher.submit(run)
    assert config_maps(api) == []


@pytest.mark.parametrize(("fields", "kind"), SENT)
def test_the_server_stores_what_was_sent(api: LiveApi, fields: dict[str, Any], kind: Kind) -> None:
    run = manifest(api, fields, kind)
    KubernetesLauncher(api).submit(run)
    sent = json.loads(run.files[0].content)
    group = "trainer.kubeflow.org/v1alpha1" if kind == "TrainJob" else "kubeflow.org/v1"
    path = f"/apis/{group}/namespaces/{api.namespace}/{kind.lower()}s/{run.run}"
    assert within(sent["spec"], api.call("GET", path)["spec"])


def test_a_missing_runtime_claim_or_operator_is_said_before_anything_is_sent(api: LiveApi) -> None:
    launcher = KubernetesLauncher(api)
    with pytest.raises(NotFound, match="no such training runtime"):
        launcher.submit(manifest(api, kubernetes={"runtime": "nope"}))
    with pytest.raises(NotFound, match="no such PersistentVolumeClaim"):
        launcher.submit(manifest(api, kubernetes={"volumes": [{"path": "/data", "claim": "nope"}]}))
    assert config_maps(api) == []
    assert launcher.runs(Query(5)) == []


def test_a_quota_refuses_with_its_own_words_and_leaves_nothing(api: LiveApi) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/trainjobs.trainer.kubeflow.org": "0"}}}
    path = f"/api/v1/namespaces/{api.namespace}/resourcequotas"
    api.call("POST", path, body=quota)
    until(lambda: bool((api.call("GET", f"{path}/few").get("status") or {}).get("hard")))
    with pytest.raises(AccessDenied, match="exceeded quota: few") as caught:
        KubernetesLauncher(api).submit(manifest(api))
    assert caught.value.hint == "kubectl describe resourcequota"
    assert config_maps(api) == []


def test_the_minimal_role_is_enough_and_no_more(server: Server, api: LiveApi) -> None:
    alice = server.api(api.namespace, "usertok")
    run = manifest(api)
    with pytest.raises(AccessDenied) as caught:
        KubernetesLauncher(alice).submit(run)
    assert "pcinfra k8s can-i" in caught.value.hint
    subjects = [{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}]
    for each in rbac.manifests(api.namespace, subjects):
        place = f"namespaces/{api.namespace}/" if "namespace" in each["metadata"] else ""
        path = f"/apis/rbac.authorization.k8s.io/v1/{place}{each['kind'].lower()}s"
        try:
            api.call("POST", path, body=each)
        except Conflict:
            assert each["kind"] == "ClusterRole"
    launcher = KubernetesLauncher(alice)
    until(lambda: _may(launcher, run))
    assert launcher.look(run.run, {}).status.state is State.WAITING
    assert launcher.orphans() == []
    assert launcher.cancel(run.run).state is State.CANCELLED
    for path in ("/api/v1/namespaces/kube-system/configmaps", f"/api/v1/namespaces/{api.namespace}/secrets"):
        with pytest.raises(AccessDenied):
            alice.call("GET", path)
    with pytest.raises(AccessDenied):
        alice.call("POST", f"/api/v1/namespaces/{api.namespace}/pods", body={"metadata": {"name": "a"}})


def _may(launcher: KubernetesLauncher, run: Manifest) -> bool:
    try:
        launcher.submit(run)
    except AccessDenied:
        return False  # the server's authorizer hears of a new role a moment later
    return True


def test_orphans_of_a_killed_submission_are_found(api: LiveApi) -> None:
    launcher = KubernetesLauncher(api)
    run = manifest(api)
    api.call("POST", f"/api/v1/namespaces/{api.namespace}/configmaps", body=json.loads(run.files[1].content))
    (orphan,) = launcher.orphans()
    launcher.remove_files(orphan)
    assert launcher.orphans() == []


def test_the_servers_own_refusals_come_through(api: LiveApi) -> None:
    path = f"/api/v1/namespaces/{api.namespace}/configmaps"
    large = {"metadata": {"name": "large"}, "data": {"a": "x" * 1_048_577}}
    with pytest.raises(CloudError) as caught:
        api.call("POST", path, body=large)
    assert (caught.value.code, "Too long" in caught.value.why) == ("Invalid", True)
    with pytest.raises(CloudError) as caught:
        api.call("POST", path, body={"metadata": {"name": "larger"}, "data": {"a": "x" * 4_000_000}})
    assert "limit" in caught.value.why
    with pytest.raises(NotFound):
        replace_namespace(api, "nowhere").call("GET", "/api/v1/namespaces/nowhere/pods/a")


def replace_namespace(api: LiveApi, namespace: str) -> LiveApi:
    api.namespace = namespace
    return api


def test_a_job_that_etcd_does_not_keep_is_refused_and_leaves_nothing(api: LiveApi) -> None:
    large = {f"A{number}": "x" * 120_000 for number in range(8)}  # twice: for Master and Worker
    with pytest.raises(UsageError, match=r"has 1,9\d\d,\d\d\d bytes; etcd keeps"):
        KubernetesLauncher(api).submit(manifest(api, kind="PyTorchJob", nodes=2, environment=large))
    assert config_maps(api) == []
    with pytest.raises(Unreachable, match="request is too large") as caught:
        api.call("POST", f"/api/v1/namespaces/{api.namespace}/pods", body={
            "metadata": {"name": "large"},
            "spec": {"containers": [{"name": "a", "image": "i", "command": ["x" * 1_700_000]}]}})  # fmt: skip
    assert caught.value.code == "InternalError"


def test_wrong_names_of_runs_are_refused(api: LiveApi) -> None:
    launcher = KubernetesLauncher(api)
    for name in ("a b", "../x", "", "$(id)", "A"):
        with pytest.raises(UsageError, match="is not the name of a run"):
            launcher.look(name)


def test_nobody_there_is_said(server: Server) -> None:
    nobody = with_token("https://127.0.0.1:1", "x", server.authority, "default")
    with pytest.raises(Unreachable, match="does not answer"):
        KubernetesLauncher(nobody).runs(Query(5))


def test_a_manifest_that_breaks_a_rule_is_not_sent(api: LiveApi) -> None:
    run = manifest(api)
    job = json.loads(run.files[0].content)
    job["spec"]["trainer"]["numNodes"] = -1  # the server takes it
    broken = replace(run, files=(replace(run.files[0], content=json.dumps(job).encode()), *run.files[1:]))
    with pytest.raises(UsageError, match="must be at least 1"):
        KubernetesLauncher(api).submit(broken)
    assert KubernetesLauncher(api).runs(Query(5)) == []


def test_a_run_is_submitted_again_with_all_that_is_its_own(api: LiveApi) -> None:
    launcher = KubernetesLauncher(api)
    old = manifest(api, SCRIPT, kubernetes={"shared_memory": 1})
    launcher.submit(old)
    new = new_run_id(old.run[:-17])
    uid = launcher.rerun(old.run, new)
    history = launcher.history(new)
    assert (history.status.run, history.status.job) == (new, uid)
    assert history.spec["script"] == "train.sh"
    maps = {each["metadata"]["name"]: each for each in config_maps(api)}
    assert set(maps) == {f"{old.run}-files", f"{new}-files"}
    assert maps[f"{new}-files"]["data"] == maps[f"{old.run}-files"]["data"]
    assert maps[f"{new}-files"]["metadata"]["ownerReferences"][0]["uid"] == uid
    job = api.call("GET", f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{api.namespace}/trainjobs/{new}")
    assert old.run not in json.dumps(job["spec"])


def test_what_kubernetes_does_not_have_is_refused(api: LiveApi) -> None:
    launcher = KubernetesLauncher(api)
    run = manifest(api)
    launcher.submit(run)
    with pytest.raises(Refused, match="has one attempt"):
        launcher.requeue(run.run)
    with pytest.raises(Refused, match="does not run"):
        launcher.shell(run.run)


def test_runs_are_listed_by_name_and_state(api: LiveApi) -> None:
    launcher = KubernetesLauncher(api)
    first, second = manifest(api, name="first"), manifest(api, name="second", kind="PyTorchJob")
    for run in (first, second):
        launcher.submit(run)
    assert {status.run for status in launcher.runs(Query())} == {first.run, second.run}
    assert [status.run for status in launcher.runs(Query(name="sec"))] == [second.run]
    assert launcher.runs(Query(states=frozenset({State.DONE}))) == []
    assert len(launcher.runs(Query(1))) == 1
