"""Environment, volumes, mounts, tolerations (Kubernetes, ``pkg/apis/core/validation/validation.go``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pcinfra.jobs.kubernetes import naming
from pcinfra.jobs.kubernetes.rules.model import (
    NEVER_STARTS,
    TRAINJOB,
    WITH_PODS,
    Broken,
    Path,
    Rule,
    Surroundings,
    down,
    replicated_jobs,
)

_ENV = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_LABEL = re.compile(naming.LABEL)


def _environments(value: Mapping[str, Any], around: Surroundings) -> Iterator[tuple[Path, list[Mapping[str, Any]]]]:
    if value["kind"] == TRAINJOB:
        yield ("spec", "trainer", "env"), list(down(value, "spec", "trainer", "env") or ())
    for pod in around.pods:
        for path, container in pod.containers():
            yield (*path, "env"), list(container.get("env") or ())


def _variables(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for path, variables in _environments(value, around):
        for number, variable in enumerate(variables):
            name = str(variable.get("name", ""))
            if not _ENV.fullmatch(name):
                yield (*path, number, "name"), f"{name!r} is no variable's name: a letter or '_' first", ""
            if variable.get("value") and variable.get("valueFrom"):
                yield (*path, number), f"{name} has both value and valueFrom", "one of them"


def _volume_names(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for pod in around.pods:
        seen: set[str] = set()
        for number, volume in enumerate(pod.spec.get("volumes") or ()):
            name = str(volume.get("name", ""))
            if not _LABEL.fullmatch(name):
                yield (*pod.path, "volumes", number, "name"), f"{name!r} is no volume's name", naming.slug(name)
            if name in seen:
                yield (*pod.path, "volumes", number), f"is a second volume {name}", ""
            seen.add(name)
            if len([key for key in volume if key != "name"]) != 1:
                yield (*pod.path, "volumes", number), f"volume {name} must have one source", ""


def _modes(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for pod in around.pods:
        for number, volume in enumerate(pod.spec.get("volumes") or ()):
            for kind, source in volume.items():
                mode = source.get("defaultMode") if isinstance(source, Mapping) else None
                if isinstance(mode, int) and not 0 <= mode <= 0o777:
                    octal = str(int(str(mode), 8)) if set(str(mode)) <= set("01234567") else "493"
                    why = f"{mode} is more than 0777; written in decimal, 0755 is 493"
                    yield (*pod.path, "volumes", number, kind, "defaultMode"), why, octal


def _mounts(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for pod in around.pods:
        known = {volume.get("name") for volume in pod.spec.get("volumes") or ()} | _of_runtime(around)
        for path, container in pod.containers():
            seen: set[str] = set()
            for number, mount in enumerate(container.get("volumeMounts") or ()):
                at = (*path, "volumeMounts", number)
                place = str(mount.get("mountPath", ""))
                if place in seen:
                    yield (*at, "mountPath"), f"{place} is mounted twice", ""
                seen.add(place)
                if ":" in place or not place:
                    yield (*at, "mountPath"), f"{place!r} must be a path without ':'", ""
                if (pod.whole or around.runtime is not None) and mount.get("name") not in known:
                    yield (*at, "name"), f"there is no volume {mount.get('name')}", ""


def _of_runtime(around: Surroundings) -> set[Any]:
    jobs = replicated_jobs(around.runtime or {})
    specs = [down(job, "template", "spec", "template", "spec") or {} for job in jobs]
    return {volume.get("name") for spec in specs for volume in spec.get("volumes") or ()}


def _tolerations(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for pod in around.pods:
        for number, toleration in enumerate(pod.spec.get("tolerations") or ()):
            path = (*pod.path, "tolerations", number)
            operator = toleration.get("operator", "Equal")
            if operator not in ("Exists", "Equal"):
                yield (*path, "operator"), f"{operator!r} must be Exists or Equal", "Exists"
            if operator == "Exists" and toleration.get("value"):
                yield (*path, "value"), "must be empty where the operator is Exists", "operator: Equal"


_SOURCE = "Kubernetes, pkg/apis/core/validation/validation.go"
RULES = (
    Rule(
        "variable-names", WITH_PODS, f"{_SOURCE}, ValidateEnv", f"{NEVER_STARTS} (before Kubernetes 1.32)", _variables
    ),
    Rule("volumes", WITH_PODS, f"{_SOURCE}, ValidateVolumes", NEVER_STARTS, _volume_names),
    Rule("file-modes", WITH_PODS, f"{_SOURCE}, validateConfigMapVolumeSource", NEVER_STARTS, _modes),
    Rule("mounts", WITH_PODS, f"{_SOURCE}, ValidateVolumeMounts", NEVER_STARTS, _mounts),
    Rule("tolerations", WITH_PODS, f"{_SOURCE}, ValidateTolerations", NEVER_STARTS, _tolerations),
)
