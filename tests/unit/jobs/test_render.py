"""The run directory: golden, and any text of the user's reaches a real bash's child unchanged."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pcinfra.jobs.manifest import Manifest, archive, new_run_id
from pcinfra.jobs.slurm.render import directive, render
from pcinfra.jobs.spec import After, Array, Code, JobSpec, Mount

GOLDEN = Path(__file__).parents[2] / "golden" / "jobs"
SPECS = {
    "plain": JobSpec(command=("true",)),
    "full": JobSpec(
        name="train",
        command=("python3", "train.py", "--note", 'it\'s "fine" $HOME `date` # no\nreally', ""),
        nodes=4,
        gpus=8,
        cpus=96,
        queue="gpu",
        time_limit="1-12:00:00",
        environment={"NOTE": "a 'b' \"c\" $(d)\n\te", "EPOCHS": "3"},
        workdir="/lustre/my data",
        logs="/lustre/logs",
    ),
    "script": JobSpec(script="train.sh", args=("--epochs", "3 4")),
    "torchrun": JobSpec(
        name="ddp",
        image="123456789012.dkr.ecr.us-east-1.amazonaws.com/training:v1@sha256:" + 64 * "0",
        container="optional",
        launcher="torchrun",
        command=("python3", "train.py"),
        nodes=2,
        gpus=8,
        memory=64,
        mounts=(Mount(source="/scratch"), Mount(source="/lustre/models", read_only=True)),
        code=Code(),
        data="/lustre/data",
        checkpoints="/lustre/checkpoints/ddp",
        time_limit="4:00:00",
        restarts=3,
        requeue=5,
        secrets={"TOKEN": "secretsmanager:team/hf#token", "KEY": "arn:aws:ssm:eu-west-1:123456789012:parameter/a/b"},
    ),
    "sweep": JobSpec(
        command=("true",),
        cpus=2,
        exclusive=True,
        sweep={"RATE": ("0.1", "it's", ""), "SEED": ("1", "2")},
        array=Array(at_once=4),
        after=(After(run="prepare-1m80k0n9v1brna4m"),),
    ),
}

# What execs everywhere: no NUL, and nothing that cannot be encoded.
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=200)
HOSTILE = st.sampled_from(
    ["", "-n", "--", "$(touch x)", "`id`", "'", "\\", "\n", "\r\n", "# a", "EOF", "*", "~", "한글", "!"]
)
WORDS = st.lists(TEXTS | HOSTILE, max_size=6)
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}X", fullmatch=True)
RUN_FILES = ["spec.json", "job.sbatch", "node.sh", "command.sh", "env.sh", "submit.env", "health.sh", "files"]
ALIKE = {"health.sh"}
"""Files that every run has alike."""
STUB = '#!/bin/sh\nfor last do :; done\nexec bash "$last"\n'  # srun, as far as one node goes
PYXIS = """#!/bin/bash
[ "$1" != --help ] || { echo '  --container-image=[USER@]...'; exit; }
printf '%s\\0' "$@"
"""
PROBE = "import json, os, sys; json.dump([sys.argv[1:], dict(os.environ)], open(os.environ['OUT_X'], 'w'))"


@pytest.mark.parametrize("name", SPECS)
def test_the_files_are_golden(name: str) -> None:
    manifest = render(SPECS[name], f"{name}-1m80k0n9v1brna4m", b"echo hi\n" if name == "script" else b"")
    folder = GOLDEN / name
    places = {file.name: GOLDEN / file.name if file.name in ALIKE else folder / file.name for file in manifest.files}
    if os.environ.get("UPDATE_GOLDEN"):
        folder.mkdir(exist_ok=True)
        for file in manifest.files:
            places[file.name].write_bytes(file.content)
    for file in manifest.files:
        assert file.content.decode() == places[file.name].read_text(), file.name
    assert {path.name for path in folder.iterdir()} == set(places) - ALIKE
    assert manifest.logs == (SPECS[name].logs or "")


def test_only_the_user_can_read_the_files() -> None:
    modes = {file.name: file.mode for file in render(SPECS["script"], "x-1", b"#!/bin/sh\n").files}
    assert modes.pop("script") == 0o700
    assert set(modes.values()) == {0o600}


@settings(max_examples=25, deadline=None)
@given(words=WORDS, environment=st.dictionaries(NAMES, TEXTS | HOSTILE, max_size=5), place=TEXTS)
def test_any_argument_and_variable_arrives_unchanged(words: list[str], environment: dict[str, str], place: str) -> None:
    """The rendered files are run by a real bash, with a stand-in for srun alone."""
    workdir = "work" + place.replace("/", "_")[:60]
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        (top / workdir).mkdir()
        spec = JobSpec(
            command=(sys.executable, "-c", PROBE, *words),
            environment={**environment, "OUT_X": str(top / "out.json")},
            workdir=str(top / workdir),
        )
        done = run_batch(top, render(spec, "x-1"))
        arguments, seen = parsed(top / "out.json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert arguments == words
    assert {name: seen[name] for name in environment} == environment
    assert seen["PWD"] == str(top / workdir)


@settings(max_examples=20, deadline=None)
@given(paths=st.lists(st.text(max_size=30) | st.from_regex(r"/[A-Za-z0-9 ._/@%+=~-]*", fullmatch=True), max_size=4))
def test_any_mount_arrives_exactly_or_is_refused(paths: list[str]) -> None:
    """A stand-in for srun says that it has Pyxis, and what it was told."""
    try:
        mounts = tuple(Mount(source=path, read_only=number % 2 == 1) for number, path in enumerate(paths))
    except ValidationError:
        assert not all(re.fullmatch(r"/[A-Za-z0-9 ._/@%+=~-]*", path) for path in paths)
        return
    spec = JobSpec(command=("true",), image="/a/b.sqsh", mounts=mounts, data="/lustre/d", secrets={})
    with tempfile.TemporaryDirectory() as folder:
        done = run_batch(Path(folder), render(spec, "x-1"), PYXIS)
        run = f"{folder}/run"
    assert done.returncode == 0
    told = dict(
        word.partition("=")[::2] for word in done.stdout.decode().split("\0") if word.startswith("--container-")
    )
    assert told["--container-image"] == "/a/b.sqsh"
    said = [(each.source, each.inside, ["ro"] if each.read_only else []) for each in mounts]
    expected = [(run, run, []), *said, *([("/lustre/d", "/lustre/d", [])] if "/lustre/d" not in paths else [])]
    found = [each.split(":") for each in told["--container-mounts"].split(",")]
    assert [(source, target, rest) for source, target, *rest in found] == expected
    names = told["--container-env"].split(",")
    assert {"PCINFRA_RUN", "PCINFRA_STOP_FILE", "MASTER_ADDR", "NVIDIA_VISIBLE_DEVICES"} <= set(names)


def test_a_container_gets_its_image_from_where_it_was_imported(tmp_path: Path) -> None:
    spec = JobSpec(command=("true",), image="r.io/a:1@sha256:" + "ab" * 32)
    done = run_batch(tmp_path, render(spec, "x-1"), PYXIS)
    assert done.returncode == 1
    assert b"The image was not imported" in done.stderr
    image = tmp_path / ".images" / f"{'ab' * 32}.sqsh"
    image.parent.mkdir()
    image.touch()
    shutil.rmtree(tmp_path / "run")
    shutil.rmtree(tmp_path / "bin")
    done = run_batch(tmp_path, render(spec, "x-1"), PYXIS)
    assert f"--container-image={image}\0".encode() in done.stdout


def test_between_nodes_with_efa_nothing_else_will_do(tmp_path: Path) -> None:
    command = ("sh", "-c", 'echo "$FI_PROVIDER,$NCCL_NET"')
    done = run_batch(tmp_path, render(JobSpec(command=command), "x-1", efa=True))
    assert done.stdout == b"efa,AWS Libfabric\n"


@pytest.mark.parametrize("status", [0, 1, 7, 137, 255])
def test_the_exit_code_is_the_jobs_and_is_kept(status: int, tmp_path: Path) -> None:
    done = run_batch(tmp_path, render(JobSpec(command=("sh", "-c", f"exit {status}")), "x-1"))
    assert done.returncode == status
    result = (tmp_path / "run" / "result.jsonl").read_text()
    verdict = "failed" if status else "done"
    assert (
        f'"job":"5","attempt":0,"exit_code":{status},"verdict":"{verdict}","requeued":false,"nodes":"n[1-2]"' in result
    )


def test_a_script_without_a_first_line_is_for_bash(tmp_path: Path) -> None:
    done = run_batch(tmp_path, render(JobSpec(script="s", args=("a b",)), "x-1", b'a=("$@"); echo "${a[0]}" >../out'))
    assert (done.returncode, (tmp_path / "out").read_text()) == (0, "a b\n")


def test_a_script_with_a_first_line_runs_by_it(tmp_path: Path) -> None:
    done = run_batch(tmp_path, render(JobSpec(script="s"), "x-1", b"#!/bin/cat\nfirst\n"))
    assert (done.returncode, done.stdout) == (0, b"#!/bin/cat\nfirst\n")


def test_a_missing_workdir_ends_the_job_and_says_why(tmp_path: Path) -> None:
    done = run_batch(tmp_path, render(JobSpec(command=("true",), workdir="/no/such"), "x-1"))
    assert done.returncode == 1
    assert b"/no/such: No such file or directory" in done.stderr


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\\b", "a\0b"])
def test_what_sbatch_would_misread_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="sbatch cannot read"):
        directive("time", value)


def test_a_job_without_anything_to_run_is_refused() -> None:
    with pytest.raises(ValueError, match="either a command or a script"):
        render(JobSpec(), "x-1")


def test_only_known_options_are_given_to_sbatch() -> None:
    with pytest.raises(ValueError, match="not an option that pcinfra gives"):
        directive("wrap", "id")


def test_a_sign_that_begins_a_comment_is_quoted() -> None:
    assert directive("output", "a#b") == "#SBATCH --output='a#b'"


def test_ids_never_repeat_and_sort_by_time() -> None:
    ids = [new_run_id("a-b") for _ in range(2000)]
    assert len(set(ids)) == 2000
    stamps = [run[4:13] for run in ids]
    assert stamps == sorted(stamps)
    assert all(len(run) == len("a-b-") + 16 for run in ids)


def test_the_archive_is_the_same_for_the_same_files() -> None:
    first, second = (archive([render(SPECS["full"], "x-1"), render(SPECS["plain"], "y-1")]) for _ in range(2))
    assert first == second
    with tarfile.open(fileobj=BytesIO(first)) as tar:
        assert [entry.name for entry in tar] == [
            *(f"x-1/{name}" for name in RUN_FILES),
            *(f"y-1/{name}" for name in ("logs", *RUN_FILES)),
        ]
        listed = tar.extractfile("x-1/files")
        assert listed
        assert listed.read().decode().split() == RUN_FILES[:-1]


def run_batch(top: Path, manifest: Manifest, srun: str = STUB) -> subprocess.CompletedProcess[bytes]:
    """Run job.sbatch as slurmd would on the first node."""
    run, programs = top / "run", top / "bin"
    for folder in (run / "logs", programs):
        folder.mkdir(parents=True)
    for file in manifest.files:
        (run / file.name).write_bytes(file.content)
        (run / file.name).chmod(file.mode)
    for program, text in (("srun", srun), ("scontrol", "#!/bin/sh\n"), ("squeue", "#!/bin/sh\n")):
        (programs / program).write_text(text)
        (programs / program).chmod(0o755)
    slurm = {"SLURM_SUBMIT_DIR": str(run), "SLURM_JOB_ID": "5", "SLURM_JOB_NODELIST": "n[1-2]"}
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "LANG": "C.UTF-8", **slurm}
    return subprocess.run(["bash", str(run / "job.sbatch")], env=environment, capture_output=True, check=False)


def parsed(file: Path) -> tuple[list[str], dict[str, str]]:
    arguments, environment = json.loads(file.read_text())
    return arguments, environment
