"""Where a job stands, and why: as its pods and their troubles say, not as its last condition does."""

from __future__ import annotations

from typing import Any

import pytest

from pcinfra.jobs.kubernetes.kinds import KINDS
from pcinfra.jobs.kubernetes.phase import status_of
from pcinfra.jobs.launcher import State
from tests.unit.jobs.kubernetes.fakes import pod, trainjob

TRAINJOB, PYTORCHJOB = KINDS["TrainJob"], KINDS["PyTorchJob"]
NO_ROOM = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
UNSCHEDULED = {"type": "PodScheduled", "status": "False", "message": NO_ROOM}
RESUMED = {"type": "Suspended", "status": "False", "reason": "Resumed"}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def unscheduled(name: str) -> dict[str, Any]:
    found = pod(name, "Pending")
    found["status"]["conditions"] = [UNSCHEDULED]
    found["status"]["containerStatuses"] = []
    return found


ALIVE: list[tuple[str, list[dict[str, Any]], State, str]] = [
    ("no pods", [], State.WAITING, "the operator has made no pods yet"),
    ("no room", [unscheduled("a")], State.WAITING, f"no node for a: {NO_ROOM}"),
    ("creating", [pod("a", "Pending", **waiting("ContainerCreating"))], State.STARTING, ""),
    ("no image", [pod("a", "Pending", **waiting("ImagePullBackOff", "Back-off"))], State.STARTING,
     "a: its image cannot be pulled (Back-off)"),
    ("no files", [pod("a", "Pending", **waiting("CreateContainerConfigError"))], State.STARTING,
     "a: a ConfigMap or Secret that it names is missing"),
    ("crashing", [pod("a", "Running", **waiting("CrashLoopBackOff"))], State.STARTING,
     "a: it ended with an error and waits to be started again"),
    ("running", [pod("a"), pod("b")], State.RUNNING, ""),
    ("half", [pod("a"), pod("b", "Pending", **waiting("ContainerCreating"))], State.RUNNING,
     "1 of 2 pods are not running"),
    ("one failed", [pod("a", "Failed", terminated={"exitCode": 1})], State.RUNNING,
     "a pod has failed; the operator decides what follows"),
    ("all done", [pod("a", "Succeeded", terminated={"exitCode": 0})], State.ENDING, ""),
]  # fmt: skip


@pytest.mark.parametrize(("title", "pods", "state", "why"), ALIVE, ids=[a[0] for a in ALIVE])
def test_a_job_that_goes_on(title: str, pods: list[dict[str, Any]], state: State, why: str) -> None:
    status = status_of(TRAINJOB, trainjob(condition=RESUMED), pods)
    assert (status.state, status.why, status.exit_code) == (state, why, None)


def test_a_job_without_pods_tells_the_last_warning() -> None:
    events = [
        {"type": "Normal", "message": "fine", "lastTimestamp": "2026-01-01T00:00:09Z"},
        {"type": "Warning", "message": "old", "lastTimestamp": "2026-01-01T00:00:01Z"},
        {"type": "Warning", "message": "name is too long", "lastTimestamp": "2026-01-01T00:00:05Z"},
    ]
    assert status_of(TRAINJOB, trainjob(), [], events).why == "name is too long"


@pytest.mark.parametrize(
    ("condition", "state", "code"),
    [
        ({"type": "Complete"}, State.DONE, 0),
        ({"type": "Succeeded"}, State.DONE, 0),
        ({"type": "Failed", "reason": "JobsFailed", "message": "it broke"}, State.FAILED, 1),
        ({"type": "Failed", "reason": "DeadlineExceeded", "message": ""}, State.TIMEOUT, 124),
        ({"type": "Failed", "message": "Job was active longer than specified active deadline"}, State.TIMEOUT, 124),
    ],
)
def test_a_job_that_has_ended(condition: dict[str, Any], state: State, code: int) -> None:
    status = status_of(TRAINJOB, trainjob(condition=condition))
    assert (status.state, status.exit_code) == (state, code)


def test_the_exit_code_is_that_of_the_pod_that_failed_first() -> None:
    first = pod(
        "a", "Failed", terminated={"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:10:00Z"}
    )
    second = pod("b", "Failed", terminated={"exitCode": 1, "finishedAt": "2026-01-01T00:10:05Z"})
    failed = trainjob(condition={"type": "Failed", "reason": "x", "message": "x"})
    status = status_of(TRAINJOB, failed, [second, first])
    assert (status.exit_code, status.why) == (137, "a ran out of memory")
    assert status_of(TRAINJOB, failed, [second]).exit_code == 1


def test_a_program_that_is_not_in_the_image_is_told() -> None:
    words = 'exec: "python3": executable file not found in $PATH'
    end = {"exitCode": 128, "reason": "StartError", "message": words, "finishedAt": "2026-01-01T00:10:00Z"}
    failed = trainjob(condition={"type": "Failed", "reason": "x", "message": "x"})
    status = status_of(TRAINJOB, failed, [pod("a", "Failed", terminated=end)])
    assert (status.exit_code, status.why) == (128, f"a: its command cannot be started ({words})")


def test_a_job_that_was_evicted_and_one_that_waits_in_a_queue() -> None:
    gone = pod("a", "Failed")
    gone["status"] |= {"reason": "Evicted", "message": "low on disk", "containerStatuses": []}
    failed = trainjob(condition={"type": "Failed", "message": "x"})
    assert status_of(TRAINJOB, failed, [gone]).why == "a was evicted: low on disk"
    queued = trainjob(spec={"suspend": True})
    queued["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "team-a"}
    assert status_of(TRAINJOB, queued).why == "waits in the queue team-a"
    assert status_of(PYTORCHJOB, trainjob(spec={"runPolicy": {"suspend": True}})).why == "suspended"


def test_a_list_has_no_pods_and_goes_by_counts() -> None:
    running = trainjob(status={"jobsStatus": [{"name": "node", "ready": 1, "active": 1}]})
    assert status_of(TRAINJOB, running).state is State.RUNNING
    starting = trainjob(status={"jobsStatus": [{"name": "node", "active": 1}]})
    assert status_of(TRAINJOB, starting).state is State.STARTING
    counts = {"conditions": [{"type": "Running", "status": "True"}], "replicaStatuses": {"Worker": {"active": 3}}}
    torch = trainjob(spec={"pytorchReplicaSpecs": {"Worker": {"replicas": 3}}}, status=counts)
    status = status_of(PYTORCHJOB, torch)
    assert (status.state, status.wants) == (State.RUNNING, 3)


def test_what_is_deleted_is_ending_and_what_ran_has_an_attempt() -> None:
    gone = trainjob()
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert status_of(TRAINJOB, gone, [pod("a")]).state is State.ENDING
    status = status_of(TRAINJOB, trainjob(condition={"type": "Complete"}), [pod("a"), pod("b")])
    (attempt,) = status.attempts
    assert (attempt.nodes, attempt.count, attempt.gpus, attempt.seconds(0)) == ("host-a,host-b", 2, 8, 3600.0)
    assert status.nodes == "host-a,host-b"
