"""What reaches torchrun and the command in each pod, under the variables that each operator sets."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.render import files, pytorchjob, runtimes, trainjob
from pcinfra.jobs.kubernetes.render.expansion import expanded
from pcinfra.jobs.kubernetes.render.model import ARCHIVE
from tests.unit.jobs.kubernetes.jobs import ELASTIC, FULL, JOBS, PLAIN, job
from tests.unit.jobs.kubernetes.operator import moved, pytorchjob_pod, run, trainjob_pod

TORCHRUN = '#!/bin/sh\nprintf "%s\\n" "$@"\nenv | grep ^PET_ | sort\n'


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    (tmp_path / "torchrun").write_text(TORCHRUN)
    (tmp_path / "torchrun").chmod(0o755)
    return tmp_path


def test_every_node_of_a_trainjob_meets_at_node_0_and_can_meet_again(programs: Path) -> None:
    fields = {**PLAIN, "launcher": "torchrun", "command": ["train.py"], "nodes": 2, "gpus": 8, "restarts": 3}
    for dialect in Dialect:
        made = trainjob.render(job(fields), dialect).job
        name = made["metadata"]["name"]
        for index in range(2):
            said = run(*trainjob_pod(made, index), programs)
            assert said[:5] == ["--rdzv-backend=c10d", f"--rdzv-endpoint={name}-node-0-0.{name}:29500",
                                f"--rdzv-id={name}", "--max-restarts=3", "train.py"]  # fmt: skip
            assert {"PET_NNODES=2", "PET_NPROC_PER_NODE=8", f"PET_NODE_RANK={index}"} <= set(said)


RECORD = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word"; done
for word in "$@"; do case $word in --hostfile=*) cat "${word#--hostfile=}" && rm "${word#--hostfile=}" ;; esac; done
while [ "$1" != sh ]; do shift; done
exec "$@"
"""
SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"


@pytest.mark.parametrize("launcher", ["accelerate", "deepspeed"])
@pytest.mark.parametrize("kind", ["TrainJob", "PyTorchJob"])
def test_launchers_are_told_of_all_nodes_and_change_no_word(tmp_path: Path, launcher: str, kind: str) -> None:
    """Stand-ins, which record their words and start the command, take the places of accelerate and deepspeed."""
    import sys

    words = ["a b", "$(date) $$ 'x'", "--", "--num_machines=9", ""]
    made = job({**JOBS[launcher], "command": [sys.executable, "-c", SHOW, *words]})
    rendered = trainjob.render(made, Dialect.V2_1) if kind == "TrainJob" else pytorchjob.render(made)
    (tmp_path / "job").mkdir()
    for name, text in rendered.objects[1]["data"].items():
        (tmp_path / "job" / name).write_text(moved(text, tmp_path))
    (tmp_path / launcher).write_text(RECORD)
    (tmp_path / launcher).chmod(0o755)
    for index in range(2):
        replica = ("Worker" if index else "Master", 0)
        pod = trainjob_pod(rendered.job, index) if kind == "TrainJob" else pytorchjob_pod(rendered.job, *replica)
        command, variables = pod
        said = run([moved(word, tmp_path) for word in command], variables, tmp_path)
        host, port = variables["PET_MASTER_ADDR"], variables["PET_MASTER_PORT"]
        if launcher == "accelerate":
            assert said[:7] == ["launch", "--multi_gpu", "--num_machines=2", "--num_processes=16",
                                f"--machine_rank={index}", f"--main_process_ip={host}",
                                f"--main_process_port={port}"]  # fmt: skip
        else:
            assert said[1:5] == ["--no_ssh", f"--node_rank={index}", f"--master_addr={host}", f"--master_port={port}"]
            assert said[-3:-1] == ["node-0 slots=8", "node-1 slots=8"]
        assert json.loads(said[-1]) == words


def test_one_process_alone_is_no_group(tmp_path: Path) -> None:
    alone = trainjob.render(job({**JOBS["accelerate"], "nodes": 1, "gpus": 1}), Dialect.V2_1)
    (tmp_path / "accelerate").write_text(TORCHRUN)
    (tmp_path / "accelerate").chmod(0o755)
    script = tmp_path / "launch.sh"
    script.write_text(alone.objects[1]["data"]["launch.sh"])
    _, variables = trainjob_pod(alone.job, 0)
    said = run(["sh", str(script)], variables, tmp_path)
    assert said[:3] == ["launch", "--num_machines=1", "--num_processes=1"]


def test_master_and_workers_of_a_pytorchjob_have_ranks_of_their_own(programs: Path) -> None:
    made = pytorchjob.render(job({**PLAIN, "launcher": "torchrun", "nodes": 3, "gpus": 8})).job
    ranks = []
    for kind, count in (("Master", 1), ("Worker", 2)):
        for index in range(count):
            said = run(*pytorchjob_pod(made, kind, index), programs)
            assert {"PET_NNODES=3", "PET_NPROC_PER_NODE=8"} <= set(said)
            ranks += [line for line in said if line.startswith("PET_NODE_RANK")]
    assert ranks == ["PET_NODE_RANK=0", "PET_NODE_RANK=1", "PET_NODE_RANK=2"]


def test_an_elastic_job_has_its_rendezvous_from_the_operator_alone(programs: Path) -> None:
    made = pytorchjob.render(job(ELASTIC)).job
    said = run(*pytorchjob_pod(made, "Worker", 0), programs)
    assert said[0] == "train.py"
    assert {"PET_NNODES=2:4", "PET_RDZV_BACKEND=c10d", "PET_MAX_RESTARTS=3"} <= set(said)


TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60)
PIECES = st.lists(st.sampled_from(["$", "$$", "$(", ")", "PET_NNODES", "`id`", "'", '"', "\n", " "]), max_size=6).map(
    "".join
)


@settings(max_examples=20, deadline=None)
@given(st.lists(TEXTS | PIECES, max_size=4), TEXTS | PIECES, st.booleans())
def test_words_and_values_arrive_as_they_are(words: list[str], value: str, somewhere: bool) -> None:
    import sys

    probe = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['NOTE'], os.getcwd()]))"
    fields: dict[str, Any] = {**PLAIN, "command": [sys.executable, "-c", probe, *words], "environment": {"NOTE": value}}
    fields |= {"workdir": "/usr"} if somewhere else {}
    for made in (trainjob.render(job(fields), Dialect.V2_1).job, pytorchjob.render(job(fields)).job):
        pod = trainjob_pod(made, 0) if made["kind"] == "TrainJob" else pytorchjob_pod(made, "Master", 0)
        (line,) = run(*pod, Path("/nowhere"))
        arguments, note, place = json.loads(line)
        assert (arguments, note) == (words, value)
        assert place == "/usr" or not somewhere


def test_the_job_starts_in_its_code_and_can_write_there(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo("src/train.py")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"hi\n"))
    (tmp_path / "job").mkdir()
    (tmp_path / "code").mkdir()
    (tmp_path / "job" / ARCHIVE).write_bytes(buffer.getvalue())
    start = (Path(files.__file__).parent / "start.sh").read_text().replace("/pcinfra", str(tmp_path))
    (tmp_path / "start.sh").write_text(start)
    words = ["sh", str(tmp_path / "start.sh"), "sh", "-c", 'pwd; cat src/train.py; echo "$1" >out', "sh", "a b"]
    env = {"PATH": "/usr/bin:/bin", "PCINFRA_WORKDIR": str(tmp_path / "code")}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}/code\nhi\n"
    assert (tmp_path / "code" / "out").read_text() == "a b\n"
    (tmp_path / "job" / ARCHIVE).write_bytes(b"broken")
    assert subprocess.run(words, env=env, capture_output=True, check=False).returncode != 0


def test_every_node_of_tensorflow_gets_its_own_tf_config(tmp_path: Path) -> None:
    runtime = runtimes.tensorflow_distributed(Dialect.V2_1)
    pod = runtime["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    script = expanded(pod["initContainers"][0]["command"][2], {}).replace("/shared-env", str(tmp_path))
    for index in range(3):
        env = {"PATH": "/usr/bin:/bin", "PET_NNODES": "3", "JOBSET_NAME": "tf-1", "JOB_COMPLETION_INDEX": str(index)}
        subprocess.run(["sh", "-c", script], env=env, check=True, capture_output=True)
        done = subprocess.run(["sh", "-c", f". {tmp_path}/tf_config.env && printenv TF_CONFIG"], check=True,
                              env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)  # fmt: skip
        config = json.loads(done.stdout)
        assert config["task"] == {"type": "worker", "index": index}
        assert config["cluster"]["worker"] == [f"tf-1-node-0-{n}.tf-1:2222" for n in range(3)]


def test_the_time_limit_is_kept_by_timeout_where_the_trainer_has_none() -> None:
    fields = {**PLAIN, "command": ["sleep", "30"], "time_limit": "1", "grace_period": 59}
    command, variables = trainjob_pod(trainjob.render(job(fields), Dialect.V2_1).job, 0)
    assert command[:3] == ["timeout", "--kill-after=59", "1"]
    done = subprocess.run(command, env={**variables, "PATH": "/usr/bin:/bin"}, check=False)
    assert done.returncode == 124


def test_the_full_job_runs_its_script_by_its_first_line() -> None:
    command, _ = trainjob_pod(trainjob.render(job(FULL), Dialect.V2_2).job, 0)
    assert command[:2] == ["sh", "/pcinfra/job/start.sh"]
    assert command[-4:] == ["--no-python", "/pcinfra/job/script", "--note", "$(date) $$HOME"]
