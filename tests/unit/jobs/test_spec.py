"""Job files: what is accepted, and what is refused with place, reason and a way on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pcinfra.errors import InputError
from pcinfra.jobs.fields import MAX_TEXT, seconds
from pcinfra.jobs.load import find, load
from pcinfra.jobs.spec import JobSpec

OK = "command: [a]\n"
NO_DIGIT = "letters, digits and '_', and no digit first"

# file, then every problem expected: line, column, key, beginning of why, hint
BAD: list[tuple[str, list[tuple[int, int, str, str, str]]]] = [
    ("", [(1, 1, "command", "is missing", "command: [python3, train.py]")]),
    ("nods: 2\n" + OK, [(1, 1, "nods", "is not a key", "nodes")]),
    (OK + "nodes: 0", [(2, 8, "nodes", "must be at least 1", "nodes: 1")]),
    (OK + "nodes: two", [(2, 8, "nodes", "must be a whole number", "nodes: 1")]),
    (OK + "gpus: 0", [(2, 7, "gpus", "must be at least 1", "gpus: 1")]),
    (OK + "cpus: 1.5", [(2, 7, "cpus", "must be a whole number", "cpus: 1")]),
    ('command: echo "hi there"', [(1, 10, "command", "must be a list of words", 'command: ["echo", "hi there"]')]),
    ("command: ['', a]", [(1, 11, "command[0]", "is empty", "")]),
    ("command: [a, 3]", [(1, 14, "command[1]", "must be text", '"3"')]),
    (OK + "args: [b]", [(2, 1, "args", "is for script", "")]),
    (OK + "time_limit: 1:30:00", [(2, 13, "time_limit", "1:30:00 is a number in base 60", '"1:30:00" for text')]),
    (OK + "time_limit: 90", [(2, 13, "time_limit", "must be text", 'time_limit: "90"')]),
    (OK + "time_limit: 2h", [(2, 13, "time_limit", "is not a time limit of Slurm", "")]),
    (OK + 'time_limit: "1:75:00"', [(2, 13, "time_limit", "is not a time limit of Slurm", "")]),
    (OK + 'name: "한글"', [(2, 7, "name", "must be at most 60 letters", "")]),
    (OK + "name: a b", [(2, 7, "name", "must be at most 60 letters", "name: a-b")]),
    (OK + f"name: {'a' * 61}", [(2, 7, "name", "must be at most 60 letters", f"name: {'a' * 60}")]),
    (OK + "name: ../x", [(2, 7, "name", "must be at most 60 letters", "name: x")]),
    (OK + "queue: a,b", [(2, 8, "queue", "is not the name of one queue", "")]),
    (OK + "queue: '--wrap=x'", [(2, 8, "queue", "is not the name of one queue", "")]),
    (OK + "workdir: data", [(2, 10, "workdir", "must be an absolute path", "workdir: /lustre/data")]),
    (OK + "launcher: torchrum", [
        (2, 11, "launcher", "must be srun, torchrun, deepspeed, accelerate or mpi", "launcher: torchrun"),
    ]),
    (OK + "environment: {1A: x}", [(2, 15, "environment.1A", "is not a variable's name", NO_DIGIT)]),
    (OK + "environment: {UID: x}", [(2, 15, "environment.UID", "belongs to bash", "choose another name")]),
    (OK + "environment: {SLURM_X: x}", [(2, 15, "environment.SLURM_X", "would hide", "choose another name")]),
    (OK + "environment: {A: 3}", [(2, 18, "environment.A", "must be text", 'A: "3"')]),
    (OK + "script: a.sh", [
        (2, 9, "script", "cannot be given together with command", "keep one of them"),
        (2, 9, "script", "there is no file", "a path beside the job file"),
    ]),
    (OK + "restarts: 1", [
        (2, 11, "restarts", "is for torchrun", "launcher: torchrun, or requeue instead of restarts"),
    ]),
    (OK + "cpus: 7\nprocesses: 2", [(2, 7, "cpus", "cannot be divided among 2 processes", "cpus: 6")]),
    (OK + "mounts: [{source: /a}]", [(2, 1, "mounts", "need a container", "image: ...")]),
    (OK + "image: a/b:1\ncontainer: optional\nmounts: [{source: /a, target: /b}]", [
        (4, 31, "mounts[0].target", "must be the same path", "target: /a"),
    ]),
    (OK + "image: a/b:1\nmounts: [{source: /a}, {source: /b, target: /a}]", [
        (3, 24, "mounts[1]", "is a second mount at /a", "one of them"),
    ]),
    (OK + "image: a/b:1\nmounts: [{source: '/a:b'}]", [
        (3, 19, "mounts[0].source", "must be an absolute path of letters", ""),
    ]),
    (OK + "image: 'a b'", [(2, 8, "image", "is no image", "")]),
    (OK + "image: ./a.sqsh", [(2, 8, "image", "is no image", "")]),
    (OK + "grace_period: 60\ntime_limit: '1'", [
        (2, 15, "grace_period", "must be less than the time limit, which is 60 seconds", "grace_period: 12"),
    ]),
    (OK + "time_limit: '0'", [(2, 13, "time_limit", "must be more than nothing", 'time_limit: "1:00:00"')]),
    (OK + "code: {path: nowhere}", [(2, 14, "code.path", "there is no folder", "a path beside the job file")]),
    (OK + "code: {commit: --output=x}", [(2, 16, "code.commit", "does not match the pattern", "commit: HEAD")]),
    (OK + "code: worktree", [(2, 7, "code", "must be a mapping", "keys of code: source, path, commit")]),
    (OK + "array: {at_once: 3}", [(2, 1, "array", "has no tasks", "array: {tasks: 100}")]),
    (OK + "array: {tasks: 3}\nsweep: {A: ['1', '2']}", [
        (2, 16, "array.tasks", "cannot be given together with sweep, which has 2", "array: {at_once: 10}"),
    ]),
    (OK + "sweep: {A: []}", [(2, 9, "sweep.A", "has no values", 'LEARNING_RATE: ["0.1", "0.01"]')]),
    (OK + "sweep: {A: [1]}", [(2, 13, "sweep.A[0]", "must be text", '"1"')]),
    (OK + "sweep: {A: ['1']}\nenvironment: {A: '2'}", [(2, 9, "sweep.A", "is in environment, too", "one of them")]),
    (OK + "after: [{run: ../x}]", [
        (2, 15, "after[0].run", "is not the id of a run", "for example hello-1m80k0n9v1brna4m"),
    ]),
    (OK + "secrets: {A: hunter2}", [
        (2, 14, "secrets.A", "must name a secret, never be one", "for example secretsmanager:hugging-face#token"),
    ]),
    (OK + "secrets: {A: 'ssm:/a'}\nenvironment: {A: b}", [
        (2, 14, "secrets.A", "is in environment or sweep, too", "one of them"),
    ]),
    (OK + "launcher: mpi", [(2, 11, "launcher", "needs the number of processes on each node", "processes: 8")]),
    (OK + "launcher: mpi\ngpus: 8\ncpus: 12", [(4, 7, "cpus", "cannot be divided among 8 processes", "cpus: 8")]),
    (OK + "health: deep", [(2, 9, "health", "must be", "")]),
    (OK + "health: nccl\ncpus: 4", [(2, 9, "health", "nccl is for GPUs, and the job has none", "gpus: 8")]),
    (OK + "health: quick\nhealth_bandwidth: 200", [
        (3, 19, "health_bandwidth", "is for health: nccl", "health: nccl"),
    ]),
    ("script: .", [(1, 9, "script", "there is no file", "a path beside the job file")]),
    ("nods: 2\ncommand: echo\ngpus: two\nworkdir: x", [
        (1, 1, "nods", "is not a key", "nodes"),
        (2, 10, "command", "must be a list of words", 'command: ["echo"]'),
        (3, 7, "gpus", "must be a whole number", "gpus: 8"),
        (4, 10, "workdir", "must be an absolute path", "workdir: /lustre/x"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD, ids=[repr(text[:40]) for text, _ in BAD])
def test_a_wrong_file_is_refused_with_every_problem(
    text: str, expected: list[tuple[int, int, str, str, str]], tmp_path: Path
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load(file)
    problems = caught.value.problems
    found = [(p.line, p.column, p.key, p.hint) for p in problems]
    assert found == [(line, column, key, hint) for line, column, key, _, hint in expected]
    for problem, (_, _, _, why, _) in zip(problems, expected, strict=True):
        assert problem.why.startswith(why)
        assert problem.file == str(file)


def test_a_nul_or_too_long_an_argument_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text('command: [a, "x\\0y"]')
    with pytest.raises(InputError, match=r"job\.yaml:1:14: command\[1\]: has the control character"):
        load(file)
    file.write_text(f"command: [a, {'x' * (MAX_TEXT + 1)}]")
    with pytest.raises(InputError, match=r"job\.yaml:1:14: command\[1\]: is longer than 131071 bytes"):
        load(file)


def test_a_script_travels_with_the_job_and_the_file_names_the_run(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_bytes(b"#!/bin/sh\n\xff")
    file = tmp_path / "my job.yaml"
    file.write_text("script: train.sh\nargs: [--epochs, '3']")
    job = load(file)
    assert (job.spec.name, job.spec.args, job.script) == ("my-job", ("--epochs", "3"), b"#!/bin/sh\n\xff")


def test_a_file_whose_name_has_nothing_for_a_run_id_still_gets_one(tmp_path: Path) -> None:
    file = tmp_path / "훈련.yaml"
    file.write_text(OK)
    assert load(file).spec.name == "job"


def test_what_is_left_out_has_its_default() -> None:
    spec = JobSpec(command=("true",))
    assert (spec.nodes, spec.gpus, spec.cpus, spec.launcher, spec.environment) == (1, None, None, "srun", {})


@pytest.mark.parametrize(("limit", "expected"), [
    ("90", 5400), ("90:30", 5430), ("2:30:00", 9000), ("3-12", 302_400), ("1-0:30", 88_200), ("0-1:00:05", 3605),
])  # fmt: skip
def test_a_time_limit_is_so_many_seconds(limit: str, expected: int) -> None:
    assert seconds(limit) == expected


@pytest.mark.parametrize(("fields", "expected"), [
    ({}, 300), ({"time_limit": "2:00:00"}, 300), ({"time_limit": "5"}, 60), ({"time_limit": "0:01"}, 1),
    ({"grace_period": 7}, 7),
])  # fmt: skip
def test_the_stop_signal_leaves_the_job_some_time_to_run(fields: dict[str, object], expected: int) -> None:
    assert JobSpec.model_validate(fields).grace == expected


def test_the_example_is_found_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(Path("examples/hello.yaml")).spec.nodes == 2
    assert find(Path("examples/nothing.yaml")) == Path("examples/nothing.yaml")
    own = tmp_path / "examples"
    own.mkdir()
    (own / "hello.yaml").write_text("command: [own]")
    assert load(Path("examples/hello.yaml")).spec.command == ("own",)
