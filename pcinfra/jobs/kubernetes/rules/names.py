"""Names and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pcinfra.jobs.kubernetes import naming
from pcinfra.jobs.kubernetes.rules.model import (
    PYTORCHJOB,
    RUNTIMES,
    TRAINJOB,
    WITH_PODS,
    Broken,
    Rule,
    Surroundings,
    down,
)

_SUBDOMAIN = re.compile(naming.SUBDOMAIN)
_VALUE = re.compile(f"({naming.VALUE})?")
_KEY = re.compile(f"({naming.SUBDOMAIN}/)?{naming.VALUE}")


def _length(value: Mapping[str, Any], around: Surroundings) -> Broken:
    name, spec = str(down(value, "metadata", "name") or ""), value.get("spec") or {}
    kind = str(value["kind"])
    initializer = bool(down(spec, "initializer", "dataset"))
    room = naming.longest(kind, _nodes(spec), initializer=initializer)
    if len(name) > room:
        why = f"has {len(name)} characters; with the names of its pods {room} fit into 63"
        yield ("metadata", "name"), why, name[:room].rstrip("-")


def _nodes(spec: Mapping[str, Any]) -> int:
    count = down(spec, "trainer", "numNodes") or down(spec, "pytorchReplicaSpecs", "Worker", "replicas") or 1
    most = down(spec, "elasticPolicy", "maxReplicas") or 0
    return max(int(count), int(most), 1)


def _service(value: Mapping[str, Any], around: Surroundings) -> Broken:
    name = str(down(value, "metadata", "name") or "")
    if name and not naming.JOB.fullmatch(name):
        why = f"{name!r} must be lower-case letters, digits and hyphens, and begin with a letter"
        fixed = naming.slug(name)
        yield ("metadata", "name"), why, fixed if fixed[:1].isalpha() else f"job-{fixed}"


def _object(value: Mapping[str, Any], around: Surroundings) -> Broken:
    name = str(down(value, "metadata", "name") or "")
    if name and not _SUBDOMAIN.fullmatch(name):
        yield ("metadata", "name"), f"{name!r} is no name of a Kubernetes object", naming.slug(name)


def _labels(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for key, label in (down(value, "metadata", "labels") or {}).items():
        if not _KEY.fullmatch(str(key)):
            yield ("metadata", "labels", key), "is not the key of a label: prefix/name", ""
        if not _VALUE.fullmatch(str(label)):
            why = f"{label!r} is not the value of a label: at most 63 letters, digits, '-', '_' and '.'"
            yield ("metadata", "labels", key), why, ""


RULES = (
    Rule(
        "trainjob-name-length",
        (TRAINJOB,),
        "kubernetes-sigs/jobset, pkg/webhooks/jobset_webhook.go: the names of its pods must be labels",
        "it is created, and never gets a pod; only an event TrainJobResourcesCreationFailed says why",
        _length,
    ),
    Rule(
        "pytorchjob-name-length",
        (PYTORCHJOB,),
        "kubeflow/training-operator, pkg/controller.v1/common/service.go: each replica has a Service of its name",
        "it is created, and its pods have no address",
        _length,
    ),
    Rule(
        "job-name",
        (TRAINJOB, PYTORCHJOB),
        "kubeflow/training-operator, pkg/webhooks/pytorch: DNS-1035; kubeflow/trainer, TrainJob's CEL rule",
        "",
        _service,
    ),
    Rule("object-name", ("ConfigMap", *RUNTIMES), 'Kubernetes, "Object Names and IDs"', "", _object),
    Rule("labels", ("ConfigMap", *WITH_PODS), 'Kubernetes, "Labels and Selectors"', "", _labels),
)
