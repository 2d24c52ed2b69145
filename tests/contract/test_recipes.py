"""Every recipe of the registry has its folder, is a valid job, and becomes one that Slurm can be given."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pcinfra import assets
from pcinfra.errors import UsageError
from pcinfra.jobs.load import load
from pcinfra.jobs.slurm.render import render
from pcinfra.recipes import REGISTRY, Recipe, find

EXAMPLES = [path for path in sorted(assets.folder("examples").glob("*.yaml")) if "\ncommand:" in path.read_text()]
EVERY = pytest.mark.parametrize("recipe", REGISTRY.values(), ids=REGISTRY)


def pcinfra(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pcinfra.cli.main", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_every_folder_is_registered() -> None:
    assert {path.name for path in assets.folder("recipes").iterdir()} == set(REGISTRY)


@EVERY
def test_it_is_a_job_that_can_be_submitted(recipe: Recipe) -> None:
    job = load(recipe.job)
    assert job.spec.name == recipe.name
    assert job.spec.time_limit, "a recipe never runs on for ever"
    text = recipe.job.read_text()
    assert text.startswith("# "), "it begins with what it does"
    manifest = render(job.spec, f"{recipe.name}-1", job.script, job.code)
    assert "job.sbatch" in {file.name for file in manifest.files}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_a_job_too(example: Path) -> None:
    job = load(example)
    assert render(job.spec, "example-1", job.script, job.code).files


@EVERY
def test_its_summary_fits_a_line(recipe: Recipe) -> None:
    assert recipe.summary.endswith(".")
    assert len(recipe.summary) + len(recipe.needs) < 90
    assert find(recipe.name) is recipe


@EVERY
def test_scripts_beside_it_are_clean(recipe: Recipe) -> None:
    linter = Path(sys.executable).with_name("shellcheck")
    for script in recipe.others:
        done = subprocess.run([linter, script], capture_output=True, text=True, check=False)
        assert (done.stdout + done.stderr, done.returncode) == ("", 0)


def test_a_name_that_is_none_is_told() -> None:
    with pytest.raises(UsageError, match="there is no recipe 'x'; there are hello, "):
        find("x")


def test_list_and_show(tmp_path: Path) -> None:
    listed = pcinfra(tmp_path, "recipe", "list")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(REGISTRY)
    shown = pcinfra(tmp_path, "recipe", "show", "efa-check")
    assert shown.stdout == find("efa-check").job.read_text()
    assert "check.sh" in shown.stderr


def test_run_takes_what_submit_takes(tmp_path: Path) -> None:
    done = pcinfra(tmp_path, "recipe", "run", "hello", "--nodes", "3", "-e", "A=b c", "--dry-run")
    assert done.returncode == 0, done.stderr
    text = done.stdout.partition("spec.json")[2]
    spec, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])
    assert (spec["nodes"], spec["environment"]) == (3, {"A": "b c"})
    wrong = pcinfra(tmp_path, "recipe", "run", "hello", "--bogus")
    assert wrong.returncode == 2
    assert "--bogus" in wrong.stderr
    none = pcinfra(tmp_path, "recipe", "run", "none", "--dry-run")
    assert none.returncode == 2
    assert "pcinfra recipe list" in none.stderr
