"""The code that travels with a job."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from pcinfra.errors import UsageError
from pcinfra.jobs.code import names, pack
from pcinfra.jobs.spec import Code
from pcinfra.shell import Subprocess


def git(top: Path, *words: str) -> None:
    configured = ["-c", "user.email=a@b", "-c", "user.name=a", "-c", "core.excludesFile="]
    subprocess.run(["git", "-C", str(top), *configured, *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One commit, and after it a file that is changed, one that is deleted, one that is new, one that is ignored."""
    git(tmp_path, "init", "-q")
    for name, text in ((".gitignore", "ignored\n"), ("kept.py", "1"), ("gone.py", "1"), ("sub/it's 한글", "1")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "kept.py").chmod(0o755)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    (tmp_path / "gone.py").unlink()
    (tmp_path / "kept.py").write_text("2")
    (tmp_path / "new.py").write_text("1")
    (tmp_path / "ignored").write_text("1")
    return tmp_path


@pytest.mark.parametrize(("source", "expected", "kept"), [
    ("worktree", {".gitignore", "kept.py", "new.py", "sub/it's 한글"}, b"2"),
    ("commit", {".gitignore", "kept.py", "gone.py", "sub/it's 한글"}, b"1"),
    ("directory", {".gitignore", "kept.py", "new.py", "ignored", "sub/it's 한글"}, b"2"),
])  # fmt: skip
def test_the_source_says_which_files_travel(source: str, expected: set[str], kept: bytes, repository: Path) -> None:
    packed = pack(Code.model_validate({"source": source}), repository, Subprocess())
    assert set(names(packed)) == expected
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        file = tar.extractfile("kept.py")
        assert file
        assert file.read() == kept
        assert tar.getmember("kept.py").mode & 0o100
    assert packed == pack(Code.model_validate({"source": source}), repository, Subprocess())


def test_a_folder_of_a_repository_travels_without_the_rest(repository: Path) -> None:
    for source in ("worktree", "commit", "directory"):
        code = Code.model_validate({"source": source, "path": "sub"})
        assert names(pack(code, repository, Subprocess())) == ["it's 한글"]


def test_links_stay_links_and_nothing_else_special_travels(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "out").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    packed = pack(Code(source="directory"), tmp_path, Subprocess())
    assert sorted(names(packed)) == ["link", "out"]


@pytest.mark.parametrize(("fields", "why"), [
    ({"source": "commit", "commit": "nowhere"}, "nowhere"),
    ({"source": "directory", "path": "empty"}, "has no files to send"),
])  # fmt: skip
def test_what_cannot_travel_is_said(fields: dict[str, str], why: str, repository: Path) -> None:
    (repository / "empty").mkdir()
    with pytest.raises(UsageError, match=why):
        pack(Code.model_validate(fields), repository, Subprocess())


def test_a_folder_without_git_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    with pytest.raises(UsageError, match=r"not a git repository.*\n.*source: directory"):
        pack(Code(), tmp_path, Subprocess())
