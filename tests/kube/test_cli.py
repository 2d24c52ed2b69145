"""The command line against a real API server, with a kubeconfig: the same verbs as on Slurm."""

from __future__ import annotations

import re

from pcinfra.jobs.kubernetes.api import LiveApi
from pcinfra.jobs.kubernetes.kinds import KINDS
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
from pcinfra.jobs.launcher import Query
from tests.kube.command import JOB, Pcinfra
from tests.kube.server import Server, needed
from tests.waiting import until

pytestmark = needed

TRAINJOBS = KINDS["TrainJob"]


def test_submit_jobs_wait_logs_and_cancel(pcinfra: Pcinfra, api: LiveApi) -> None:
    dry = pcinfra("submit", "train.yaml", "--on", "k8s", "--dry-run")
    assert "kind: TrainJob" in dry.stdout
    assert "podTemplateOverrides" in dry.stdout  # what the installed version understands
    assert "no deadline" in dry.stderr
    assert KubernetesLauncher(api).runs(Query(5)) == []

    sent = pcinfra("submit", "train.yaml", "--on", "k8s")
    run = sent.stdout.strip()
    assert run.startswith("train-")
    assert f"pcinfra logs {run} --on k8s:{api.namespace} --follow" in sent.stderr
    assert run in pcinfra("jobs", "--on", "k8s").stdout
    assert "the operator has made no pods yet" in pcinfra("logs", run, "--on", "k8s").stderr

    condition = {"type": "Complete", "status": "True", "reason": "AllJobsCompleted", "message": "it ended",
                 "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip
    path = f"{TRAINJOBS.path(api.namespace, run)}"
    body = {"status": {"conditions": [condition]}}
    api.call("PATCH", f"{path}/status", body=body, kind="application/merge-patch+json")
    assert f"{run}: done" in pcinfra("wait", run, "--on", "k8s").stderr
    assert "done" in pcinfra("cancel", run, "--on", f"k8s:{api.namespace}").stderr  # left as it is


def test_wrong_input_is_told_and_nothing_is_sent(pcinfra: Pcinfra, api: LiveApi) -> None:
    (pcinfra.folder / "bad.yaml").write_text("command: [a]\nnodes: 2\n")
    bad = pcinfra("submit", "bad.yaml", "--on", "k8s", status=2)
    assert "bad.yaml:1:1: image: is missing" in bad.stderr
    assert "gpus: is missing" in bad.stderr
    assert "no such run" in pcinfra("logs", "nope", "--on", "k8s", status=1).stderr
    assert "no name of a namespace" in pcinfra("jobs", "--on", "k8s:A_b", status=2).stderr
    assert "kubectl create namespace nowhere" in pcinfra("jobs", "--on", "k8s:nowhere", status=1).stderr
    assert "has too many parts" in pcinfra("jobs", "--on", "k8s:a:b", status=2).stderr
    assert KubernetesLauncher(api).runs(Query(5)) == []


def test_a_context_is_said_with_the_place_and_kept_in_what_is_told(pcinfra: Pcinfra, api: LiveApi) -> None:
    sent = pcinfra("submit", "train.yaml", "--on", "k8s@test")
    run, place = sent.stdout.strip(), f"k8s:{api.namespace}@test"
    assert f"pcinfra logs {run} --on {place} --follow" in sent.stderr
    assert run in pcinfra("jobs", "--on", place).stdout
    assert f"pcinfra rerun {run} --on {place}" in pcinfra("requeue", run, "--on", place, status=1).stderr
    assert "there is no such context" in pcinfra("jobs", "--on", "k8s@nope", status=2).stderr


def test_job_files_of_two_namespaces_are_not_mixed_up(pcinfra: Pcinfra, api: LiveApi) -> None:
    for name in (api.namespace, "other"):
        (pcinfra.folder / f"{name}.yaml").write_text(f"{JOB}kubernetes: {{namespace: {name}}}\n")
    mixed = pcinfra("submit", f"{api.namespace}.yaml", "other.yaml", "--on", "k8s", status=2)
    assert f"is for the namespace other, and the job before it for {api.namespace}" in mixed.stderr
    assert KubernetesLauncher(api).runs(Query(5)) == []


def test_no_configuration_is_told(pcinfra: Pcinfra) -> None:
    pcinfra.env["KUBECONFIG"] = str(pcinfra.folder / "none")
    told = pcinfra("jobs", "--on", "k8s", status=2).stderr
    assert "aws eks update-kubeconfig" in told
    assert "Traceback" not in told


def test_rights_and_setup_are_shown(pcinfra: Pcinfra) -> None:
    assert "yes" in pcinfra("k8s", "can-i").stdout
    shown = pcinfra("k8s", "setup").stdout
    assert "Kubeflow Trainer" in shown
    assert "v2.1" in shown
    assert "pytorch-simple" in shown


def test_setup_grants_the_rights_after_a_yes_and_can_i_sees_them(
    pcinfra: Pcinfra, api: LiveApi, server: Server
) -> None:
    pcinfra.env["KUBECONFIG"] = str(server.kubeconfig(api.namespace, "usertok"))
    assert f"pcinfra k8s rbac --on k8s:{api.namespace}" in pcinfra("k8s", "can-i", status=1).stderr
    pcinfra.env["KUBECONFIG"] = str(server.kubeconfig(api.namespace))
    words = ("k8s", "setup", "--user", "alice", "--service-account", "trainer")
    assert "needs a yes" in pcinfra(*words, status=1).stderr
    for _ in range(2):  # what is there is brought to it
        assert "granted: user alice, account trainer" in pcinfra(*words, "--yes").stdout
    assert api.call("GET", f"/api/v1/namespaces/{api.namespace}/serviceaccounts/trainer")["kind"] == "ServiceAccount"
    pcinfra.env["KUBECONFIG"] = str(server.kubeconfig(api.namespace, "usertok"))
    until(lambda: "NO" not in pcinfra("k8s", "can-i", status=None).stdout)
    shown = pcinfra("k8s", "setup").stdout
    assert re.search(rf"rights in {api.namespace} +yes", shown)
    assert re.search("Kubeflow Trainer +yes .*its controller is not ours to see", shown)


def test_an_operator_is_applied_by_kubectl_from_a_pinned_version(pcinfra: Pcinfra) -> None:
    programs = pcinfra.folder / "bin"
    programs.mkdir()
    (programs / "kubectl").write_text('#!/bin/sh\necho "$@" >"$HOME/asked"\n')
    (programs / "kubectl").chmod(0o755)
    pcinfra.env["PATH"] = f"{programs}:{pcinfra.env['PATH']}"
    assert "needs a yes" in pcinfra("k8s", "setup", "--operator", "trainer", status=1).stderr
    pcinfra("k8s", "setup", "--operator", "training-operator", "--yes")
    asked = (pcinfra.folder / "asked").read_text()
    assert asked.startswith("apply --server-side -k https://github.com/kubeflow/training-operator.git/")
    assert asked.endswith("?ref=v1.8.1\n")


def test_finished_runs_and_orphans_are_swept(pcinfra: Pcinfra, api: LiveApi) -> None:
    run = pcinfra("submit", "train.yaml", "--on", "k8s").stdout.strip()
    assert "nothing to remove" in pcinfra("k8s", "sweep", "--older-than", "0d", "--yes").stdout
    body = {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "x", "message": "it ended",
                                       "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}  # fmt: skip
    path = f"{TRAINJOBS.path(api.namespace, run)}/status"
    api.call("PATCH", path, body=body, kind="application/merge-patch+json")
    assert run in pcinfra("k8s", "sweep", "--older-than", "0d", "--yes").stdout
    assert KubernetesLauncher(api).runs(Query(5)) == []
