"""Finished runs removed by age: neither operator does it safely (kubeflow/trainer issues 2899 and 2981)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pcinfra.errors import PcinfraError
from pcinfra.jobs.kubernetes import arrays
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
from pcinfra.jobs.kubernetes.reading import Found

YOUNG = timedelta(minutes=10)  # files so new may belong to a submission that is under way

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Litter:
    """What a sweep would remove: runs that have ended, and files and code whose run is not there.

    Args:
        runs: each with the state that it ended in.
        code: addresses in the bucket.
        unseen: why nobody could look into the bucket; empty when somebody did, or there is none.
    """

    runs: tuple[tuple[Found, str], ...]
    files: tuple[Object, ...]
    code: tuple[str, ...] = ()
    unseen: str = ""

    def __bool__(self) -> bool:
        return bool(self.runs or self.files or self.code)


def find(launcher: KubernetesLauncher, age: timedelta, now: datetime | None = None) -> Litter:
    """Return what ended at least ``age`` ago."""
    moment = now or datetime.now(UTC)
    there = launcher.reading.runs()
    ended = [(found, arrays.status_of(found).state) for found in there]
    runs = tuple((found, str(state)) for found, state in ended if state.ended and moment - _ended(found) >= age)
    old = max(age, YOUNG)
    files = tuple(each for each in launcher.orphans() if moment - _made(each) >= old)
    try:
        code = {address: made for address, made in launcher.stray_code(there).items() if moment - made >= old}
    except PcinfraError as error:
        return Litter(runs, files, unseen=error.why)
    return Litter(runs, files, tuple(sorted(code)))


def remove(launcher: KubernetesLauncher, litter: Litter) -> list[str]:
    """Remove it; the pods and files of a job go with it. Return what could not be removed, and why."""
    left = []
    for found, _ in litter.runs:
        for job in found.jobs:
            launcher.delete(found.kind, job)
        left.append(launcher.discard(found))
    for each in litter.files:
        launcher.remove_files(each)
    left += [launcher.discard_code(address) for address in litter.code]
    return [why for why in left if why]


def _ended(found: Found) -> datetime:
    return max(_ended_job(job) for job in found.jobs)


def _ended_job(job: Object) -> datetime:
    conditions = (job.get("status") or {}).get("conditions") or ()
    times = [str(each["lastTransitionTime"]) for each in conditions if each.get("lastTransitionTime")]
    return _time(max(times)) if times else _made(job)


def _made(value: Object) -> datetime:
    return _time(str(value["metadata"]["creationTimestamp"]))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
