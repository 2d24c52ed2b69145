"""A job file, flags and Python say the same thing in the same words, and get the same errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import pcinfra
from pcinfra.cli.jobflags import JobCommand, said
from pcinfra.errors import InputError, UsageError
from pcinfra.jobs.flags import flags
from pcinfra.jobs.load import Job, load
from pcinfra.jobs.spec import JobSpec

FILE: dict[str, Any] = {
    "name": "n",
    "image": "a/b:1",
    "container": "optional",
    "launcher": "torchrun",
    "command": ["python3", "t.py", "--", "-x"],
    "nodes": 3,
    "processes": 2,
    "gpus": 4,
    "cpus": 8,
    "memory": 5,
    "queue": "gpu",
    "time_limit": "2:00:00",
    "environment": {"A": "1=2", "B": ""},
    "secrets": {"S": "ssm:/a"},
    "container_options": {"writable": False, "entrypoint": True},
    "mounts": [{"source": "/a"}, {"source": "/b", "target": "/b", "read_only": True}],
    "workdir": "/w",
    "code": {"source": "directory", "path": "."},
    "data": "/d",
    "checkpoints": "/c",
    "logs": "/l",
    "restarts": 1,
    "requeue": 2,
    "grace_period": 60,
    "health": "nccl",
    "health_bandwidth": 240,
    "exclusive": True,
    "array": {"at_once": 2},
    "sweep": {"X": ["1", "2,3"], "Y": ["4"]},
    "after": [{"run": "r-1"}, {"run": "r-2", "when": "ended"}],
}
FLAGS = """--name n --image a/b:1 --container optional --launcher torchrun -N 3 --processes 2 -G 4 --cpus 8 --memory 5
--queue gpu --time-limit 2:00:00 -e A=1=2 -e B= --secrets S=ssm:/a
--no-container-options-writable --container-options-entrypoint
--mounts /a --mounts /b:/b:ro --workdir /w --code-source directory --code-path . --data /d --checkpoints /c
--logs /l --restarts 1 --requeue 2 --grace-period 60
--health nccl --health-bandwidth 240 --exclusive --array-at-once 2 --sweep X=1 --sweep X=2,3
--sweep Y=4 --after r-1 --after r-2:ended -- python3 t.py -- -x"""


def by_flags(words: Sequence[str], file: Path | None = None) -> Job:
    """Return the job that a command line describes."""

    @click.command(cls=JobCommand)
    @click.pass_context
    def command(ctx: click.Context, /, **fields: Any) -> Job:
        return load(file, said=said(ctx, fields))

    job: Job = command.main(list(words), standalone_mode=False)
    return job


def test_file_flags_and_python_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(FILE))
    from_file = load(tmp_path / "job.yaml").spec
    assert by_flags(FLAGS.split()).spec == from_file
    assert pcinfra.JobSpec(**FILE) == from_file
    assert set(JobSpec.model_fields) - set(FILE) <= {"script", "args", "kubernetes"}


def test_every_field_has_a_flag() -> None:
    reachable = {str(flag.path[0]) for flag in flags()} | {"command", "args", "kubernetes"}
    assert set(JobSpec.model_fields) <= reachable


def test_flags_go_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("command: [a]\nnodes: 2\nenvironment: {A: '1', B: '2'}\n")
    spec = by_flags(["--nodes", "5", "-e", "B=3"], file).spec
    assert (spec.nodes, spec.environment, spec.command) == (5, {"A": "1", "B": "3"}, ("a",))


@pytest.mark.parametrize(("words", "why"), [
    (["--nodes", "0", "--", "a"], "--nodes: must be at least 1\n  try: --nodes 1"),
    (["--time-limit", "2h", "--", "a"], "--time-limit: is not a time limit of Slurm"),
    (["-e", "1A=x", "--", "a"], "--environment: is not a variable's name"),
    (["--mounts", "/a", "--", "a"], "--mounts: need a container"),
    (["--restarts", "1", "--", "a"], "--restarts: is for torchrun"),
    (["--", ""], "-- COMMAND: is empty; the first word is the program"),
])  # fmt: skip
def test_a_wrong_value_is_told_with_its_flag(words: list[str], why: str) -> None:
    with pytest.raises(InputError) as caught:
        by_flags(words)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(("words", "why"), [
    (["-e", "A", "--", "a"], "--environment A: must be NAME=VALUE"),
    (["--mounts", "/a:/b:/c", "--", "a"], "must be SOURCE"),
])  # fmt: skip
def test_a_value_that_has_not_its_form_is_refused(words: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        by_flags(words)


def test_python_gets_the_errors_of_a_job_file() -> None:
    with pytest.raises(InputError, match=r"JobSpec x: restarts: is for torchrun"):
        pcinfra.submit(JobSpec(name="x", command=("a",), restarts=1))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pcinfra.nothing  # noqa: B018
    assert pcinfra.submit_all([]) == []
