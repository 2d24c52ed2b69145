"""A rule, what it is told, and where the pods of an object are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pcinfra.jobs.kubernetes.dialect import Dialect

Path = tuple[str | int, ...]
Broken = Iterator[tuple[Path, str, str]]
"""Path, why, and what to write instead."""

TRAINJOB, PYTORCHJOB = "TrainJob", "PyTorchJob"
RUNTIMES = ("ClusterTrainingRuntime", "TrainingRuntime")
WITH_PODS = (TRAINJOB, PYTORCHJOB, *RUNTIMES)

NEVER_STARTS = "it is created, and no pod of it ever starts"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known besides the object itself.

    Args:
        runtime: the one that a TrainJob names.
        dialect: the version of the Trainer that is installed.
        pods: those of the object, found once for all rules.
        commands: path and words of each command of the object, likewise.
    """

    runtime: Mapping[str, Any] | None = None
    dialect: Dialect | None = None
    pods: tuple[Pod, ...] = ()
    commands: tuple[tuple[Path, list[Any]], ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Args:
        later: what the cluster would do with an object that breaks it.
        source: where the rule stands.
    """

    name: str
    kinds: tuple[str, ...]
    source: str
    later: str
    check: Callable[[Mapping[str, Any], Surroundings], Broken]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod's spec inside an object; ``whole`` when nothing else is added to it."""

    path: Path
    spec: Mapping[str, Any]
    whole: bool = True

    def containers(self) -> list[tuple[Path, Mapping[str, Any]]]:
        return [
            ((*self.path, field, number), container)
            for field in ("initContainers", "containers")
            for number, container in enumerate(self.spec.get(field) or ())
        ]


def pods_of(value: Mapping[str, Any]) -> Iterator[Pod]:
    """Yield the pods' specs of an object of any kind that has some."""
    spec, kind = value.get("spec") or {}, value.get("kind")
    if kind == TRAINJOB:
        yield from _overrides(spec)
    elif kind == PYTORCHJOB:
        for name, replica in (spec.get("pytorchReplicaSpecs") or {}).items():
            path: Path = ("spec", "pytorchReplicaSpecs", name, "template", "spec")
            yield Pod(path, (replica.get("template") or {}).get("spec") or {})
    elif kind in RUNTIMES:
        for number, job in enumerate(replicated_jobs(value)):
            path = ("spec", "template", "spec", "replicatedJobs", number, "template", "spec", "template", "spec")
            yield Pod(path, _pod_of_job(job))


def commands_of(value: Mapping[str, Any], pods: tuple[Pod, ...]) -> Iterator[tuple[Path, list[Any]]]:
    """Yield path and words of every command of an object that has some."""
    if value.get("kind") == TRAINJOB:
        yield ("spec", "trainer", "command"), _words(_down(value, "spec", "trainer") or {})
    for pod in pods:
        for path, container in pod.containers():
            yield (*path, "command"), _words(container)


def _words(container: Mapping[str, Any]) -> list[Any]:
    return [*(container.get("command") or ()), *(container.get("args") or ())]


def _overrides(spec: Mapping[str, Any]) -> Iterator[Pod]:
    for number, flat in enumerate(spec.get("podSpecOverrides") or ()):
        yield Pod(("spec", "podSpecOverrides", number), flat, False)
    for number, override in enumerate(spec.get("podTemplateOverrides") or ()):
        yield Pod(("spec", "podTemplateOverrides", number, "spec"), override.get("spec") or {}, False)
    for number, patch in enumerate(spec.get("runtimePatches") or ()):
        inner: Path = ("trainingRuntimeSpec", "template", "spec", "replicatedJobs")
        for index, job in enumerate(_down(patch, *inner) or ()):
            path: Path = ("spec", "runtimePatches", number, *inner, index, "template", "spec", "template", "spec")
            yield Pod(path, _pod_of_job(job), False)


def replicated_jobs(runtime: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the replicated jobs of a training runtime."""
    return list(_down(runtime, "spec", "template", "spec", "replicatedJobs") or ())


def targets(value: Mapping[str, Any]) -> Iterator[tuple[Path, str, Mapping[str, Any]]]:
    """Yield path, name of the replicated job, and the pod's spec for each job that a TrainJob changes."""
    spec = value.get("spec") or {}
    for field in ("podSpecOverrides", "podTemplateOverrides"):
        for number, override in enumerate(spec.get(field) or ()):
            pod = override if field == "podSpecOverrides" else override.get("spec") or {}
            for target in override.get("targetJobs") or ():
                yield ("spec", field, number), str(target.get("name")), pod
    for number, patch in enumerate(spec.get("runtimePatches") or ()):
        for job in _down(patch, "trainingRuntimeSpec", "template", "spec", "replicatedJobs") or ():
            yield ("spec", "runtimePatches", number), str(job.get("name")), _pod_of_job(job)


def _pod_of_job(job: Mapping[str, Any]) -> Mapping[str, Any]:
    return _down(job, "template", "spec", "template", "spec") or {}


def _down(value: Any, *path: str | int) -> Any:
    for step in path:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def down(value: Any, *path: str) -> Any:
    """Return what is at ``path``; None where something on the way is missing."""
    return _down(value, *path)
