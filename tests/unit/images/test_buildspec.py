"""The commands of a build in CodeBuild, run by a real bash over programs that note how they are called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from pcinfra.images import codebuild
from pcinfra.images.context import Base
from pcinfra.images.model import Order

URI = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/x"
ORDER = Order("x", "team/x", URI, ("context-0", "latest"), ".", "0" * 64)
BASE = Base("763104351884", "us-west-2", "pytorch", "763104351884.dkr.ecr.us-west-2.amazonaws.com")

PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >>"$NOTES"
case "$*" in *get-login-password*) echo secret;; *password-stdin*) test "$(cat)" = secret || exit 9;; esac
case "$*" in "$FAILS"*) exit 7;; esac
"""


def carry_out(folder: Path, fails: str = "nothing") -> tuple[int, list[str]]:
    """Run every command as CodeBuild does, one after the other in one shell, until one fails."""
    for name in ("aws", "docker"):
        (folder / name).write_text(PROGRAM)
        (folder / name).chmod(0o755)
    phases = yaml.safe_load(codebuild.BUILDSPEC)["phases"]
    commands = [command for name in ("pre_build", "build") for command in phases[name]["commands"]]
    env = {row["name"]: row["value"] for row in codebuild.environment(ORDER, [BASE, BASE])}
    env |= {"PATH": f"{folder}:/usr/bin:/bin", "NOTES": str(folder / "notes"), "FAILS": fails}
    script = "\n".join(f"{command}\n[ $? -eq 0 ] || exit 1" for command in commands)
    done = subprocess.run(["bash", "-c", script], env=env, check=False, capture_output=True, timeout=60)
    return done.returncode, (folder / "notes").read_text().splitlines()


def test_it_logs_in_builds_and_pushes_every_tag(tmp_path: Path) -> None:
    status, notes = carry_out(tmp_path)
    assert status == 0
    assert sorted(notes[:4]) == [
        "aws ecr get-login-password --region us-east-1",
        "aws ecr get-login-password --region us-west-2",
        f"docker login --username AWS --password-stdin {URI.partition('/')[0]}",
        f"docker login --username AWS --password-stdin {BASE.registry}",
    ]
    assert notes[4:] == [
        f"docker build --progress=plain --tag={URI}:context-0 --tag={URI}:latest .",
        f"docker push {URI}:context-0",
        f"docker push {URI}:latest",
    ]


@pytest.mark.parametrize(
    ("fails", "last"),
    [
        ("ecr get-login-password", "docker login"),
        ("login", "docker login"),
        ("build", "docker build"),
        ("push", f"docker push {URI}:context-0"),
    ],
)
def test_after_a_failure_nothing_is_pushed(fails: str, last: str, tmp_path: Path) -> None:
    status, notes = carry_out(tmp_path, fails)
    assert status == 1
    assert any(note.startswith(last) for note in notes[-2:])
    assert [note for note in notes if note.startswith("docker push")] == ([last] if fails == "push" else [])


def test_no_secret_is_on_a_command_line(tmp_path: Path) -> None:
    assert not [note for note in carry_out(tmp_path)[1] if "secret" in note]
