"""`pcinfra render` and the commands of `pcinfra k8s` that need no cluster; examples in every form."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from pcinfra.cli.main import root
from pcinfra.errors import InputError, UsageError
from pcinfra.jobs.kubernetes import jobrules
from pcinfra.jobs.kubernetes.check import faults
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.migrate import migrate
from pcinfra.jobs.kubernetes.rbac import RIGHTS, manifests
from pcinfra.jobs.kubernetes.text import from_yaml
from pcinfra.jobs.load import load
from pcinfra.jobs.targets import REGISTRY
from tests.unit.jobs.kubernetes import crds

EXAMPLES = Path(__file__).parents[4] / "examples"
KINDS = {"pytorch-dist-job": ("trainjob", "pytorchjob"), "trainjob-pytorch": ("trainjob", "pytorchjob"),
         "trainjob-tensorflow": ("trainjob",), "elastic-train": ("trainjob", "pytorchjob"),
         "multi-node-train": ("trainjob", "pytorchjob"), "sweep": ("trainjob", "pytorchjob", "sbatch")}  # fmt: skip
GUIDE = """\
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: multi-node-train}
spec:
  pytorchReplicaSpecs:
    Worker:
      replicas: 2
      template:
        spec:
          containers:
          - name: pytorch
            image: your-training-image:latest
            command: [torchrun, --nproc_per_node=8, --nnodes, "2", --rdzv_backend=c10d, train.py, --your-arg=value]
            resources: {limits: {nvidia.com: 8}}
  elasticPolicy: {minReplicas: 2, maxReplicas: 2, rdzvBackend: c10d, maxRestarts: 3}
"""


def run(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(root, list(words), input=stdin)


@pytest.mark.parametrize("version", ["v2.0", "v2.1", "v2.2", "v2.3"])
@pytest.mark.parametrize(("name", "target"), [(name, target) for name, targets in KINDS.items() for target in targets])
def test_the_guides_examples_are_right_in_every_version(name: str, target: str, version: str) -> None:
    done = run("render", str(EXAMPLES / f"{name}.yaml"), "--to", target, "--trainer", version)
    assert done.exit_code == 0, done.output
    if target == "sbatch":
        return
    schemas = crds.schemas(version) if crds.FOLDER.is_dir() and version in crds.VERSIONS else None
    for each in from_yaml(done.stdout, "render"):
        assert faults(each, schemas) == []


def test_the_registry_is_what_the_command_offers() -> None:
    from pcinfra.cli.render import _TARGETS

    assert set(_TARGETS) == set(REGISTRY)
    for name, target in REGISTRY.items():
        assert target.about, name


def test_many_tasks_are_no_kustomize_tree() -> None:
    done = run("render", str(EXAMPLES / "sweep.yaml"), "--to", "kustomize")
    assert isinstance(done.exception, UsageError)
    assert "has 6 tasks" in str(done.exception)


def test_rendering_to_a_folder_writes_the_files(tmp_path: Path) -> None:
    done = run("render", str(EXAMPLES / "pytorch-dist-job.yaml"), "--to", "kustomize", "--out", str(tmp_path))
    assert done.exit_code == 0
    assert (tmp_path / "overlays" / "custom-url" / "params.env").exists()


def test_checking_says_everything_that_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(GUIDE)
    done = run("k8s", "check", str(file))
    assert isinstance(done.exception, UsageError)
    assert "nvidia.com: is no resource" in str(done.exception)
    fine = GUIDE.replace("nvidia.com: 8", "nvidia.com/gpu: 8")
    assert "1 objects checked" in run("k8s", "check", "-", stdin=fine).output


@pytest.mark.parametrize("dialect", Dialect)
def test_a_pytorchjob_becomes_a_trainjob_that_breaks_no_rule(dialect: Dialect) -> None:
    (job,) = from_yaml(GUIDE, "guide")
    made, notes, _ = migrate(job, dialect)
    assert faults(made) == []
    trainer = made["spec"]["trainer"]
    assert trainer["command"] == ["torchrun", "train.py", "--your-arg=value"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 8)
    assert trainer["resourcesPerNode"] == {"limits": {"nvidia.com/gpu": "8"}}
    assert any("elasticPolicy is lost" in note for note in notes)


def test_migration_takes_volumes_and_places_along_and_tells_what_is_lost() -> None:
    (job,) = from_yaml(GUIDE, "guide")
    pod = job["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]
    pod |= {"nodeSelector": {"a": "b"}, "volumes": [{"name": "v", "emptyDir": {}}], "initContainers": [{"name": "x"}]}
    pod["containers"][0] |= {"volumeMounts": [{"name": "v", "mountPath": "/v"}], "workingDir": "/w",
                             "env": [{"name": "A", "value": "1"}, {"name": "PET_X", "value": "1"}]}  # fmt: skip
    job["spec"]["runPolicy"] = {"backoffLimit": 3, "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 5}
    made, notes, _ = migrate(job, Dialect.V2_1)
    spec = made["spec"]["podTemplateOverrides"][0]["spec"]
    assert (spec["nodeSelector"], spec["containers"][0]["name"]) == ({"a": "b"}, "node")
    assert made["spec"]["trainer"]["env"] == [{"name": "A", "value": "1"}]
    for lost in ("initContainers", "workingDir", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        assert any(lost in note for note in notes), lost
    assert migrate(job, Dialect.V2_2).trainjob["spec"]["activeDeadlineSeconds"] == 60


@pytest.mark.parametrize("text", ["kind: TrainJob", "kind: PyTorchJob\nspec: {pytorchReplicaSpecs: {Worker: {}}}"])
def test_what_cannot_be_migrated_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        migrate(yaml.safe_load(text), Dialect.V2_1)


def test_the_role_is_in_one_namespace_and_small() -> None:
    role, binding, reader, everywhere = manifests("team-a", [{"kind": "User", "name": "alice"}])
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "team-a"
    verbs = {verb for rule in role["rules"] for verb in rule["verbs"]}
    assert "*" not in verbs
    assert {rule["verbs"][0] for rule in reader["rules"]} == {"get"}
    assert everywhere["roleRef"]["name"] == reader["metadata"]["name"]
    assert all(right.purpose for right in RIGHTS)


def test_rights_for_nobody_are_refused() -> None:
    assert isinstance(run("k8s", "rbac", "-n", "a").exception, UsageError)
    assert "ServiceAccount" in run("k8s", "rbac", "-n", "a", "--service-account", "b").output


@pytest.mark.parametrize("where", [("--on", "k8s:a"), ("--on", "k8s:a@prod"), ("--on", "eks:training:a"), ("-n", "a")])
def test_the_namespace_is_said_as_in_every_other_command(where: tuple[str, str]) -> None:
    done = run("k8s", "rbac", *where, "--user", "alice")
    assert done.exit_code == 0, done.exception
    assert {each["metadata"].get("namespace", "a") for each in from_yaml(done.stdout, "rbac")} == {"a"}


@pytest.mark.parametrize("where", ["k8s:A_b", "k8s:a@", "slurm:a"])
def test_a_place_that_is_none_is_refused(where: str) -> None:
    for words in (("rbac", "--user", "a"), ("can-i",), ("setup",), ("sweep",)):
        refused = run("k8s", *words, "--on", where).exception
        assert isinstance(refused, UsageError)
        assert "--on" in refused.where


def test_every_command_of_k8s_shows_an_example() -> None:
    group = root.get_command(click.Context(root), "k8s")
    assert isinstance(group, click.Group)
    commands = dict(group.commands)
    commands |= {f"params {name}": each for name, each in commands.pop("params").commands.items()}  # type: ignore[attr-defined]
    assert len(commands) >= 9
    for name, command in commands.items():
        assert f"pcinfra k8s {name}" in (command.help or ""), name


# What Kubernetes asks of a job file: text, then key and beginning of why.
BAD: list[tuple[str, list[tuple[str, str]]]] = [
    ("command: [a]", [("gpus", "is missing"), ("image", "is missing")]),
    ("image: /lustre/a.sqsh\ncommand: [a]\ncpus: 1", [("image", "is a file for Enroot")]),
    ("image: a/b\ncommand: [a]\ncpus: 2\nprocesses: 2", [("processes", "is not for srun")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nlauncher: mpi", [("launcher", "is for Slurm: the Trainer starts")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nlauncher: accelerate\nkubernetes: {framework: tensorflow}",
     [("launcher", "accelerate cannot start TensorFlow")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nlauncher: deepspeed\nkubernetes: {elastic: {min: 1, max: 1}}",
     [("kubernetes.elastic", "needs torchrun")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nenvironment: {PET_NNODES: '2'}", [("environment.PET_NNODES", "is set by")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\ndata: /lustre/x", [("data", "is on no volume")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\ncheckpoints: /c", [("checkpoints", "is on no volume")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nkubernetes: {volumes: [{path: /d}]}",
     [("kubernetes.volumes[0]", "must have one")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nkubernetes: {volumes: [{path: /d, claim: a, secret: b}]}",
     [("kubernetes.volumes[0]", "must have one source, and has claim and secret")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nkubernetes: {volumes: [{path: /d, claim: a}, {path: /d/, claim: b}]}",
     [("kubernetes.volumes[1].path", "is a second volume at /d")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nkubernetes: {volumes: [{path: /dev/shm, claim: a}]}",
     [("kubernetes.volumes[0].path", "/dev/shm is taken")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nkubernetes: {volumes: [{path: /x/../pcinfra/job, claim: a}]}",
     [("kubernetes.volumes[0].path", "/pcinfra/job is taken")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nkubernetes: {volumes: [{path: /d, claim: a}, {path: //d/./, claim: b}]}",
     [("kubernetes.volumes[1].path", "is a second volume at /d")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nkubernetes: {devices: {nvidia.com: 8}}",
     [("kubernetes.devices.nvidia.com", "is not the name of a device")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nnodes: 3\nlauncher: torchrun\nkubernetes: {elastic: {min: 1, max: 2}}",
     [("kubernetes.elastic", "must have nodes (3) between")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nkubernetes: {kind: TrainJob, elastic: {min: 1, max: 2}}",
     [("kubernetes.elastic", "is for a PyTorchJob"), ("kubernetes.elastic", "needs torchrun")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nkubernetes: {namespace: A_B}",
     [("kubernetes.namespace", "must be at most 63")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\narray: {tasks: 3, at_once: 2}", [("array.at_once", "is for Slurm")]),
    ("image: a/b\ncommand: [a]\ngpus: 1\nhealth: quick", [("health", "is for Slurm")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\narray: {tasks: 201}", [("array.tasks", "makes 201 tasks")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nafter: [{run: other-1}]", [("after", "is for Slurm")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nsecrets: {T: 'ssm:/a', K: 'k8s:a#b'}",
     [("secrets.T", "is fetched by the pods, and nothing says with which role")]),
    ("image: a/b\ncommand: [a]\ncpus: 1\nsecrets: {T: 'k8s:A_b#c'}", [("secrets.T", "must name a secret")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD, ids=[text[-40:] for text, _ in BAD])
def test_a_job_file_that_cannot_run_on_kubernetes(text: str, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load(file, rules=[jobrules.findings])
    found = [(problem.key, problem.why) for problem in caught.value.problems]
    assert sorted(key for key, _ in found) == sorted(key for key, _ in expected), found
    for key, why in expected:
        assert any(k == key and w.startswith(why) for k, w in found), found
