"""What is on Lustre only: a real bash looks, and every name is told whatever is in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pcinfra.errors import PcinfraError
from pcinfra.jobs.slurm.render import render
from pcinfra.jobs.spec import Code, JobSpec
from pcinfra.jobs.unsaved import Entry, Unsaved, parse, script

KEPT = ("/checkpoints", "/team/results", "/a*[b] $(id)")

OURS = """spec.json job.sbatch node.sh command.sh env.sh import.sh job.id lock said files unpacked submit.env submit.err
    result.jsonl attempts.jsonl signs.0 began.0 stop.0 DONE logs/node-0.0.log code/a.py
    health.err image.err image.digest unhealthy tasks/lock tasks/3/result.jsonl tasks/3/unhealthy"""


def write(root: Path, *paths: str) -> None:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("12345")


def look(root: Path, *kept: str) -> Unsaved:
    command = ["bash", "-c", script(kept, str(root))]
    return parse(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_only_what_is_in_no_kept_directory_is_told(tmp_path: Path) -> None:
    write(tmp_path, "checkpoints/7/model", "team/results/a", "a*[b] $(id)/x", ".pcinfra/nodes/n.json")
    assert look(tmp_path, *KEPT) == Unsaved()
    write(tmp_path, "checkpoints2/x", "team/other/y", "team/z", "ab $(id)/x", "file")
    assert {each.path: each.files for each in look(tmp_path, *KEPT).entries} == {
        "/lustre/checkpoints2": 1, "/lustre/team": 2, "/lustre/ab $(id)": 1, "/lustre/file": 1,
    }  # fmt: skip
    assert {each.size for each in look(tmp_path, *KEPT).entries} == {5, 10}


def test_what_pcinfra_wrote_into_a_run_is_no_loss_and_what_the_job_left_is(tmp_path: Path) -> None:
    run = "runs/hello-1m894zf0wqw6fdft"
    write(
        tmp_path,
        *(f"{run}/{name}" for name in OURS.split()),
        "runs/.images/x.sqsh",
        "runs/.hello.tar",
        "runs/.waiting.1",
    )
    assert look(tmp_path) == Unsaved()
    write(tmp_path, f"{run}/checkpoints/1/model", f"{run}/model.pt", f"{run}/tasks/3/checkpoints/1/model")
    assert look(tmp_path).entries == (Entry(f"/lustre/{run}", 3, 15),)


def test_every_file_that_is_sent_with_a_job_is_pcinfras_own(tmp_path: Path) -> None:
    image = "ghcr.io/a/b@sha256:" + "0" * 64
    every = JobSpec(script="s", args=(), image=image, container="required", nodes=2, gpus=8, health="nccl", code=Code())
    sent = {
        file.name for file in render(every, "run-1m894zf0wqw6fdft", b"#!/bin/sh", b"tar", efa=True, spot=True).files
    }
    assert {"script", "import.sh", "health.sh", "allreduce.py", "watch.sh", "code.tar.gz"} <= sent
    write(tmp_path, *(f"runs/run-1m894zf0wqw6fdft/{name}" for name in sent))
    assert look(tmp_path) == Unsaved()


@pytest.mark.parametrize("name", ["a b", "-rf", "한글", "a'b\"c", "$(touch x)", "a;b", "*", "a\\b"])
def test_any_name_is_told_as_it_is(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"{name}/x")
    assert look(tmp_path).entries == (Entry(f"/lustre/{name}", 1, 5),)
    assert look(tmp_path, f"/{name}") == Unsaved()


def test_a_line_break_in_a_name_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path, "a\n99 99 b/x", "c/y")
    assert {each.path for each in look(tmp_path).entries} == {"/lustre/a?99 99 b", "/lustre/c"}


def test_an_answer_without_its_end_is_no_answer() -> None:
    with pytest.raises(PcinfraError, match="cut off"):
        parse("1 5 scratch\n")
    assert parse("1 5 scratch\nincomplete\nend\n") == Unsaved((Entry("/lustre/scratch", 1, 5),), partial=True)


def test_a_list_that_is_too_long_says_so_and_fits_an_answer_of_ssm(tmp_path: Path) -> None:
    write(tmp_path, *(f"{number:03d}{'x' * 250}/file" for number in range(60)))
    assert not look(tmp_path).partial
    write(tmp_path, "one/more")
    found = look(tmp_path)
    assert (found.partial, len(found.entries)) == (True, 60)
    assert sum(len(each.path) + 20 for each in found.entries) < 24_000


def test_a_path_is_within_itself_and_what_is_above() -> None:
    entry = Entry("/lustre/a/b", 1, 1)
    assert all(entry.within(path) for path in ("/lustre/a/b", "/lustre/a/", "/lustre", "/"))
    assert not any(entry.within(path) for path in ("/lustre/a/b/c", "/lustre/ab", "/lustre/a/bb"))
