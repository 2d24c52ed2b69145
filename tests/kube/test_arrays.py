"""A sweep on a real API server: all of its tasks or none, one run for every verb, and gone with its last task."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pcinfra.errors import AccessDenied
from pcinfra.jobs.kubernetes import sweep
from pcinfra.jobs.kubernetes.api import LiveApi
from pcinfra.jobs.kubernetes.kinds import KINDS
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
from pcinfra.jobs.kubernetes.settings import Kind
from pcinfra.jobs.launcher import Query, State
from pcinfra.jobs.manifest import new_run_id
from tests.kube.command import Pcinfra
from tests.kube.server import needed
from tests.kube.test_launcher import config_maps, manifest
from tests.unit.jobs.kubernetes.jobs import PLAIN
from tests.waiting import until

pytestmark = needed

SWEEP = {**PLAIN, "command": [], "script": "train.sh", "sweep": {"A": ["1", "2"], "B": ["x", "y"]}}


def names(api: LiveApi, kind: Kind) -> list[str]:
    return sorted(each["metadata"]["name"] for each in api.call("GET", KINDS[kind].path(api.namespace))["items"])


def end(api: LiveApi, kind: Kind, name: str) -> None:
    condition = {"type": "Complete" if kind == "TrainJob" else "Succeeded", "status": "True", "reason": "Done",
                 "message": "it ended", "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip
    path, patch = f"{KINDS[kind].path(api.namespace, name)}/status", "application/merge-patch+json"
    more: dict[str, Any] = {} if kind == "TrainJob" else {"replicaStatuses": {}}
    api.call("PATCH", path, body={"status": {"conditions": [condition], **more}}, kind=patch)


@pytest.mark.parametrize("kind", ["TrainJob", "PyTorchJob"])
def test_a_sweep_is_one_run_of_many_jobs(api: LiveApi, kind: Kind) -> None:
    launcher = KubernetesLauncher(api)
    sent = manifest(api, SWEEP, kind)
    launcher.submit(sent)
    launcher.submit(sent)  # an answer that was lost is asked for again
    tasks = [f"{sent.run}-{number}" for number in range(4)]
    assert names(api, kind) == tasks
    (config,) = config_maps(api)
    assert [each["name"] for each in config["metadata"]["ownerReferences"]] == tasks
    assert [status.run for status in launcher.runs(Query())] == [sent.run]

    end(api, kind, tasks[0])
    assert launcher.cancel(tasks[1]).state is State.CANCELLED
    status = launcher.look(sent.run[:-3]).status
    assert status.why.startswith("of 4 tasks 2 waiting, 1 done, 1 not there")
    cancelled = launcher.cancel(sent.run)
    assert (cancelled.state, cancelled.why) == (State.CANCELLED, "2 tasks deleted, with their pods; 1 had ended")
    assert names(api, kind) == tasks[:1]
    assert config_maps(api) != []  # the task that has ended is still there, and its files with it
    litter = sweep.find(launcher, timedelta(days=1), datetime.now(UTC))
    assert [found.run for found, _ in litter.runs] == [sent.run]
    sweep.remove(launcher, litter)
    until(lambda: config_maps(api) == [])


def test_a_sweep_that_is_refused_in_the_middle_leaves_nothing(api: LiveApi) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/trainjobs.trainer.kubeflow.org": "2"}}}
    path = f"/api/v1/namespaces/{api.namespace}/resourcequotas"
    api.call("POST", path, body=quota)
    until(lambda: bool((api.call("GET", f"{path}/few").get("status") or {}).get("hard")))
    with pytest.raises(AccessDenied, match="exceeded quota: few"):
        KubernetesLauncher(api).submit(manifest(api, SWEEP))
    assert (names(api, "TrainJob"), config_maps(api)) == ([], [])


def test_a_sweep_is_submitted_again_whole(api: LiveApi) -> None:
    launcher = KubernetesLauncher(api)
    sent = manifest(api, SWEEP)
    launcher.submit(sent)
    new = new_run_id(sent.run[:-17])
    launcher.rerun(sent.run, new)
    assert names(api, "TrainJob") == sorted(f"{run}-{number}" for run in (sent.run, new) for number in range(4))
    env = api.call("GET", KINDS["TrainJob"].path(api.namespace, f"{new}-3"))["spec"]["trainer"]["env"]
    values = {each["name"]: each["value"] for each in env}
    assert (values["PCINFRA_RUN"], values["A"], values["B"]) == (new, "2", "y")


def ran(api: LiveApi, run: str, task: int, gpus: int) -> None:
    """Make the pod that an operator and a kubelet would have made for a task, an hour before its end."""
    labels = {"pcinfra.dev/run": run, "pcinfra.dev/task": str(task), "jobset.sigs.k8s.io/jobset-name": f"{run}-{task}"}
    needs = {"nvidia.com/gpu": str(gpus)}
    container = {"name": "node", "image": "i", "resources": {"limits": needs, "requests": needs}}
    name, path = f"{run}-{task}-node-0-0-abcde", f"/api/v1/namespaces/{api.namespace}/pods"
    api.call("POST", path, body={"metadata": {"name": name, "labels": labels}, "spec": {"containers": [container]}})
    status = {"phase": "Succeeded", "startTime": "2025-12-31T23:00:00Z"}
    api.call("PATCH", f"{path}/{name}/status", body={"status": status}, kind="application/merge-patch+json")


def test_the_commands_speak_of_one_run(pcinfra: Pcinfra, api: LiveApi) -> None:
    text = "image: python:3.12\ncommand: [python3]\ncpus: 1\nsweep: {A: ['1', '2']}\n"
    (pcinfra.folder / "sweep.yaml").write_text(text)
    run = pcinfra("submit", "sweep.yaml", "--on", "k8s").stdout.strip()
    listed = pcinfra("jobs", "--on", "k8s").stdout
    assert (listed.count(run), f"{run}-0" in listed) == (1, False)
    for number in range(2):
        ran(api, run, number, 4)
        end(api, "TrainJob", f"{run}-{number}")
    assert f"{run}: done: of 2 tasks 2 done" in pcinfra("wait", run, "--on", "k8s").stderr
    told = json.loads(pcinfra("report", run, "--on", "k8s", "--output", "json").stdout)
    assert (told["gpu_hours"], told["tasks"]) == (8.0, {"begun": 2, "node_hours": 2.0})
    assert re.search(r"GPU-hours: +8.00", pcinfra("report", run, "--on", "k8s").stdout)
    swept = pcinfra("k8s", "sweep", "--older-than", "1d", "--yes")
    assert f"{run}  done, 2 tasks" in swept.stdout
