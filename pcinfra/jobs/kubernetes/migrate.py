"""A PyTorchJob as the TrainJob that does the same (kubeflow.org, "Migrating to Kubeflow Trainer v2")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pcinfra.errors import UsageError
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.migrate_command import converted
from pcinfra.jobs.kubernetes.render.model import Object
from pcinfra.jobs.kubernetes.render.trainjob import API_VERSION, NODE, patched
from pcinfra.jobs.kubernetes.rules.shape import shaped

_PLACED = ("nodeSelector", "tolerations", "affinity", "serviceAccountName", "imagePullSecrets", "volumes")
_OF_POD = (*_PLACED, "containers", "initContainers", "restartPolicy")
_OF_CONTAINER = ("name", "image", "command", "args", "env", "resources", "volumeMounts", "workingDir", "ports")


class Migrated(NamedTuple):
    """A TrainJob, what was changed on the way, and what must be changed by hand before it does the same."""

    trainjob: Object
    notes: list[str]
    warnings: list[str]


def migrate(job: Mapping[str, Any], dialect: Dialect, runtime: str = "pytorch-simple") -> Migrated:
    """Return the TrainJob for a PyTorchJob, and what a reader must know.

    Raises:
        UsageError: it is no PyTorchJob, or it has nothing to run.
    """
    if job.get("kind") != "PyTorchJob":
        raise UsageError("is no PyTorchJob", where=str(job.get("kind", "?")), hint="kubeflow.org/v1")
    taken = shaped(job)
    if taken.faults:
        raise UsageError("\n  ".join(["cannot be read:", *map(str, taken.faults)]), where="PyTorchJob")
    job = taken.object
    name = str((job.get("metadata") or {}).get("name", "?"))
    spec = job.get("spec") or {}
    replicas: Mapping[str, Any] = spec.get("pytorchReplicaSpecs") or {}
    model = replicas.get("Worker") or replicas.get("Master")
    if not model:
        raise UsageError("has neither Master nor Worker", where=name, hint="spec.pytorchReplicaSpecs.Worker")
    template: Mapping[str, Any] = model.get("template") or {}
    pod: Mapping[str, Any] = template.get("spec") or {}
    container = next((c for c in pod.get("containers") or () if c.get("name") == "pytorch"), None)
    if container is None:
        raise UsageError("has no container called pytorch", where=name)
    notes = list(_notes(spec, replicas))
    notes += _left(pod, container)
    trainer, warnings = _trainer(spec, replicas, container, notes)
    change: Object = {field: pod[field] for field in _PLACED if pod.get(field)}
    if container.get("volumeMounts"):
        change["containers"] = [{"name": NODE, "volumeMounts": container["volumeMounts"]}]
    metadata = {k: v for k, v in (job.get("metadata") or {}).items() if k in ("name", "namespace", "labels")}
    fields: Object = {"runtimeRef": {"name": runtime}, "trainer": trainer, **_pods(dialect, change, template)}
    limit = (spec.get("runPolicy") or {}).get("activeDeadlineSeconds")
    if limit and dialect.has_deadline:
        fields["activeDeadlineSeconds"] = limit
    elif limit:
        notes.append(f"activeDeadlineSeconds is lost: Trainer {dialect} has none")
    return Migrated(
        {"apiVersion": API_VERSION, "kind": "TrainJob", "metadata": metadata, "spec": fields}, notes, warnings
    )


def _pods(dialect: Dialect, change: Object, template: Mapping[str, Any]) -> Object:
    """Return the fields that change the pods: their spec, labels and annotations."""
    head = template.get("metadata") or {}
    own = {name: head[name] for name in ("labels", "annotations") if head.get(name)}
    if dialect is Dialect.V2_0:
        return {**own, **(patched(dialect, change, {}) if change else {})}
    return patched(dialect, change, own) if change or own else {}


def _trainer(
    spec: Mapping[str, Any], replicas: Mapping[str, Any], container: Mapping[str, Any], notes: list[str]
) -> tuple[Object, list[str]]:
    nodes = sum(_count(r) for r in replicas.values())
    trainer: Object = {"image": container.get("image"), "numNodes": nodes}
    made = converted(container.get("command") or (), container.get("args") or (), nodes)
    notes += made.notes
    if made.command:
        trainer["command"] = made.command
    if made.args:
        trainer["args"] = made.args
    said = spec.get("nprocPerNode") or (spec.get("elasticPolicy") or {}).get("nProcPerNode")
    trainer["numProcPerNode"] = made.processes or (int(str(said)) if str(said).isdigit() else _gpus(container) or 1)
    kept = [v for v in container.get("env") or () if not str(v.get("name", "")).startswith("PET_")]
    if kept:
        trainer["env"] = kept
    if container.get("resources"):
        trainer["resourcesPerNode"] = _resources(container["resources"], notes)
    if container.get("workingDir"):
        notes.append(f"workingDir {container['workingDir']} is lost: let the command begin with cd")
    return trainer, made.warnings


def _left(pod: Mapping[str, Any], container: Mapping[str, Any]) -> Iterator[str]:
    """Yield what stays behind of a pod and its container."""
    if pod.get("initContainers"):
        yield "initContainers are not taken along: a TrainJob can only change those of its runtime"
    others = [str(each.get("name")) for each in pod.get("containers") or () if each.get("name") != "pytorch"]
    if others:
        yield f"the containers {', '.join(others)} are not taken along: a TrainJob adds none to its runtime's"
    lost = [f"spec.{name}" for name in pod if name not in _OF_POD]
    lost += [f"containers[pytorch].{name}" for name in container if name not in _OF_CONTAINER]
    if lost:
        yield f"not taken along: {', '.join(lost)}; the runtime can have them"


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
