"""The Trainer's webhook, and what it forgets (kubeflow/trainer, ``pkg/runtime/framework/plugins``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pcinfra.jobs.kubernetes import naming
from pcinfra.jobs.kubernetes.render.files import LAUNCH, MOUNT
from pcinfra.jobs.kubernetes.rules.model import (
    RUNTIMES,
    TRAINJOB,
    Broken,
    Rule,
    Surroundings,
    down,
    replicated_jobs,
    targets,
)

_RESERVED_CONTAINERS = ("node", "dataset-initializer", "model-initializer")
_PET = ("PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT")
_MANAGER = re.compile(rf"{naming.SUBDOMAIN}/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")
_FEWEST = 1
_FLAT = ("targetJobs", "nodeSelector", "tolerations", "serviceAccountName", "schedulingGates", "volumes",
         "containers", "initContainers")  # fmt: skip
_ELSEWHERE = "the runtime, or for imagePullSecrets the service account; Trainer v2.1 has it"
_TOGETHER = ("torchrun", "accelerate", "deepspeed", f"{MOUNT}/{LAUNCH}")
"""What starts the processes of one group, and needs to be told of the other nodes."""


def _reserved_env(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for pod in around.pods:
        for number, container in enumerate(pod.spec.get("containers") or ()):
            if container.get("env") and container.get("name") in _RESERVED_CONTAINERS:
                why = f"the container {container['name']} takes no env here"
                yield (*pod.path, "containers", number, "env"), why, "spec.trainer.env"


def _targets(value: Mapping[str, Any], around: Surroundings) -> Broken:
    if around.runtime is None:
        return
    jobs = {str(job.get("name")): _names(job) for job in replicated_jobs(around.runtime)}
    name = down(around.runtime, "metadata", "name")
    for path, job, pod in targets(value):
        if job not in jobs:
            yield path, f"the runtime {name} has no job {job!r}", f"one of {', '.join(jobs)}"
            continue
        for container in (*(pod.get("containers") or ()), *(pod.get("initContainers") or ())):
            if container.get("name") not in jobs[job]:
                why = f"the runtime {name} has no container {container.get('name')!r} in its job {job}"
                yield path, why, f"one of {', '.join(sorted(jobs[job]))}"


def _names(job: Mapping[str, Any]) -> set[str]:
    spec = down(job, "template", "spec", "template", "spec") or {}
    return {str(c.get("name")) for field in ("containers", "initContainers") for c in spec.get(field) or ()}


def _torch_env(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for number, variable in enumerate(down(value, "spec", "trainer", "env") or ()):
        if variable.get("name") in _PET:
            path = ("spec", "trainer", "env", number)
            yield path, f"{variable['name']} is set by the Trainer; yours would win, and be wrong", "remove it"


def _manager(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for field in ("podTemplateOverrides", "runtimePatches"):
        for number, patch in enumerate(down(value, "spec", field) or ()):
            manager = patch.get("manager")
            if manager is not None and not _MANAGER.fullmatch(str(manager)):
                yield ("spec", field, number, "manager"), f"{manager!r} must begin with a domain", naming.MANAGER


def _nodes(value: Mapping[str, Any], around: Surroundings) -> Broken:
    nodes = down(value, "spec", "trainer", "numNodes")
    if isinstance(nodes, int) and nodes < _FEWEST:
        yield ("spec", "trainer", "numNodes"), f"must be at least 1, and is {nodes}", "1"


def _alone(value: Mapping[str, Any], around: Surroundings) -> Broken:
    policy = down(around.runtime, "spec", "mlPolicy") or {}
    words = [*(down(value, "spec", "trainer", "command") or ()), *(down(value, "spec", "trainer", "args") or ())]
    nodes = down(value, "spec", "trainer", "numNodes") or 1
    together = any(launcher in word for word in words for launcher in _TOGETHER)
    if around.runtime is not None and "torch" not in policy and nodes > 1 and together:
        name = down(around.runtime, "metadata", "name")
        yield ("spec", "runtimeRef", "name"), f"the runtime {name} has no mlPolicy.torch", "pytorch-simple"


def _flat(value: Mapping[str, Any], around: Surroundings) -> Broken:
    for number, override in enumerate(down(value, "spec", "podSpecOverrides") or ()):
        for field in override:
            if field not in _FLAT:
                yield ("spec", "podSpecOverrides", number, field), "is no override of Trainer v2.0", _ELSEWHERE


def _initializers(value: Mapping[str, Any], around: Surroundings) -> Broken:
    jobs = {str(job.get("name")) for job in replicated_jobs(around.runtime or {})}
    for kind in down(value, "spec", "initializer") or {}:
        if around.runtime is not None and f"{kind}-initializer" not in jobs:
            yield ("spec", "initializer", kind), f"the runtime has no job {kind}-initializer", ""


def _ttl(value: Mapping[str, Any], around: Surroundings) -> Broken:
    path = ("spec", "template", "spec", "ttlSecondsAfterFinished")
    if down(value, *path) is not None:
        yield path, "must not be set: pcinfra k8s sweep removes finished jobs", ""


_PLUGINS = "kubeflow/trainer, pkg/runtime/framework/plugins"
_REFUSED = ""
RULES = (
    Rule("reserved-env", (TRAINJOB,), f"{_PLUGINS}/jobset/jobset.go, Validate", _REFUSED, _reserved_env),
    Rule("targets", (TRAINJOB,), f"{_PLUGINS}/jobset/jobset.go, Validate", _REFUSED, _targets),
    Rule("initializers", (TRAINJOB,), f"{_PLUGINS}/jobset/jobset.go, Validate", _REFUSED, _initializers),
    Rule(
        "torch-env",
        (TRAINJOB,),
        f"{_PLUGINS}/torch/torch.go, Validate: only where numProcPerNode is set",
        "torchrun starts the wrong number of processes, or waits for nodes that never come",
        _torch_env,
    ),
    Rule("manager", (TRAINJOB,), "Kubernetes, apimachinery, IsDomainPrefixedPath", _REFUSED, _manager),
    Rule(
        "flat-overrides",
        (TRAINJOB,),
        "kubeflow/trainer v2.0.0 and v2.0.1, pkg/apis/trainer/v1alpha1/trainjob_types.go, PodSpecOverride",
        "the server drops the field without a word, and the pods start without it",
        _flat,
    ),
    Rule("nodes", (TRAINJOB,), "no lower bound in the CRD; Job.spec.parallelism", "it never gets a pod", _nodes),
    Rule(
        "alone",
        (TRAINJOB,),
        f"{_PLUGINS}/torch/torch.go, EnforceMLPolicy",
        "no node is told of the others: each trains alone, and all end with 0",
        _alone,
    ),
    Rule(
        "no-ttl-in-runtime",
        RUNTIMES,
        "kubeflow/trainer issues 2981 and 3891",
        "when the JobSet is removed after its end, the Trainer makes it again and trains anew",
        _ttl,
    ),
)
