"""Rendering: golden for every version, right by every rule and schema, and no text of the user's is changed."""

from __future__ import annotations

import hashlib
import json
import os
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.errors import UsageError
from pcinfra.jobs.kubernetes import naming, prepare
from pcinfra.jobs.kubernetes.check import faults
from pcinfra.jobs.kubernetes.dialect import Dialect, dialect_of
from pcinfra.jobs.kubernetes.render import files, pytorchjob, runtimes, trainjob, volumes
from pcinfra.jobs.kubernetes.render.expansion import expanded, literal
from pcinfra.jobs.kubernetes.render.model import Bucket, Object
from pcinfra.jobs.kubernetes.settings import Kind
from pcinfra.jobs.kubernetes.text import from_yaml, to_yaml
from pcinfra.jobs.manifest import File
from tests.unit.jobs.kubernetes import crds
from tests.unit.jobs.kubernetes.jobs import ELASTIC, FETCHING, FULL, JOBS, PLAIN, SWEEP, TENSORFLOW, job, spec

GOLDEN = Path(__file__).parents[3] / "golden" / "kubernetes"
KINDS: tuple[Kind, ...] = ("TrainJob", "PyTorchJob")
VERSIONS = {"v2.1": Dialect.V2_1, "v2.3": Dialect.V2_2}


def golden(name: str, text: str) -> None:
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def without_pull_secrets(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a job file that Trainer v2.0 can run as it is: its overrides have no imagePullSecrets."""
    settings = {key: value for key, value in fields.get("kubernetes", {}).items() if key != "pull_secrets"}
    return {**fields, "kubernetes": settings}


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("name", ["full", "plain", "tensorflow"])
def test_a_trainjob_is_golden_and_breaks_no_rule(name: str, dialect: Dialect) -> None:
    fields = without_pull_secrets(JOBS[name]) if dialect is Dialect.V2_0 else JOBS[name]
    rendered = trainjob.render(job(fields), dialect)
    runtime = runtimes.RUNTIMES[job(JOBS[name]).settings.runtime_name](dialect)
    for each in rendered.objects:
        assert faults(each, runtime=runtime) == []
    golden(f"trainjob-{name}-{dialect}", to_yaml(rendered.objects))


@pytest.mark.parametrize("name", ["full", "plain", "elastic"])
def test_a_pytorchjob_is_golden_and_breaks_no_rule(name: str) -> None:
    rendered = pytorchjob.render(job(JOBS[name]))
    for each in rendered.objects:
        assert faults(each) == []
    golden(f"pytorchjob-{name}", to_yaml(rendered.objects))


def shortened(objects: tuple[Object, ...]) -> str:
    """Return the objects as YAML; the script that fetches is a file of its own."""
    made = deepcopy(objects)
    for each in made:
        if "fetch.py" in each.get("data", {}):
            assert each["data"]["fetch.py"] == (Path(files.__file__).parent / "fetch.py").read_text()
            each["data"]["fetch.py"] = "..."
    return to_yaml(made)


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("name", ["fetching", "sweep", "accelerate", "deepspeed"])
def test_what_is_more_than_a_job_is_golden_and_breaks_no_rule(name: str, dialect: Dialect) -> None:
    for kind in KINDS:
        rendered = prepare.render(job(JOBS[name]), kind, dialect)
        for each in rendered.objects:
            assert faults(each) == []
        golden(f"{kind.lower()}-{name}" + ("" if kind == "PyTorchJob" else f"-{dialect}"), shortened(rendered.objects))


def test_every_task_has_its_values_and_no_two_share_a_name_or_a_checkpoint() -> None:
    rendered = prepare.render(job(SWEEP), "TrainJob", Dialect.V2_1)
    assert [each["metadata"]["name"] for each in rendered.jobs] == [f"{job(SWEEP).run}-{task}" for task in range(6)]
    seen = []
    for each in rendered.jobs:
        env = {variable["name"]: expanded(variable["value"], {}) for variable in each["spec"]["trainer"]["env"]}
        assert env["PCINFRA_RUN"] == job(SWEEP).run
        assert env["PCINFRA_CHECKPOINTS"] == f"/lustre/sweep/{env['PCINFRA_TASK']}"
        assert each["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
        seen.append((env["LEARNING_RATE"], env["SEED"], env["PCINFRA_TASKS"]))
    assert seen == [(rate, seed, "6") for rate in ("0.1", "$(id)") for seed in ("1", "2", "3")]  # as on Slurm
    (config,) = rendered.objects[6:]
    assert "pcinfra.dev/task" not in config["metadata"]["labels"]


@given(st.text(max_size=80), st.sampled_from(["TrainJob", "PyTorchJob"]), st.integers(1, 200))
def test_the_names_of_tasks_fit_too(name: str, kind: str, tasks: int) -> None:
    run = naming.run_id(name, kind, 10, tasks)
    assert len(f"{run}-{tasks - 1}") <= naming.longest(kind, 10)


def test_no_value_of_a_secret_and_no_key_of_it_is_in_the_wrong_place() -> None:
    rendered = trainjob.render(job(FETCHING), Dialect.V2_2)
    env = {each["name"]: each for each in rendered.job["spec"]["trainer"]["env"]}
    assert env["WANDB_API_KEY"]["valueFrom"] == {"secretKeyRef": {"name": "wandb", "key": "api-key"}}
    assert "HF_TOKEN" not in env
    wanted = json.loads(rendered.objects[1]["data"]["fetch.json"])
    assert [each["variable"] for each in wanted["secrets"]] == ["HF_TOKEN", "KEY"]
    assert wanted["secrets"][1]["region"] == "eu-west-1"
    assert "region" not in wanted
    told = trainjob.render(replace(job(FETCHING), region="eu-north-1"), Dialect.V2_2)
    assert json.loads(told.objects[1]["data"]["fetch.json"])["region"] == "eu-north-1"
    only = job(PLAIN, secrets={"A": "k8s:a#b"})
    assert len(trainjob.render(only, Dialect.V2_1).objects) == 1  # kubelet does it alone


def test_large_code_lies_in_the_bucket_and_small_code_does_not() -> None:
    bucket = Bucket("bucket", "us-east-1", "pcinfra/code/uid/")
    small = replace(job(FETCHING), bucket=bucket)
    assert trainjob.render(small, Dialect.V2_1).archive == b""
    large = replace(small, code=os.urandom(1_048_577))
    rendered = trainjob.render(large, Dialect.V2_1)
    assert rendered.archive == large.code
    address = f"s3://bucket/pcinfra/code/uid/{large.run}.tar.gz"
    assert rendered.job["metadata"]["annotations"]["pcinfra.dev/code"] == address
    wanted = json.loads(rendered.objects[1]["data"]["fetch.json"])["code"]
    assert wanted["sha256"] == hashlib.sha256(large.code).hexdigest()
    assert [file.name for file in rendered.manifest(large.run).files][2:] == ["code.tar.gz"]
    nobody = replace(large, spec=spec(PLAIN, code={}))
    with pytest.raises(UsageError, match="nothing says with which role"):
        trainjob.render(nobody, Dialect.V2_1)


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("name", runtimes.RUNTIMES)
def test_a_runtime_is_golden_and_breaks_no_rule(name: str, dialect: Dialect) -> None:
    runtime = runtimes.RUNTIMES[name](dialect)
    assert faults(runtime) == []
    golden(f"runtime-{name}-{dialect}", to_yaml([runtime]))


@crds.needed
@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_take_everything_rendered(version: str) -> None:
    schemas, dialect = crds.schemas(version), VERSIONS[version]
    assert dialect_of(schemas.resources["TrainJob"].root) is dialect is schemas.dialect
    for fields in JOBS.values():
        for each in (trainjob.render(job(fields), dialect).job, pytorchjob.render(job(fields)).job):
            assert faults(each, schemas) == []
    for make in runtimes.RUNTIMES.values():
        assert faults(make(dialect), schemas) == []


@crds.needed
def test_a_trainjob_for_another_version_is_refused_with_the_field_to_use() -> None:
    found = faults(trainjob.render(job(FULL), Dialect.V2_1).job, crds.schemas("v2.3"))
    (override,) = [fault for fault in found if fault.path == ("spec", "podTemplateOverrides")]
    assert override.why == "is Trainer v2.1's, and v2.2 is installed"
    assert override.hint == "runtimePatches"
    assert "drops it without a word" in override.later


def test_torchrun_has_no_flag_that_the_operator_should_set() -> None:
    words = trainjob.render(job(PLAIN, launcher="torchrun"), Dialect.V2_1).job["spec"]["trainer"]["command"]
    assert words == ["torchrun", "--no-python", "python3", "-c", "print(1)"]
    elastic = pytorchjob.render(job(ELASTIC)).job["spec"]
    assert elastic["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]["command"] == [
        "torchrun",
        "train.py",
    ]
    assert elastic["elasticPolicy"]["maxRestarts"] == 3


def test_every_gpu_gets_a_process_in_every_version() -> None:
    for dialect in Dialect:
        assert trainjob.render(job(FULL), dialect).job["spec"]["trainer"]["numProcPerNode"] == 8
    assert pytorchjob.render(job(FULL)).job["spec"]["nprocPerNode"] == "8"


def test_the_time_limit_holds_in_every_version_with_the_grace_period_in_it() -> None:
    new = trainjob.render(job(FULL), Dialect.V2_2).job["spec"]
    assert new["activeDeadlineSeconds"] == 7200 - 300
    old = trainjob.render(job(FULL), Dialect.V2_1)
    assert old.job["spec"]["trainer"]["command"][:3] == ["timeout", "--kill-after=300", "6900"]
    assert any("no deadline" in note for note in old.notes)


def test_a_pytorchjob_of_one_node_has_a_master_only() -> None:
    assert list(pytorchjob.render(job(PLAIN)).job["spec"]["pytorchReplicaSpecs"]) == ["Master"]


def test_tensorflow_is_no_pytorchjob() -> None:
    with pytest.raises(UsageError, match="cannot be a PyTorchJob"):
        prepare.render(job(TENSORFLOW), "PyTorchJob")


def test_lustre_becomes_a_volume_and_its_claim() -> None:
    lustre = {"file_system": "fs-0123456789abcdef0", "dns_name": "fs.example.com", "mount_name": "abcdefgh"}
    fields = {**PLAIN, "kubernetes": {"namespace": "a", "volumes": [{"path": "/lustre", "lustre": lustre}]}}
    volume, claim = volumes.render(job(fields)).objects
    assert volume["spec"]["csi"]["volumeHandle"] == claim["metadata"]["name"] == "fs-0123456789abcdef0"
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    spec = trainjob.render(job(fields), Dialect.V2_1).job["spec"]["podTemplateOverrides"][0]["spec"]
    assert spec["volumes"][0]["persistentVolumeClaim"]["claimName"] == "fs-0123456789abcdef0"


def test_code_that_does_not_fit_is_refused() -> None:
    large = replace(job(PLAIN, code={}), code=os.urandom(1_048_577))
    with pytest.raises(UsageError, match="a ConfigMap holds 1048576"):
        trainjob.render(large, Dialect.V2_1)


def test_a_script_that_is_no_text_travels_too() -> None:
    config = trainjob.render(replace(job(FULL), script=b"\xff\x00"), Dialect.V2_1).objects[1]
    assert "script" in config["binaryData"]
    assert config["immutable"] is True


def test_a_manifest_carries_the_objects() -> None:
    rendered = trainjob.render(job(FULL), Dialect.V2_1)
    files = rendered.manifest("train-1").files
    assert [file.name for file in files] == ["trainjob.json", "configmap.json"]
    assert all(isinstance(file, File) for file in files)


ANYTHING = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60)
HOSTILE = st.lists(st.sampled_from(["$", "$$", "$(", ")", "(", "A", "$(A)", "${A}", "\n", "한"]), max_size=8).map(
    "".join
)


@given(HOSTILE | ANYTHING)
def test_kubelet_gives_back_what_was_meant(text: str) -> None:
    assert expanded(literal(text), {"A": "wrong", "": "wrong", "PET_NNODES": "2"}) == text


@given(st.lists(HOSTILE | ANYTHING | st.from_regex(r"[-+.0-9eExoOn_:~]{1,8}", fullmatch=True), max_size=5))
def test_yaml_gives_back_what_was_meant(texts: list[str]) -> None:
    value = {"kind": "X", "values": texts}
    assert from_yaml(to_yaml([value]), "x") == [value]


@pytest.mark.parametrize(
    "text", ["1e3", "0o17", "0755", "yes", "Off", "~", "1_000", "12:30", "0x1f", ".5", "null", "-"]
)
def test_texts_that_a_reader_of_yaml_could_take_for_numbers_are_quoted(text: str) -> None:
    assert to_yaml([{"a": text}]) == f'a: "{text}"\n'


@given(st.text(max_size=80), st.sampled_from(["TrainJob", "PyTorchJob"]), st.integers(1, 10_000))
def test_a_run_id_is_a_name_that_every_pod_can_bear(name: str, kind: str, nodes: int) -> None:
    run = naming.run_id(name, kind, nodes)
    assert naming.JOB.fullmatch(run)
    longest = f"{run}-node-0-{nodes - 1}-abcde" if kind == "TrainJob" else f"{run}-worker-{nodes - 1}"
    assert len(longest) <= 63


@pytest.mark.parametrize(
    ("kind", "nodes", "initializer", "room"),
    [("TrainJob", 2, False, 48), ("TrainJob", 10, False, 48), ("TrainJob", 100, False, 47),
     ("TrainJob", 1000, False, 46), ("TrainJob", 1, True, 33), ("PyTorchJob", 4, False, 53)],
)  # fmt: skip
def test_the_room_for_a_name(kind: str, nodes: int, initializer: bool, room: int) -> None:
    assert naming.longest(kind, nodes, initializer=initializer) == room


def _paths(value: Any) -> list[str]:
    return [mount["mountPath"] for mount in value]


def test_mounts_lie_on_the_volume_that_holds_them() -> None:
    worker = pytorchjob.render(job(FULL)).job["spec"]["pytorchReplicaSpecs"]["Worker"]
    container = worker["template"]["spec"]["containers"][0]
    assert _paths(container["volumeMounts"]) == ["/lustre", "/scratch", "/dev/shm", "/models", "/pcinfra/job"]
    models = container["volumeMounts"][3]
    assert models == {"name": "mount-0", "mountPath": "/models", "readOnly": True, "subPath": "models"}


@pytest.mark.parametrize(("changes", "limit"), [({}, 0), ({"requeue": 1}, 5), ({"requeue": 3}, 13)])
def test_the_backoff_limit_lets_all_pods_come_back_as_often_as_asked(changes: dict[str, Any], limit: int) -> None:
    """The operator gives up when the restarts of all pods together reach it; without requeue pods never restart."""
    made = pytorchjob.render(job(PLAIN, nodes=4, **changes)).job["spec"]
    assert made["runPolicy"]["backoffLimit"] == limit
    policies = {replica["restartPolicy"] for replica in made["pytorchReplicaSpecs"].values()}
    assert policies == {"OnFailure" if limit else "Never"}


def test_what_trainer_v2_0_would_drop_in_silence_is_told() -> None:
    made = trainjob.render(job(FULL), Dialect.V2_0).job
    (fault,) = faults(made)
    assert fault.path == ("spec", "podSpecOverrides", 0, "imagePullSecrets")
    assert "the service account" in fault.hint
    assert "without it" in fault.later
    made["spec"]["podSpecOverrides"] = [{"targetJobs": [{"name": "node"}], "affinity": {}, "spec": {"volumes": []}}]
    assert [fault.path[-1] for fault in faults(made)] == ["affinity", "spec"]
