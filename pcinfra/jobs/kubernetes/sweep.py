"""Finished runs removed by age: neither operator does it safely (kubeflow/trainer issues 2899 and 2981)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pcinfra.jobs.kubernetes import phase
from pcinfra.jobs.kubernetes.kinds import JobKind
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher

YOUNG = timedelta(minutes=10)  # files so new may belong to a submission that is under way

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Litter:
    """What a sweep would remove: jobs that have ended, and files whose job is not there."""

    jobs: tuple[tuple[JobKind, Object, str], ...]
    files: tuple[Object, ...]

    def __bool__(self) -> bool:
        return bool(self.jobs or self.files)


def find(launcher: KubernetesLauncher, age: timedelta, now: datetime | None = None) -> Litter:
    """Return what ended at least ``age`` ago."""
    moment = now or datetime.now(UTC)
    jobs = [
        (kind, job, str(phase.status_of(kind, job).state))
        for kind, job in launcher.reading.jobs()
        if phase.status_of(kind, job).state.ended and moment - _ended(job) >= age
    ]
    files = [each for each in launcher.orphans() if moment - _made(each) >= max(age, YOUNG)]
    return Litter(tuple(jobs), tuple(files))


def remove(launcher: KubernetesLauncher, litter: Litter) -> None:
    """Remove it; the pods and files of a job go with it."""
    for kind, job, _ in litter.jobs:
        launcher.delete(kind, job)
    for each in litter.files:
        launcher.remove_files(each)


def _ended(job: Object) -> datetime:
    conditions = (job.get("status") or {}).get("conditions") or ()
    times = [str(each["lastTransitionTime"]) for each in conditions if each.get("lastTransitionTime")]
    return _time(max(times)) if times else _made(job)


def _made(value: Object) -> datetime:
    return _time(str(value["metadata"]["creationTimestamp"]))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
