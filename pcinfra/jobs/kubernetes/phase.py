"""Where a job stands, and why, from its conditions, its counts, its pods and their events. Pure.

A TrainJob has neither Running nor Pending among its conditions, and one that was resumed shows "Suspended" for ever
(kubeflow/trainer issue 2713); what its pods say is truer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pcinfra.jobs.kubernetes.kinds import JobKind
from pcinfra.jobs.launcher import Attempt, State, Status

Object = Mapping[str, Any]

# Reasons of a container that waits (kubelet, ``pkg/kubelet/images/types.go`` and ``container/sync_result.go``).
_STUCK = {
    "ImagePullBackOff": "its image cannot be pulled",
    "ErrImagePull": "its image cannot be pulled",
    "InvalidImageName": "its image has no valid name",
    "CreateContainerConfigError": "a ConfigMap or Secret that it names is missing",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its command cannot be started",
    "CrashLoopBackOff": "it ended with an error and waits to be started again",
}
_NOT_STARTED = ("StartError", "ContainerCannotRun")  # containerd's and docker's word for a program that is not there
_TIMEOUTS = ("DeadlineExceeded",)
_QUIET = ("ContainerCreating", "PodInitializing")


def status_of(kind: JobKind, job: Object, pods: Sequence[Object] = (), events: Iterable[Object] = ()) -> Status:
    """Return where ``job`` stands.

    Args:
        pods: the job's pods; without them only the job's own word counts.
        events: of the job and its pods.
    """
    run, uid = str(job["metadata"]["name"]), str(job["metadata"].get("uid", ""))
    nodes = ",".join(sorted({str(pod["spec"]["nodeName"]) for pod in pods if pod.get("spec", {}).get("nodeName")}))

    def status(state: State, why: str = "", code: int | None = None) -> Status:
        made = _time(job["metadata"].get("creationTimestamp"))
        return Status(run, state, uid, why, nodes, code, nodes_of(job), made, _attempts(job, pods, state))

    ended = _ended(kind, job, pods)
    if ended is not None:
        return status(*ended)
    if job["metadata"].get("deletionTimestamp"):
        return status(State.ENDING, "it is being deleted")
    if _suspended(job):
        return status(State.WAITING, _queue(job))
    return status(*_alive(kind, job, pods, list(events)))


def nodes_of(job: Object) -> int:
    """Return how many nodes a job asks for."""
    spec = job.get("spec") or {}
    trainer, replicas = spec.get("trainer") or {}, spec.get("pytorchReplicaSpecs") or {}
    return int(trainer.get("numNodes") or sum(each.get("replicas") or 1 for each in replicas.values()) or 1)


def _attempts(job: Object, pods: Sequence[Object], state: State) -> tuple[Attempt, ...]:
    """Return the one attempt of a job that has pods: from the first pod's start on."""
    starts = [_time((pod.get("status") or {}).get("startTime")) for pod in pods]
    began = min(filter(None, starts), default=0.0)
    if not began:
        return ()
    changes = [_time(each.get("lastTransitionTime")) for each in (job.get("status") or {}).get("conditions") or ()]
    names = sorted({str(pod["spec"]["nodeName"]) for pod in pods if pod.get("spec", {}).get("nodeName")})
    end, verdict = (max(changes, default=None), str(state)) if state.ended else (None, "")
    return (Attempt(0, ",".join(names), len(pods), _gpus(pods), began, began, end, verdict),)


def _gpus(pods: Sequence[Object]) -> int:
    for container in pods[0]["spec"].get("containers") or ():
        limit = ((container.get("resources") or {}).get("limits") or {}).get("nvidia.com/gpu")
        if str(limit or "").isdigit():
            return int(str(limit))
    return 0


def _time(text: Any) -> float:
    """Return seconds since 1970; 0 for what is no time."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp() if text else 0.0
    except ValueError:
        return 0.0


def _conditions(job: Object) -> dict[str, Object]:
    found = (job.get("status") or {}).get("conditions") or ()
    return {str(each.get("type")): each for each in found if each.get("status") == "True"}


def _ended(kind: JobKind, job: Object, pods: Sequence[Object]) -> tuple[State, str, int] | None:
    true = _conditions(job)
    if "Complete" in true or "Succeeded" in true:
        return State.DONE, "", 0
    failed = true.get("Failed")
    if failed is None:
        return None
    reason, message = str(failed.get("reason", "")), str(failed.get("message", ""))
    if reason in _TIMEOUTS or "DeadlineExceeded" in message or "active deadline" in message:
        return State.TIMEOUT, "the time limit was reached", 124
    code, why = _failure(kind, pods)
    return State.FAILED, why or message or reason, code or 1


def _failure(kind: JobKind, pods: Sequence[Object]) -> tuple[int, str]:
    """Return exit code and reason of the container that failed first."""
    ends = []
    for pod in pods:
        for each in (pod.get("status") or {}).get("containerStatuses") or ():
            end = _end(each)
            if end and end.get("exitCode") and each.get("name") == kind.container:
                ends.append((str(end.get("finishedAt", "")), int(end["exitCode"]), pod, end))
        if (pod.get("status") or {}).get("reason") == "Evicted":
            return 137, f"{pod['metadata']['name']} was evicted: {pod['status'].get('message', '')}".rstrip(": ")
    if not ends:
        return 0, ""
    _, code, pod, end = min(ends, key=lambda each: each[0])
    name = pod["metadata"]["name"]
    if end.get("reason") == "OOMKilled":
        return code, f"{name} ran out of memory"
    if end.get("reason") in _NOT_STARTED:
        return code, f"{name}: {_STUCK['RunContainerError']} ({str(end.get('message', '')).strip()})"
    return code, f"{name} ended first"


def _end(container: Object) -> Object | None:
    """Return how a container ended, this time or the last."""
    for field in ("state", "lastState"):
        found: Object | None = (container.get(field) or {}).get("terminated")
        if found:
            return found
    return None


def _suspended(job: Object) -> bool:
    spec = job.get("spec") or {}
    asked = spec.get("suspend") or (spec.get("runPolicy") or {}).get("suspend")
    return bool(asked)


def _queue(job: Object) -> str:
    queue = (job["metadata"].get("labels") or {}).get("kueue.x-k8s.io/queue-name")
    return f"waits in the queue {queue}" if queue else "suspended"


def _alive(kind: JobKind, job: Object, pods: Sequence[Object], events: list[Object]) -> tuple[State, str]:
    if not pods:
        return _without_pods(job, events)
    stuck = next((why for pod in pods if (why := _stuck(pod))), "")
    phases = [str((pod.get("status") or {}).get("phase", "Pending")) for pod in pods]
    if stuck:
        return State.STARTING, stuck
    if "Running" in phases:
        missing = phases.count("Pending")
        return State.RUNNING, f"{missing} of {len(pods)} pods are not running" if missing else ""
    if all(phase == "Succeeded" for phase in phases):
        return State.ENDING, ""
    if "Failed" in phases:
        return State.RUNNING, "a pod has failed; the operator decides what follows"
    unscheduled = next((why for pod in pods if (why := _unscheduled(pod))), "")
    if unscheduled:
        return State.WAITING, unscheduled
    return State.STARTING, _last_warning(events)


def _without_pods(job: Object, events: list[Object]) -> tuple[State, str]:
    """A job without pods: by its own counts (a list has no pods), else by what the cluster complained of."""
    counts = _counts(job)
    if counts["ready"] or (counts["active"] and counts["succeeded"]):
        return State.RUNNING, ""
    if counts["active"] or "Running" in _conditions(job):
        return (State.RUNNING if "Running" in _conditions(job) else State.STARTING), ""
    warning = _last_warning(events)
    return State.WAITING, warning or "the operator has made no pods yet"


def _counts(job: Object) -> dict[str, int]:
    """Return how many are active, ready and succeeded, of a TrainJob's jobs or a PyTorchJob's replicas."""
    status = job.get("status") or {}
    parts = [*(status.get("jobsStatus") or ()), *(status.get("replicaStatuses") or {}).values()]
    return {name: sum(int(part.get(name) or 0) for part in parts) for name in ("active", "ready", "succeeded")}


def _stuck(pod: Object) -> str:
    status = pod.get("status") or {}
    for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (each.get("state") or {}).get("waiting") or {}
        reason = str(waiting.get("reason", ""))
        if reason and reason not in _QUIET:
            message = str(waiting.get("message") or "").strip()
            words = _STUCK.get(reason, reason)
            return f"{pod['metadata']['name']}: {words}" + (f" ({message})" if message else "")
    return ""


def _unscheduled(pod: Object) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"no node for {pod['metadata']['name']}: {condition.get('message') or condition.get('reason')}"
    return ""


def _last_warning(events: list[Object]) -> str:
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return ""
    last = max(warnings, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    return str(last.get("message") or last.get("reason") or "").strip()
