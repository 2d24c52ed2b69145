"""A job that names what the nodes may not use is refused before it waits in a queue."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pcinfra import api
from pcinfra.errors import InputError, UsageError
from pcinfra.jobs.granted import check_image, in_ecr
from pcinfra.jobs.spec import JobSpec
from pcinfra.project import Nodes, Project

JOB = "command: [a]\nsecrets:\n  HF_TOKEN: secretsmanager:hugging-face#token\n  KEY: ssm:/team/key\n"


class Here:
    """An account, and nothing that can be asked."""

    region = "us-east-1"
    account = "123456789012"

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        raise AssertionError(operation)

    def pages(self, service: str, operation: str, key: str, /, **parameters: Any) -> list[Any]:
        raise AssertionError(operation)


def submit(folder: Path, project: str) -> subprocess.CompletedProcess[str]:
    (folder / "pcinfra.yaml").write_text(project)
    (folder / "job.yaml").write_text(JOB)
    command = [sys.executable, "-m", "pcinfra.cli.main", "submit", "job.yaml", "--dry-run"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command_says_where_and_what_to_type(tmp_path: Path) -> None:
    done = submit(tmp_path, "nodes: {secrets: ['ssm:/team/*']}\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "job.yaml:3:13" in done.stderr
    assert "nodes: {secrets: [secretsmanager:hugging-face]} in pcinfra.yaml, then pcinfra up" in done.stderr
    assert "KEY" not in done.stderr


def test_what_is_granted_is_submitted(tmp_path: Path) -> None:
    done = submit(tmp_path, "nodes: {secrets: ['ssm:/team/*', 'secretsmanager:hugging-face']}\n")
    assert done.returncode == 0, done.stderr
    assert "secretsmanager" in done.stdout


def test_from_python_it_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "pcinfra.yaml"
    file.write_text("project: p\n")
    spec = JobSpec(command=("a",), secrets={"KEY": "ssm:/team/key"})
    with pytest.raises(InputError, match=r"nodes.secrets in pcinfra.yaml does not name it"):
        api.submit(spec, project_file=file)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/theirs:1",
            r"may not pull from theirs\n.*repositories: \[theirs\]",
        ),
        ("docker://123456789012.dkr.ecr.us-east-1.amazonaws.com#theirs/a@sha256:0", r"may not pull from theirs/a\n"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/a:1", r"of eu-west-1: the project is in us-east-1"),
    ],
)
def test_an_image_of_the_account_that_nodes_may_not_pull_is_refused(image: str, why: str) -> None:
    assert in_ecr(image)
    with pytest.raises(UsageError, match=why):
        check_image(image, Project(nodes=Nodes(repositories=("team/*",))), Here())


@pytest.mark.parametrize(
    "image",
    [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/a:1",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/pytorch-training-custom@sha256:0",
        "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.9",
    ],
)
def test_other_images_are_not(image: str) -> None:
    assert in_ecr(image)
    check_image(image, Project(nodes=Nodes(repositories=("team/*",))), Here())
    assert not any(map(in_ecr, ("ubuntu:22.04", "nvcr.io/a/b:1", "/lustre/a.sqsh")))
