"""A directory as it is found, pleasant or not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pcinfra.errors import UsageError
from pcinfra.transfer import Filter, Problem
from pcinfra.transfer.names import PARTIAL
from pcinfra.transfer.scan import scan

EVERYTHING = Filter()


def test_hostile_names(tmp_path: Path) -> None:
    names = ["-rf", "new\nline", "sp ace", "ünïcode", "*?[x]", "a/b/c", "..a", "tab\t", "\\", "quote'\""]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = scan(tmp_path, EVERYTHING)
    assert sorted(found.files) == sorted(names)
    assert found.problems == ()


def test_names_that_are_not_utf_8_are_found(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/latin-\xe9", "wb"):
        pass
    assert list(scan(tmp_path, EVERYTHING).files) == ["latin-\udce9"]


def test_symbolic_links_are_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "outside").symlink_to("/etc")
    (tmp_path / "dangling").symlink_to("nowhere")
    found = scan(tmp_path, EVERYTHING)
    assert list(found.files) == ["file"]
    assert [(p.name, p.harmless) for p in sorted(found.problems)] == [
        ("dangling", True), ("link", True), ("outside", True),
    ]  # fmt: skip


def test_symbolic_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("x")
    (tmp_path / "real/up").symlink_to("..")
    (tmp_path / "self").symlink_to(".")
    (tmp_path / "other").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nowhere")
    found = scan(tmp_path, EVERYTHING, follow=True)
    assert sorted(found.files) == ["other/file", "real/file"]
    loops = {problem.name for problem in found.problems if "leads back" in problem.why}
    assert loops == {"real/up", "other/up", "self"}
    assert [p.name for p in found.problems if not p.harmless] == ["dangling"]


def test_pipes_and_sockets_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        found = scan(tmp_path, EVERYTHING)
    assert found.problems == (Problem("pipe", "is a pipe", True), Problem("socket", "is a socket", True))


def test_unfinished_downloads_and_what_is_excluded_take_no_part(tmp_path: Path) -> None:
    for name in (PARTIAL + "x", "a.tmp", "a.txt"):
        (tmp_path / name).touch()
    assert list(scan(tmp_path, Filter(exclude=("*.tmp",))).files) == ["a.txt"]


def test_a_tree_deeper_than_the_stack(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    assert scan(tmp_path, EVERYTHING).files == {}
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("nowhere", "file"):
        with pytest.raises(UsageError, match=name):
            scan(tmp_path / name, EVERYTHING)


def test_what_may_not_be_read_is_a_problem_and_the_rest_is_found(tmp_path: Path) -> None:
    for name in ("open/a", "shut/b"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "shut").chmod(0)
    code = (
        "import json, sys; from pathlib import Path; from pcinfra.transfer import Filter; "
        "from pcinfra.transfer.scan import scan; found = scan(Path(sys.argv[1]), Filter()); "
        "print(json.dumps([sorted(found.files), [[p.name, p.why, p.harmless] for p in found.problems]]))"
    )
    answer = as_nobody([sys.executable, "-c", code, str(tmp_path)], tmp_path)
    assert json.loads(answer) == [["open/a"], [["shut", "Permission denied", False]]]
    (tmp_path / "shut").chmod(0o700)


def as_nobody(command: list[str], folder: Path) -> str:
    """Run ``command`` as somebody whom permissions hold back; root is not held back by them, except by privileges."""
    if os.geteuid():
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    bounded = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", *command]
    return subprocess.run(bounded, capture_output=True, text=True, check=True).stdout
