"""`pcinfra k8s migrate`: what a PyTorchJob's processes were told, a TrainJob's are told too, or the reader is."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from pcinfra.cli.main import root
from pcinfra.errors import UsageError
from tests.unit.jobs.kubernetes import crds, guide

ALONE = "EACH NODE WOULD TRAIN ALONE"
Words = list[str]


def pytorchjob(command: Words, args: Words, workers: int = 1, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "pytorch", "image": "i", "resources": {"limits": {"nvidia.com/gpu": 8}}}
    container |= {"command": command} if command else {}
    container |= {"args": args} if args else {}
    template = {"metadata": {"annotations": {"sidecar.istio.io/inject": "false"}}, "spec": {"containers": [container]}}
    replicas = {"Master": {"replicas": 1, "template": template}}
    replicas |= {"Worker": {"replicas": workers, "template": template}} if workers else {}
    return {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "job"},
            "spec": {"pytorchReplicaSpecs": replicas, **spec}}  # fmt: skip


def migrate(job: dict[str, Any], version: str = "v2.3") -> Result:
    text = yaml.safe_dump(job)
    return CliRunner().invoke(root, ["k8s", "migrate", "-", "--trainer", version], input=text)


def trainer(job: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the trainer of the TrainJob that is printed, and what is said besides."""
    done = migrate(job)
    assert done.exit_code == 0, done.exception
    made = yaml.safe_load(done.stdout)["spec"]["trainer"]
    assert isinstance(made, dict)
    return made, done.stderr


SCRIPT = "set -e\npip install x && cd /w\nexec /usr/bin/python3 -u train.py --lr=1\n"
# Command and args of the PyTorchJob; those of the TrainJob, and its processes in each pod.
STARTED: list[tuple[Words, Words, Words, Words, int]] = [
    (["python", "train.py", "--lr=1"], [], ["torchrun", "train.py", "--lr=1"], [], 1),
    (["python3", "-u", "-m", "pkg.train"], ["--lr=1"], ["torchrun", "-m", "pkg.train", "--lr=1"], [], 1),
    (["/bin/bash", "-c"], [SCRIPT], ["/bin/bash", "-c"], [SCRIPT.replace("/usr/bin/python3 -u", "torchrun")], 1),
    (["sh", "-ec", "A=1 python train.py"], [], ["sh", "-ec", "A=1 torchrun train.py"], [], 1),
    ([], ["python", "train.py"], [], ["torchrun", "train.py"], 1),
    (["torchrun", "--nnodes", "2", "--nproc_per_node=4", "train.py"], [], ["torchrun", "train.py"], [], 4),
    (["torchrun"], ["--nnodes=2", "--node_rank=$(RANK)", "train.py"], ["torchrun"], ["train.py"], 8),
    (["torchrun", "--standalone", "train.py"], [], ["torchrun", "train.py"], [], 8),
    (["bash", "-c", "torchrun --nnodes=$WORLD_SIZE --node-rank $RANK --master_addr=$MASTER_ADDR t.py"], [],
     ["bash", "-c", "torchrun t.py"], [], 8),
    (["python", "-m", "torch.distributed.run", "--nnodes=2", "t.py"], [],
     ["python", "-m", "torch.distributed.run", "t.py"], [], 8),
]  # fmt: skip


@pytest.mark.parametrize(("command", "args", "words", "rest", "processes"), STARTED, ids=[str(s[:2]) for s in STARTED])
def test_every_process_is_told_of_the_others(
    command: Words, args: Words, words: Words, rest: Words, processes: int
) -> None:
    made, said = trainer(pytorchjob(command, args))
    assert (made.get("command", []), made.get("args", [])) == (words, rest)
    assert (made["numNodes"], made["numProcPerNode"]) == (2, processes)
    assert "warning" not in said
    assert "torchrun" in said


# What nobody can change safely: the command, and what is said of it.
UNKNOWN: list[tuple[Words, str]] = [
    (["accelerate", "launch", "train.py"], "Write launcher: accelerate in a job file"),
    (["mpirun", "train"], "mpirun is told of the other nodes by nobody"),
    (["/opt/train"], "what /opt/train starts is not known here"),
    ([], "it has no command"),
    (["bash", "-c", "python prepare.py\npython train.py"], "starts several Python programs"),
    (["bash", "-c", "for i in 1 2; do train; done"], "what bash starts is not known here"),
]


@pytest.mark.parametrize(("command", "why"), UNKNOWN, ids=[str(each[0]) for each in UNKNOWN])
def test_what_would_train_alone_on_each_node_is_told(command: Words, why: str) -> None:
    made, said = trainer(pytorchjob(command, []))
    assert made.get("command", []) == command
    assert ALONE in said
    assert why in said
    assert ALONE not in trainer(pytorchjob(command, [], workers=0))[1]  # one node has nobody to miss


def test_a_script_that_reads_what_no_trainjob_has_is_told() -> None:
    _, said = trainer(pytorchjob(["bash", "-c", 'echo "$RANK of ${WORLD_SIZE}"\npython train.py'], []))
    assert "its script reads RANK, WORLD_SIZE" in said


def test_what_stays_behind_is_named_and_the_rest_goes_along() -> None:
    job = pytorchjob(["torchrun", "train.py"], [])
    pod = job["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]
    pod |= {"hostNetwork": True, "serviceAccountName": "trainer"}
    pod["containers"][0] |= {"envFrom": [{"secretRef": {"name": "a"}}], "securityContext": {"privileged": True}}
    pod["containers"].append({"name": "proxy", "image": "i"})
    for version in ("v2.0", "v2.1", "v2.3"):
        done = migrate(job, version)
        assert done.exit_code == 0, done.exception
        for lost in ("spec.hostNetwork", "containers[pytorch].envFrom", "securityContext", "the containers proxy"):
            assert lost in done.stderr
        assert "serviceAccountName: trainer" in done.stdout
        assert "sidecar.istio.io/inject" in done.stdout


# Every PyTorchJob of the guide: what keeps it from running as it stands, and the commands of the TrainJob once it is
# mended, which are torchrun's.
GUIDE: dict[str, tuple[str, tuple[tuple[str, str], ...], str]] = {
    "001 pytorch-dist-job": (
        "git takes that for a folder of the container",
        (("git clone github.com", "set -e\ngit clone https://github.com/a/b"),),
        "torchrun /workspace/code/training.py",
    ),
    "004 multi-node-train": ("", (), "torchrun"),
    "004 elastic-train": ("has no container called pytorch", (), ""),
}


@guide.needed
def test_every_pytorchjob_of_the_guide_is_known_here() -> None:
    assert set(guide.objects("PyTorchJob")) == set(GUIDE)


@guide.needed
@pytest.mark.parametrize("version", ["v2.0", "v2.1", "v2.3"])
@pytest.mark.parametrize("name", GUIDE)
def test_the_guides_pytorchjobs_are_migrated_or_refused_with_what_to_mend(name: str, version: str) -> None:
    job, (why, mended, words) = guide.objects("PyTorchJob")[name], GUIDE[name]
    if why:
        refused = migrate(job, version).exception
        assert isinstance(refused, UsageError)
        assert why in str(refused)
    if not words:
        return
    for old, new in mended:
        for replica in job["spec"]["pytorchReplicaSpecs"].values():
            container = replica["template"]["spec"]["containers"][0]
            container["args"] = [arg.replace(old, new) for arg in container["args"]]
    done = migrate(job, version)
    assert done.exit_code == 0, done.exception
    assert "warning" not in done.stderr
    made = yaml.safe_load(done.stdout)
    trainer = made["spec"]["trainer"]
    assert words in " ".join([*trainer.get("command", []), *trainer.get("args", [])])
    assert trainer["numNodes"] == 2
    if version in crds.VERSIONS and crds.FOLDER.is_dir():
        assert CliRunner().invoke(root, ["k8s", "check", "-"], input=done.stdout).exit_code == 0
