"""The shape that the rules take for granted: maps, lists and texts in their places, for what no CRD has been put to.

Only the fields that a rule or a migration reads; everything else is kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pcinfra.jobs.kubernetes.rules.model import PYTORCHJOB, RUNTIMES, TRAINJOB
from pcinfra.jobs.kubernetes.schema.admission import Admitted, admit
from pcinfra.jobs.kubernetes.schema.structural import Node

Raw = dict[str, Any]
TEXT: Raw = {"type": "string"}
WHOLE: Raw = {"type": "integer"}
AMOUNT: Raw = {"x-kubernetes-int-or-string": True}


def _map(**properties: Raw) -> Raw:
    return {"type": "object", "properties": properties, "x-kubernetes-preserve-unknown-fields": True}


def _each(value: Raw, **properties: Raw) -> Raw:
    return {"type": "object", "properties": properties, "additionalProperties": value}


def _list(items: Raw) -> Raw:
    return {"type": "array", "items": items}


TEXTS, ANY = _list(TEXT), _map()
METADATA = _map(name=TEXT, namespace=TEXT, labels=_each(TEXT), annotations=_each(TEXT))
AMOUNTS = _map(limits=_each(AMOUNT), requests=_each(AMOUNT))
ENVIRONMENT = _list(_map(name=TEXT, value=TEXT, valueFrom=ANY))
CONTAINER = _map(
    name=TEXT, image=TEXT, command=TEXTS, args=TEXTS, env=ENVIRONMENT, resources=AMOUNTS, workingDir=TEXT,
    volumeMounts=_list(_map(name=TEXT, mountPath=TEXT)),
)  # fmt: skip
POD = {
    "containers": _list(CONTAINER),
    "initContainers": _list(CONTAINER),
    "volumes": _list(_each(ANY, name=TEXT)),
    "tolerations": _list(_map(key=TEXT, operator=TEXT, value=TEXT)),
    "nodeSelector": _each(TEXT),
}
TEMPLATE = _map(metadata=METADATA, spec=_map(**POD))
JOBS = _map(spec=_map(replicatedJobs=_list(_map(name=TEXT, template=_map(spec=_map(template=TEMPLATE))))))
NAMES = _list(_map(name=TEXT))

SPECS: dict[str, Raw] = {
    TRAINJOB: _map(
        runtimeRef=_map(name=TEXT),
        trainer=_map(
            image=TEXT, command=TEXTS, args=TEXTS, env=ENVIRONMENT, resourcesPerNode=AMOUNTS, numNodes=WHOLE,
            numProcPerNode=AMOUNT,
        ),
        podSpecOverrides=_list(_map(targetJobs=NAMES, **POD)),
        podTemplateOverrides=_list(_map(manager=TEXT, targetJobs=NAMES, metadata=METADATA, spec=_map(**POD))),
        runtimePatches=_list(_map(manager=TEXT, trainingRuntimeSpec=_map(template=JOBS))),
        initializer=ANY,
    ),
    PYTORCHJOB: _map(
        nprocPerNode=TEXT,
        runPolicy=_map(activeDeadlineSeconds=WHOLE, schedulingPolicy=ANY),
        elasticPolicy=_map(minReplicas=WHOLE, maxReplicas=WHOLE, maxRestarts=WHOLE, nProcPerNode=WHOLE),
        pytorchReplicaSpecs=_each(_map(replicas=WHOLE, template=TEMPLATE)),
    ),
    **{kind: _map(mlPolicy=ANY, template=JOBS) for kind in RUNTIMES},
}  # fmt: skip
_TARGET = _map(fieldPaths=TEXTS, options=ANY)
SHAPES: dict[str, Node] = {
    **{kind: Node(_map(metadata=METADATA, spec=spec)) for kind, spec in SPECS.items()},
    "ConfigMap": Node(_map(metadata=METADATA, data=_each(TEXT), binaryData=_each(TEXT))),
    **{
        kind: Node(_map(metadata=METADATA, rules=_list(_map(apiGroups=TEXTS, resources=TEXTS, verbs=TEXTS))))
        for kind in ("Role", "ClusterRole")
    },
    "Kustomization": Node(
        _map(
            metadata=METADATA,
            replacements=_list(_map(source=_map(fieldPath=TEXT), targets=_list(_TARGET))),
            configMapGenerator=_list(_map(literals=TEXTS)),
        )
    ),
}
_METADATA, _ANY = Node(METADATA), Node(_map(metadata=METADATA))


def shaped(value: Mapping[str, Any], *, known: bool = False) -> Admitted:
    """Return ``value`` without nulls, as the server would store it, and what is not where the rules look for it.

    Args:
        known: it is put to its CRD as well, which leaves metadata alone.
    """
    if known:
        done = admit(_METADATA, value.get("metadata") or {})
        return replace(done, faults=tuple(replace(each, path=("metadata", *each.path)) for each in done.faults))
    return admit(SHAPES.get(str(value.get("kind")), _ANY), value)
