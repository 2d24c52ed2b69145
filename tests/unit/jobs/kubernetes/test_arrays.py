"""A run of many tasks stands in one place: it runs while one task runs, and has failed when one has."""

from __future__ import annotations

from typing import Any

import pytest

from pcinfra.errors import NotFound, Refused, UsageError
from pcinfra.jobs.kubernetes import arrays
from pcinfra.jobs.kubernetes.kinds import KINDS
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
from pcinfra.jobs.launcher import Query, State
from pcinfra.jobs.report import report
from tests.unit.jobs.kubernetes.fakes import FakeApi, pod, trainjob

JOBS = KINDS["TrainJob"].path("team-a")
COMPLETE = {"type": "Complete"}
FAILED = {"type": "Failed", "message": "it failed"}


def task(number: int, tasks: int = 3, condition: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    job = trainjob(f"train-1-{number}", condition)
    job["metadata"]["labels"] = {
        "pcinfra.dev/run": "train-1", "pcinfra.dev/task": str(number), "pcinfra.dev/tasks": str(tasks),
    }  # fmt: skip
    job["metadata"]["uid"] = f"0000000{number}-0000-0000-0000-000000000000"
    job["status"] |= status
    return job


def of_task(number: int, node: int = 0, **state: Any) -> dict[str, Any]:
    found = pod(f"train-1-{number}-node-0-{node}-abcde", **state)
    found["metadata"]["labels"] = {
        "pcinfra.dev/run": "train-1", "pcinfra.dev/task": str(number),
        "jobset.sigs.k8s.io/jobset-name": f"train-1-{number}",
    }  # fmt: skip
    return found


class Api(FakeApi):
    """Lists whatever is asked for; jobs by name."""

    def __init__(self, jobs: list[dict[str, Any]], pods: list[dict[str, Any]] | None = None) -> None:
        super().__init__()
        self.objects[JOBS] = {"items": jobs}
        self.objects["/api/v1/namespaces/team-a/pods"] = {"items": pods or []}
        self.objects["/api/v1/namespaces/team-a/events"] = {"items": []}
        self.objects |= {f"{JOBS}/{job['metadata']['name']}": job for job in jobs}


RUNNING: dict[str, Any] = {"jobsStatus": [{"name": "node", "ready": 1, "active": 2}]}
STATES: list[tuple[str, list[dict[str, Any]], State, int | None, str]] = [
    ("one runs", [task(0, condition=COMPLETE), task(1, **RUNNING), task(2)], State.RUNNING, None,
     "of 3 tasks 1 running, 1 waiting, 1 done"),
    ("one waits", [task(0, condition=FAILED), task(1, condition=COMPLETE), task(2)], State.WAITING, None,
     "of 3 tasks 1 waiting, 1 failed, 1 done; the operator has made no pods yet"),
    ("one failed", [task(0, condition=COMPLETE), task(1, condition=FAILED), task(2, condition=COMPLETE)], State.FAILED,
     1, "of 3 tasks 1 failed, 2 done; it failed"),
    ("all done", [task(n, condition=COMPLETE) for n in range(3)], State.DONE, 0, "of 3 tasks 3 done"),
    ("one deleted", [task(0, condition=COMPLETE), task(2, condition=COMPLETE)], State.CANCELLED, 143,
     "of 3 tasks 2 done, 1 not there"),
    ("one deleted, one failed", [task(0, condition=FAILED), task(2, condition=COMPLETE)], State.FAILED, 1,
     "of 3 tasks 1 failed, 1 done, 1 not there; it failed"),
    ("one deleted, one runs", [task(0, **RUNNING), task(1, condition=COMPLETE)], State.RUNNING, None,
     "of 3 tasks 1 running, 1 done, 1 not there"),
]  # fmt: skip


@pytest.mark.parametrize(("title", "jobs", "state", "code", "why"), STATES, ids=[each[0] for each in STATES])
def test_where_many_tasks_stand(
    title: str, jobs: list[dict[str, Any]], state: State, code: int | None, why: str
) -> None:
    launcher = KubernetesLauncher(Api(jobs))
    (listed,) = launcher.runs(Query())
    assert (listed.run, listed.state, listed.exit_code, listed.why) == ("train-1", state, code, why)
    for name in ("train-1", "train", "00000000-0000-0000-0000-000000000000"):
        assert launcher.look(name).status.run == "train-1"
    assert launcher.history("train-1").status.state is state


def test_the_logs_are_those_of_all_pods_in_the_order_of_their_tasks() -> None:
    jobs = [task(number, 11) for number in range(11)]
    pods = [of_task(number, node) for number in (10, 2, 0) for node in (1, 0)]
    api = Api(jobs, pods)
    for each in pods:
        api.logs[(each["metadata"]["name"], False)] = [("2026-01-01T00:00:01Z", each["metadata"]["name"])]
    launcher = KubernetesLauncher(api)
    look = launcher.look("train-1", {})
    order = [f"train-1-{number}-node-0-{node}-abcde" for number in (0, 2, 10) for node in (0, 1)]
    assert [chunk.node for chunk in look.chunks] == order
    tasks = look.status.tasks
    assert tasks is not None
    assert (tasks.begun, tasks.nodes, tasks.gpus) == (3, 6, 48)
    assert look.status.nodes.count("host-") == 6


def test_a_report_counts_the_gpu_hours_of_every_task() -> None:
    """Two tasks had two nodes of eight GPUs for an hour; the third's pods are gone."""
    jobs = [task(number, condition=COMPLETE) for number in range(3)]
    pods = [of_task(number, node, phase="Succeeded") for number in range(2) for node in range(2)]
    found = report(KubernetesLauncher(Api(jobs, pods)).history("train-1"), 0.0)
    assert found.gpu_hours == pytest.approx(2 * 2 * 8)


def test_one_task_has_a_name_of_its_own() -> None:
    launcher = KubernetesLauncher(Api([task(0), task(1, condition=COMPLETE), task(2)]))
    status = launcher.look("train-1-1").status
    assert (status.run, status.state, status.tasks) == ("train-1-1", State.DONE, None)
    with pytest.raises(Refused, match="is one task of an array") as caught:
        launcher.rerun("train-1-1", "new-1")
    assert caught.value.hint == "pcinfra rerun train-1"


def test_an_array_that_is_not_whole_is_not_submitted_again() -> None:
    with pytest.raises(NotFound, match="only 2 of its 3 tasks are still there"):
        KubernetesLauncher(Api([task(0), task(2)])).rerun("train-1", "new-1")


def test_two_runs_whose_names_begin_alike_are_not_one() -> None:
    other = trainjob("train-2")
    other["metadata"]["labels"] = {"pcinfra.dev/run": "train-2"}
    launcher = KubernetesLauncher(Api([task(0), other, task(1), task(2)]))
    assert {status.run for status in launcher.runs(Query())} == {"train-1", "train-2"}
    with pytest.raises(UsageError, match="means several runs: train-1 train-2"):
        launcher.look("train")


def test_labels_that_somebody_else_wrote_break_nothing() -> None:
    strange = task(0)
    strange["metadata"]["labels"] |= {"pcinfra.dev/task": "x", "pcinfra.dev/tasks": "-1"}
    (status,) = KubernetesLauncher(Api([strange])).runs(Query())
    assert (status.run, status.tasks) == ("train-1-0", None)
    assert arrays.DELETED == 143
