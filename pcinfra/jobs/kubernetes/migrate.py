"""A PyTorchJob as the TrainJob that does the same (kubeflow.org, "Migrating to Kubeflow Trainer v2")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pcinfra.errors import UsageError
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.render.model import Object
from pcinfra.jobs.kubernetes.render.trainjob import API_VERSION, NODE, patched

_FLAGS = re.compile(
    r"--(?:n-?nodes|nnodes|nproc[_-]per[_-]node|node[_-]rank|master[_-](?:addr|port)|rdzv[_-](?:id|backend|endpoint))"
    r"(?:=\S+|\s+[^\s-]\S*)\s*"
)
_PLACED = ("nodeSelector", "tolerations", "affinity", "serviceAccountName", "imagePullSecrets", "volumes")


def migrate(job: Mapping[str, Any], dialect: Dialect, runtime: str = "pytorch-simple") -> tuple[Object, list[str]]:
    """Return the TrainJob for a PyTorchJob, and what a reader must know.

    Raises:
        UsageError: it is no PyTorchJob, or it has nothing to run.
    """
    spec = job.get("spec") or {}
    replicas: Mapping[str, Any] = spec.get("pytorchReplicaSpecs") or {}
    model = replicas.get("Worker") or replicas.get("Master")
    if job.get("kind") != "PyTorchJob" or not model:
        raise UsageError(
            "is no PyTorchJob with Master or Worker", where=str(job.get("kind", "?")), hint="kubeflow.org/v1"
        )
    pod: Mapping[str, Any] = ((model.get("template") or {}).get("spec")) or {}
    container = next((c for c in pod.get("containers") or () if c.get("name") == "pytorch"), None)
    if container is None:
        raise UsageError("has no container called pytorch", where=str((job.get("metadata") or {}).get("name", "?")))
    notes = list(_notes(spec, replicas))
    trainer = _trainer(spec, replicas, container, notes)
    change: Object = {field: pod[field] for field in _PLACED if pod.get(field)}
    if container.get("volumeMounts"):
        change["containers"] = [{"name": NODE, "volumeMounts": container["volumeMounts"]}]
    if pod.get("initContainers"):
        notes.append("initContainers are not taken along: a TrainJob can only change those of its runtime")
    metadata = {k: v for k, v in (job.get("metadata") or {}).items() if k in ("name", "namespace", "labels")}
    fields: Object = {"runtimeRef": {"name": runtime}, "trainer": trainer}
    if change:
        fields.update(patched(dialect, change, {}))
    limit = (spec.get("runPolicy") or {}).get("activeDeadlineSeconds")
    if limit and dialect.has_deadline:
        fields["activeDeadlineSeconds"] = limit
    elif limit:
        notes.append(f"activeDeadlineSeconds is lost: Trainer {dialect} has none")
    return {"apiVersion": API_VERSION, "kind": "TrainJob", "metadata": metadata, "spec": fields}, notes


def _trainer(
    spec: Mapping[str, Any], replicas: Mapping[str, Any], container: Mapping[str, Any], notes: list[str]
) -> Object:
    trainer: Object = {"image": container.get("image"), "numNodes": sum(_count(r) for r in replicas.values())}
    for field in ("command", "args"):
        words = container.get(field)
        if words:
            trainer[field] = _without_flags([str(word) for word in words], notes)
    count = spec.get("nprocPerNode") or (spec.get("elasticPolicy") or {}).get("nProcPerNode")
    gpus = _gpus(container)
    trainer["numProcPerNode"] = int(str(count)) if str(count).isdigit() else gpus or 1
    kept = [v for v in container.get("env") or () if not str(v.get("name", "")).startswith("PET_")]
    if kept:
        trainer["env"] = kept
    if container.get("resources"):
        trainer["resourcesPerNode"] = _resources(container["resources"], notes)
    if container.get("workingDir"):
        notes.append(f"workingDir {container['workingDir']} is lost: let the command begin with cd")
    return trainer


def _without_flags(words: list[str], notes: list[str]) -> list[str]:
    """Return the words without flags of torchrun that the Trainer sets by PET_*."""
    if not any("torchrun" in word for word in words):
        return words
    kept, skip = [], False
    for word in words:
        text = _FLAGS.sub("", word) if "torchrun" in word else word
        if skip:
            skip = False
        elif _FLAGS.fullmatch(f"{word} x ") and "=" not in word:
            skip = True
        elif not _FLAGS.fullmatch(f"{word} "):
            kept.append(text)
    if kept != words:
        notes.append("flags of torchrun are dropped: it reads nodes, processes and address from PET_*")
    return kept


def _resources(resources: Mapping[str, Any], notes: list[str]) -> Object:
    fixed: Object = {}
    for side, amounts in resources.items():
        if not isinstance(amounts, Mapping):
            continue
        fixed[side] = {("nvidia.com/gpu" if name == "nvidia.com" else name): str(v) for name, v in amounts.items()}
        if "nvidia.com" in amounts:
            notes.append("nvidia.com is no resource: it is nvidia.com/gpu now")
    return fixed


def _gpus(container: Mapping[str, Any]) -> int:
    limits = (container.get("resources") or {}).get("limits") or {}
    count = str(limits.get("nvidia.com/gpu") or limits.get("nvidia.com") or "0")
    return int(count) if count.isdigit() else 0


def _count(replica: Mapping[str, Any]) -> int:
    count = replica.get("replicas")
    return count if isinstance(count, int) and not isinstance(count, bool) else 1


def _notes(spec: Mapping[str, Any], replicas: Mapping[str, Any]) -> Iterator[str]:
    if len(replicas) > 1:
        templates = [replica.get("template") for replica in replicas.values()]
        if any(template != templates[0] for template in templates):
            yield "Master and Worker differ: the TrainJob has Worker's, for all nodes"
    if spec.get("elasticPolicy"):
        yield "elasticPolicy is lost: no TrainJob can change its number of nodes"
    policy = spec.get("runPolicy") or {}
    if policy.get("backoffLimit") is not None:
        yield "backoffLimit is lost: the runtime's failurePolicy.maxRestarts says how often failed pods come back"
    if policy.get("ttlSecondsAfterFinished") is not None:
        yield "ttlSecondsAfterFinished is lost: pcinfra k8s sweep removes finished jobs"
    if policy.get("schedulingPolicy"):
        yield "schedulingPolicy is lost: the runtime has podGroupPolicy"
