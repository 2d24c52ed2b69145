"""Every mistake of the guide's Kubernetes pages has an error of ours that says what is wrong and what to write."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from pcinfra.errors import UsageError
from pcinfra.jobs.kubernetes.check import check, faults
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.render.runtimes import pytorch_simple, tensorflow_distributed
from tests.unit.jobs.kubernetes import crds

TRAINJOB: dict[str, Any] = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "TrainJob",
    "metadata": {"name": "user-job-12345", "namespace": "user-123"},
    "spec": {
        "runtimeRef": {"name": "pytorch-simple"},
        "trainer": {
            "image": "pytorch/pytorch:2.2.2-cuda11.8-cudnn8-runtime",
            "numNodes": 2,
            "numProcPerNode": 1,
            "command": ["torchrun", "/workspace/scripts/train.py"],
            "env": [{"name": "EPOCHS", "value": "10"}],
            "resourcesPerNode": {
                "limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"},
                "requests": {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"},
            },
        },
        "podTemplateOverrides": [
            {
                "targetJobs": [{"name": "node"}],
                "spec": {
                    "volumes": [
                        {"name": "train-script", "configMap": {"name": "user-train-script", "defaultMode": 493}}
                    ],
                    "containers": [
                        {"name": "node", "volumeMounts": [{"name": "train-script", "mountPath": "/workspace/scripts"}]}
                    ],
                },
            }
        ],
    },
}
GPU = {"limits": {"nvidia.com/gpu": "1"}}
REPLICA: dict[str, Any] = {
    "replicas": 1,
    "template": {"spec": {"containers": [{"name": "pytorch", "image": "i", "command": ["train"], "resources": GPU}]}},
}
PYTORCHJOB: dict[str, Any] = {
    "apiVersion": "kubeflow.org/v1",
    "kind": "PyTorchJob",
    "metadata": {"name": "pytorch-dist-job"},
    "spec": {"pytorchReplicaSpecs": {"Master": REPLICA, "Worker": REPLICA}},
}
CONFIG: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"train.py": "x"}}

Path = tuple[str | int, ...]
TRAINER: Path = ("spec", "trainer")
POD: Path = ("spec", "podTemplateOverrides", 0, "spec")
WORKER: Path = ("spec", "pytorchReplicaSpecs", "Worker")
CONTAINER: Path = (*WORKER, "template", "spec", "containers", 0)
LIMITS: Path = (*CONTAINER, "resources", "limits")
RANKS = "export RANK=${PET_NODE_RANK:-0}\nexport WORLD_SIZE=${PET_NNODES:-1}\npython train.py"
CLONE = "set -e\ngit clone github.com /workspace/code\npython /workspace/code/training.py"
CLUSTERED = "cd code\ntorchrun --nnodes 2 --nproc_per_node=1 mnist-ddp.py"

# Which page, what is put where, then: where our error is, what it says, and what it tells to write.
MISTAKES: list[tuple[str, dict[str, Any], Path, Any, Path, str, str]] = [
    ("003 env in overrides", TRAINJOB, (*POD, "containers", 0, "env"), [{"name": "A", "value": "1"}],
     (*POD, "containers", 0, "env"), "takes no env here", "spec.trainer.env"),
    ("003 ranks by hand", TRAINJOB, (*TRAINER, "command"), ["bash", "-c", RANKS],
     (*TRAINER, "command"), "one GPU of each node would work", "torchrun train.py"),
    ("003 PET_LOCAL_RANK", TRAINJOB, (*TRAINER, "command"), ["bash", "-c", "LOCAL_RANK=$PET_LOCAL_RANK torchrun t.py"],
     (*TRAINER, "command"), "which nobody sets", "torchrun train.py sets LOCAL_RANK"),
    ("003 reserved variables", TRAINJOB, (*TRAINER, "env"), [{"name": "PET_NNODES", "value": "2"}],
     (*TRAINER, "env", 0), "yours would win", "remove it"),
    ("003 name with @", TRAINJOB, ("metadata", "name"), "Alice@corp-job-1", ("metadata", "name"),
     "must be lower-case letters", "alice-corp-job-1"),
    ("003 name with a digit first", TRAINJOB, ("metadata", "name"), "123-job", ("metadata", "name"),
     "begin with a letter", "job-123-job"),
    ("003 long name", TRAINJOB, ("metadata", "name"), "u" * 49, ("metadata", "name"), "48 fit into 63", "u" * 48),
    ("003 requests above limits", TRAINJOB, (*TRAINER, "resourcesPerNode", "requests", "cpu"), "8",
     (*TRAINER, "resourcesPerNode", "requests", "cpu"), "more than its limit", "4"),
    ("003 half a GPU", TRAINJOB, (*TRAINER, "resourcesPerNode", "limits", "nvidia.com/gpu"), "0.5",
     (*TRAINER, "resourcesPerNode", "limits", "nvidia.com/gpu"), "no whole number", "1"),
    ("003 GPUs not equal", TRAINJOB, (*TRAINER, "resourcesPerNode", "limits", "nvidia.com/gpu"), "2",
     (*TRAINER, "resourcesPerNode", "requests", "nvidia.com/gpu"), "must be equal to its limit, 2", "2"),
    ("003 mounted twice", TRAINJOB, (*POD, "containers", 0, "volumeMounts"),
     [{"name": "train-script", "mountPath": "/a"}, {"name": "b", "mountPath": "/a"}],
     (*POD, "containers", 0, "volumeMounts", 1, "mountPath"), "/a is mounted twice", ""),
    ("003 variable with a digit first", TRAINJOB, (*TRAINER, "env"), [{"name": "1A", "value": "x"}],
     (*TRAINER, "env", 0, "name"), "no variable's name", ""),
    ("003 0755 as YAML 1.2 reads it", TRAINJOB, (*POD, "volumes", 0, "configMap", "defaultMode"), 755,
     (*POD, "volumes", 0, "configMap", "defaultMode"), "0755 is 493", "493"),
    ("003 fewer than no nodes", TRAINJOB, (*TRAINER, "numNodes"), -1, (*TRAINER, "numNodes"), "at least 1", "1"),
    ("003 code of more than a MiB", CONFIG, ("data", "train.py"), "한" * 400_000,
     ("data",), "has 1200000 bytes", "a volume"),
    ("003 code with a folder", CONFIG, ("data",), {"src/a.py": "x"}, ("data", "src/a.py"), "is no key", "src_a.py"),
    ("004 nvidia.com", PYTORCHJOB, LIMITS, {"nvidia.com": 8},
     (*LIMITS, "nvidia.com"), "is no resource", "nvidia.com/gpu"),
    ("004 restarts without end", PYTORCHJOB, ("spec", "elasticPolicy"), {"maxRestarts": -1},
     ("spec", "elasticPolicy", "maxRestarts"), "must be 0 or more", "100"),
    ("004 two counts of processes", PYTORCHJOB, ("spec",),
     {**PYTORCHJOB["spec"], "nprocPerNode": "8", "elasticPolicy": {"nProcPerNode": 8}},
     ("spec", "elasticPolicy", "nProcPerNode"), "together with spec.nprocPerNode", "remove it"),
    ("004 elastic without workers", PYTORCHJOB, ("spec",),
     {"elasticPolicy": {}, "pytorchReplicaSpecs": {"Master": REPLICA}},
     ("spec", "elasticPolicy"), "needs Worker", "Worker: {...}"),
    ("004 workers that find nobody", PYTORCHJOB, ("spec",),
     {"pytorchReplicaSpecs": {"Worker": {**REPLICA, "replicas": 2}}},
     ("spec", "pytorchReplicaSpecs"), "without Master and without elasticPolicy", "Master: {replicas: 1, ...}"),
    ("004 no template", PYTORCHJOB, WORKER, {"replicas": 4},
     (*WORKER, "template", "spec", "containers"), "must have a container called pytorch", "name: pytorch"),
    ("004 another container", PYTORCHJOB, (*CONTAINER, "name"), "trainer",
     (*WORKER, "template", "spec", "containers"), "must have a container called pytorch", "name: pytorch"),
    ("001 Master's 1 not written", PYTORCHJOB, ("spec", "pytorchReplicaSpecs", "Master"),
     {"template": REPLICA["template"]},
     ("spec", "pytorchReplicaSpecs", "Master", "replicas"), "must be written as 1", "1"),
    ("001 git clone github.com", PYTORCHJOB, (*CONTAINER, "command"), ["bash", "-c", CLONE],
     (*CONTAINER, "command"), "git takes that for a folder", "https://github.com/OWNER/REPOSITORY"),
    ("001 git clone without set -e", PYTORCHJOB, (*CONTAINER, "command"),
     ["/bin/bash", "-c", "git clone https://github.com/a/b /workspace/code\ncd /workspace/code\ntorchrun train.py\n"],
     (*CONTAINER, "command"), "has no `set -e` before git clone", "set -euo pipefail"),
    ("000 GIT_URL in the place of args.0", PYTORCHJOB, (*WORKER, "template", "spec", "containers"),
     [{"name": "pytorch", "image": "i", "command": ["/bin/bash", "-c"],
       "args": ["https://github.com/gnosia93/training-on-eks"]}],
     (*CONTAINER, "command"), "took the place of all of it", "pcinfra render --to kustomize"),
    ("000 bare envsubst", PYTORCHJOB, (*CONTAINER, "command"),
     ["bash", "-c", "torchrun --nnodes= --node-rank= --nproc-per-node=1 train.py"],
     (*CONTAINER, "command"), "--nnodes= has no value", "pcinfra k8s substitute"),
    ("004 rendezvous of another place", PYTORCHJOB, ("spec",),
     {**PYTORCHJOB["spec"], "elasticPolicy": {"minReplicas": 5, "maxReplicas": 5},
      "pytorchReplicaSpecs": {"Worker": {**REPLICA, "replicas": 4}}},
     (*WORKER, "replicas"), "4 is less than minReplicas, 5", "5"),
    ("001 --nnodes 2 for three pods", PYTORCHJOB, WORKER,
     {"replicas": 2, "template": {"spec": {"containers": [{"name": "pytorch", "image": "i", "args": [CLUSTERED]}]}}},
     (*CONTAINER, "command"), "--nnodes 2 is not the number of pods, which is 3", "without --nnodes"),
]  # fmt: skip


def put(value: dict[str, Any], path: Path, what: Any) -> dict[str, Any]:
    made = deepcopy(value)
    inner: Any = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = what
    return made


@pytest.mark.parametrize(
    ("title", "value", "path", "what", "place", "why", "hint"), MISTAKES, ids=[m[0] for m in MISTAKES]
)
def test_the_guides_mistakes_are_told(
    title: str, value: dict[str, Any], path: Path, what: Any, place: Path, why: str, hint: str
) -> None:
    found = [fault for fault in faults(put(value, path, what)) if fault.path == place]
    assert len(found) == 1, faults(put(value, path, what))
    assert why in found[0].why
    assert hint in found[0].hint
    assert found[0].source


@pytest.mark.parametrize("value", [TRAINJOB, PYTORCHJOB, CONFIG])
def test_without_them_there_is_nothing_to_say(value: dict[str, Any]) -> None:
    assert faults(value) == []


def test_the_error_says_what_the_cluster_would_do_later() -> None:
    with pytest.raises(UsageError) as caught:
        check(put(PYTORCHJOB, LIMITS, {"nvidia.com": 8}))
    assert "otherwise: it is created, and no pod of it ever starts" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_runtime_that_tells_no_node_of_the_others_is_told() -> None:
    (fault,) = faults(TRAINJOB, runtime=tensorflow_distributed(Dialect.V2_1))
    assert fault.why == "the runtime tensorflow-distributed has no mlPolicy.torch"
    assert "each trains alone" in fault.later
    assert faults(TRAINJOB, runtime=pytorch_simple(Dialect.V2_1)) == []


def test_jobs_and_containers_that_the_runtime_does_not_have_are_told() -> None:
    wrong = put(TRAINJOB, (*POD, "containers", 0, "name"), "trainer")
    (fault,) = faults(wrong, runtime=pytorch_simple(Dialect.V2_1))
    assert (fault.why, fault.hint) == (
        "the runtime pytorch-simple has no container 'trainer' in its job node",
        "one of node",
    )
    other = put(TRAINJOB, ("spec", "podTemplateOverrides", 0, "targetJobs"), [{"name": "worker"}])
    (fault,) = faults(other, runtime=pytorch_simple(Dialect.V2_1))
    assert fault.why == "the runtime pytorch-simple has no job 'worker'"


def test_a_runtime_that_would_train_anew_is_told() -> None:
    runtime = put(pytorch_simple(Dialect.V2_1), ("spec", "template", "spec", "ttlSecondsAfterFinished"), 60)
    (fault,) = faults(runtime)
    assert "trains anew" in fault.later


@crds.needed
def test_the_wrong_field_of_overrides_is_not_lost_in_silence() -> None:
    spec = {**TRAINJOB["spec"], "runtimePatches": TRAINJOB["spec"]["podTemplateOverrides"]}
    del spec["podTemplateOverrides"]
    (fault,) = faults({**TRAINJOB, "spec": spec}, crds.schemas("v2.1"))
    assert (fault.path, fault.hint) == (("spec", "runtimePatches"), "podTemplateOverrides")


@crds.needed
@pytest.mark.parametrize(("field", "near"), [("numNode", "numNodes"), ("comand", "command"), ("xyz", "")])
def test_a_misspelt_field_is_told(field: str, near: str) -> None:
    (fault,) = faults(put(TRAINJOB, (*TRAINER, field), 2), crds.schemas("v2.1"))
    assert (fault.path, fault.hint) == ((*TRAINER, field), near)
