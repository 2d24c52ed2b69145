"""Every mistake of the guide's Kubernetes pages has an error of ours that says what is wrong and what to write.

By number of the guide's document and name of the mistake. docs/from-the-guide.md tells them to who comes from the
guide, in the words that these tests see.
"""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path as Path_
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pcinfra.cli.main import root
from pcinfra.errors import UsageError
from pcinfra.jobs.kubernetes import prepare, rbac
from pcinfra.jobs.kubernetes.check import check, faults
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.render.runtimes import pytorch_simple, tensorflow_distributed
from pcinfra.jobs.kubernetes.schema.admission import dotted
from tests.unit.jobs.kubernetes import crds, guide
from tests.unit.jobs.kubernetes.jobs import ELASTIC, job

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

NO_TORCH: dict[str, Any] = tensorflow_distributed(Dialect.V2_1)
NO_TORCH["metadata"]["name"] = "no-torch"
ALONE = {**TRAINJOB, "spec": {**TRAINJOB["spec"], "runtimeRef": {"name": "no-torch"}}}
ROLE: dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "trainjob-backend-role"},
    "rules": [
        {"apiGroups": [""], "resources": ["configmaps", "pods", "pods/log"],
         "verbs": ["create", "get", "list", "update", "patch", "delete"]},
        {"apiGroups": ["trainer.kubeflow.org"], "resources": ["trainjobs"],
         "verbs": ["create", "get", "list", "update", "patch", "delete", "watch"]},
    ],
}  # fmt: skip
_ARGS = "spec.pytorchReplicaSpecs.Worker.template.spec.containers.0.args.0"
OVERLAY: dict[str, Any] = {
    "resources": ["../../base"],
    "configMapGenerator": [{"name": "job-params", "literals": ["GIT_URL=https://a/b", "INSTANCE_TYPE=p4d.24xlarge"]}],
    "replacements": [
        {
            "source": {"kind": "ConfigMap", "name": "job-params", "fieldPath": "data.GIT_URL"},
            "targets": [{"select": {"kind": "PyTorchJob"}, "fieldPaths": [_ARGS]}],
        }
    ],
}

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
    ("003 runtime that tells no node of the others", {"kind": "List", "items": [NO_TORCH, ALONE]}, (), None,
     ("spec", "runtimeRef", "name"), "the runtime no-torch has no mlPolicy.torch", "pytorch-simple"),
    ("003 role that is too wide", ROLE, (), None, ("rules", 0),
     "may create, update, patch, delete configmaps and pods in every namespace, kube-system too",
     "pcinfra k8s rbac --on k8s:NAMESPACE"),
    ("003 role that lacks rights", ROLE, (), None, ("rules",), "list events (why a run does not start)",
     "pcinfra k8s rbac --on k8s:NAMESPACE"),
    ("003 JobSet that is removed by itself", pytorch_simple(Dialect.V2_1),
     ("spec", "template", "spec", "ttlSecondsAfterFinished"), 60,
     ("spec", "template", "spec", "ttlSecondsAfterFinished"), "must not be set: pcinfra k8s sweep", ""),
    ("004 nvidia.com", PYTORCHJOB, LIMITS, {"nvidia.com": 8},
     (*LIMITS, "nvidia.com"), "is no resource", "nvidia.com/gpu"),
    ("004 restarts without end", PYTORCHJOB, ("spec", "elasticPolicy"), {"maxRestarts": -1},
     ("spec", "elasticPolicy", "maxRestarts"), "must be 0 or more", "100"),
    ("004 max_restarts of -1", PYTORCHJOB, (*CONTAINER, "command"), ["torchrun", "--max_restarts=-1", "train.py"],
     (*CONTAINER, "command"), "--max-restarts -1 is not without end", "100"),
    ("004 rendezvous at a fixed address", PYTORCHJOB, (*CONTAINER, "command"),
     ["torchrun", "--nnodes=2", "--rdzv_endpoint=10.0.0.1:2379", "train.py"],
     (*CONTAINER, "command"), "10.0.0.1:2379 is the address of one machine", "without the flag"),
    ("004 processes as a number", PYTORCHJOB, ("spec", "nprocPerNode"), 8, ("spec", "nprocPerNode"), "must be text",
     '"8"'),
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
    ("000 args.0 in a replacement", OVERLAY, (), None, ("replacements", 0, "targets", 0, "fieldPaths", 0),
     "GIT_URL takes the place of args.0: of the whole script", "pcinfra render JOB.yaml --to kustomize"),
    ("000 parameter that nobody reads", OVERLAY, (), None, ("configMapGenerator", 0, "literals", 1),
     "INSTANCE_TYPE is used by no replacement", "a replacement for it"),
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


DOCS = (Path_(__file__).parents[4] / "docs" / "from-the-guide.md").read_text(encoding="utf-8")


def put(value: dict[str, Any], path: Path, what: Any) -> dict[str, Any]:
    made = deepcopy(value)
    if not path:
        return made
    inner: Any = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = what
    return made


def checked(*values: dict[str, Any]) -> list[str]:
    """Return what `pcinfra k8s check` has against ``values``: one text for each fault, as it is printed."""
    done = CliRunner().invoke(root, ["k8s", "check", "-"], input=yaml.safe_dump_all(values, allow_unicode=True))
    if done.exit_code == 0:
        assert "nothing found" in done.output
        return []
    assert isinstance(done.exception, UsageError)
    assert done.exception.exit_code == 2
    blocks = re.split(r"\n {2}(?=\S)", str(done.exception))
    return [block for block in blocks if "cannot run:" not in block]


@pytest.mark.parametrize(
    ("title", "value", "path", "what", "place", "why", "hint"), MISTAKES, ids=[m[0] for m in MISTAKES]
)
def test_the_guides_mistakes_are_told(
    title: str, value: dict[str, Any], path: Path, what: Any, place: Path, why: str, hint: str
) -> None:
    found = [block for block in checked(put(value, path, what)) if block.startswith(f"{dotted(place)}: ")]
    assert len(found) == 1, checked(put(value, path, what))
    assert why in found[0]
    assert not hint or f"try: {hint}" in found[0] or hint in found[0].partition("try: ")[2]
    assert why in DOCS, "docs/from-the-guide.md tells every mistake and what is said of it"


# The guide's objects as they stand, by document and name, and all that is said of each.
AS_THEY_STAND: dict[str, tuple[str, ...]] = {
    "001 pytorch-dist-job": ("git takes that for a folder", "has no `set -e` before git clone"),
    "004 multi-node-train": ("nvidia.com: is no resource",),
    "004 elastic-train": ("must have a container called pytorch",),
    "003 user-job-12345": ("takes no env here", "one GPU of each node would work"),
    "003 user-job-12345 1": ("takes no env here",),
    "003 trainjob-backend-role": ("kube-system too", "list events"),
}


@guide.needed
def test_the_guides_objects_are_refused_as_they_stand() -> None:
    kinds = ("PyTorchJob", "TrainJob", "ClusterRole")
    there = {name: each for kind in kinds for name, each in guide.objects(kind).items()}
    assert set(there) == set(AS_THEY_STAND)
    for name, whys in AS_THEY_STAND.items():
        said = "\n".join(checked(there[name]))
        for why in whys:
            assert why in said, (name, said)


@guide.needed
def test_the_guides_overlay_is_refused_as_it_stands_and_its_parameters_can_be_set(tmp_path: Path_) -> None:
    """By `k8s params set`, where the guide's `kustomize edit add configmap-item` does not exist."""
    overlay = next(text for text in guide.blocks("000") if "configMapGenerator" in text)
    file = tmp_path / "kustomization.yaml"
    file.write_text(overlay, encoding="utf-8")
    run = CliRunner()
    refused = run.invoke(root, ["k8s", "check", str(file)])
    assert isinstance(refused.exception, UsageError)
    for why in ("GIT_URL takes the place of args.0", "INSTANCE_TYPE is used by no replacement"):
        assert why in str(refused.exception)
    words = ["k8s", "params", "set", "NUM_WORKERS=5", "INSTANCE_TYPE=g5.48xlarge", "--dir", str(tmp_path)]
    assert run.invoke(root, words).exit_code == 0
    literals = yaml.safe_load(file.read_text(encoding="utf-8"))["configMapGenerator"][0]["literals"]
    assert literals[1:] == ["NUM_WORKERS=5", "INSTANCE_TYPE=g5.48xlarge"]


@pytest.mark.parametrize("value", [TRAINJOB, PYTORCHJOB, CONFIG, *rbac.manifests("team-a", [])])
def test_without_them_there_is_nothing_to_say(value: dict[str, Any]) -> None:
    assert checked(value) == []


def test_that_any_pod_may_die_is_not_so_and_noted() -> None:
    """The rendezvous of all is in worker 0, and without requeue no pod comes back."""
    (note,) = prepare.render(job(ELASTIC, requeue=0, restarts=0), "PyTorchJob").notes
    assert "worker 0 keeps the rendezvous of all" in note
    assert not [note for note in prepare.render(job(ELASTIC), "PyTorchJob").notes if "rendezvous" in note]


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
