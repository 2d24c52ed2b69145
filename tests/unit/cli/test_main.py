"""The one exit point: whatever is typed, one clear error and an exit status of 1 or 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.cli.session import Session
from pcinfra.cli.streams import readable


def pcinfra(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    names = ("PATH", "HOME")
    env = {name: os.environ[name] for name in names if name in os.environ} | environment
    argv = [sys.executable, "-m", "pcinfra.cli.main", *arguments]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["status", "--nope"],
        ["submit"],
        ["cluster", "show", ""],
        ["cluster", "show", "../up"],
        ["cluster", "delete", "a\nb", "--yes"],
        ["cluster", "delete", "*", "--yes"],
        ["cluster", "create", "$(id)"],
        ["cluster", "render", "x" * 61],
        ["cluster", "validate", "ünï"],
        ["jobs", "--cluster", "*"],
        ["logs", "1", "--cluster", ""],
        ["submit", "none.yaml"],
        ["submit", "x" * 5000],
        ["-f", "x" * 5000, "plan"],
        ["-f", "none.yaml", "plan"],
        ["init"],
    ],
    ids=lambda arguments: " ".join(arguments)[:30].encode("ascii", "replace").decode().replace("\n", "?"),
)
def test_what_cannot_be_is_one_error_and_never_a_traceback(tmp_path: Path, arguments: list[str]) -> None:
    done = pcinfra(tmp_path, *arguments)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr
    assert len(done.stderr) < 3000


def test_a_terminal_without_utf8_gets_the_rest_of_the_line(tmp_path: Path) -> None:
    program = "from pcinfra.cli import streams; streams.prepare(); print('/data \\u2194 s3')"
    env = {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", program], env=env, cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == b"/data ? s3\n"


@pytest.mark.parametrize("command", [["schema"], ["--help"], ["--version"]])
def test_an_output_that_is_full_is_an_error_and_one_that_is_closed_is_not(tmp_path: Path, command: list[str]) -> None:
    line = f"{sys.executable} -m pcinfra.cli.main {' '.join(command)}"
    full = subprocess.run(f"{line} >/dev/full", shell=True, capture_output=True, text=True, cwd=tmp_path, check=False)
    closed = subprocess.run(f"{line} >&-", shell=True, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (full.returncode, full.stderr) == (1, "error: No space left on device\n")
    assert (closed.returncode, closed.stderr) == (0, "")


def test_a_reader_that_leaves_early_is_left_in_peace(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pcinfra.cli.main", "schema"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


@given(st.text())
def test_an_error_is_printable_and_bounded(text: str) -> None:
    shown = readable(text)
    assert all(character.isprintable() or character in "\n\t" for character in shown)
    assert all(len(line) < 2000 for line in shown.split("\n"))


def test_hints_say_what_must_be_typed_for_the_same_target() -> None:
    hint = "pcinfra up, or pcinfra cluster list; pcinfra local stop; made by pcinfra itself"
    assert Session().typed(hint) == hint
    assert Session(local=True, project_file="my file.yaml").typed(hint) == (
        "pcinfra --local -f 'my file.yaml' up, or pcinfra --local -f 'my file.yaml' cluster list; "
        "pcinfra local stop; made by pcinfra itself"
    )
