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


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A repository with a submodule that has one itself; what is committed, changed, new and ignored in each."""
    for name in ("inner", "middle", "outer"):
        (tmp_path / name).mkdir()
        git(tmp_path / name, "init", "-q")
        (tmp_path / name / "kept").write_text("1")
        (tmp_path / name / ".gitignore").write_text("ignored\n")
        git(tmp_path / name, "add", ".")
        git(tmp_path / name, "commit", "-qm", "one")
    add = ("-c", "protocol.file.allow=always", "submodule", "add", "-q")
    git(tmp_path / "middle", *add, str(tmp_path / "inner"), "in it's")
    git(tmp_path / "middle", "commit", "-qm", "two")
    git(tmp_path / "outer", *add, str(tmp_path / "middle"), "lib/middle")
    git(tmp_path / "outer", "-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init", "--recursive")
    git(tmp_path / "outer", "commit", "-qm", "two")
    for place in ("", "lib/middle", "lib/middle/in it's"):
        for name, text in (("kept", "2"), ("new", "2"), ("ignored", "2")):
            (tmp_path / "outer" / place / name).write_text(text)
    return tmp_path / "outer"


def content(packed: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        file = tar.extractfile(name)
        assert file
        return file.read()


@pytest.mark.parametrize(("source", "more", "kept"), [("worktree", ["new"], b"2"), ("commit", [], b"1")])
def test_submodules_travel_too(source: str, more: list[str], kept: bytes, nested: Path) -> None:
    packed = pack(Code.model_validate({"source": source}), nested, Subprocess())
    places = ["", "lib/middle/", "lib/middle/in it's/"]
    expected = {f"{place}{name}" for place in places for name in (".gitignore", "kept", *more)}
    assert set(names(packed)) == expected | {".gitmodules", "lib/middle/.gitmodules"}
    assert [content(packed, f"{place}kept") for place in places] == [kept] * 3
    assert packed == pack(Code.model_validate({"source": source}), nested, Subprocess())
    inside = pack(Code.model_validate({"source": source, "path": "lib"}), nested, Subprocess())
    assert set(names(inside)) == {name.removeprefix("lib/") for name in names(packed) if name.startswith("lib/")}


def test_a_commit_has_the_submodule_that_it_records_not_the_one_of_now(nested: Path) -> None:
    git(nested / "lib/middle", "add", ".")
    git(nested / "lib/middle", "commit", "-qm", "three")
    packed = pack(Code(source="commit"), nested, Subprocess())
    assert (content(packed, "lib/middle/kept"), "lib/middle/new" in names(packed)) == (b"1", False)


def test_a_submodule_that_is_not_here_or_has_not_the_commit_is_said(nested: Path) -> None:
    git(nested / "lib/middle", "add", "kept")
    git(nested / "lib/middle", "commit", "-qm", "three")
    git(nested, "add", "lib/middle")
    git(nested, "commit", "-qm", "three")
    git(nested / "lib/middle", "reset", "-q", "--hard", "HEAD~1")
    git(nested / "lib/middle", "reflog", "expire", "--expire=now", "--all")
    git(nested / "lib/middle", "gc", "-q", "--prune=now")
    with pytest.raises(UsageError, match=r"lib/middle has no commit [0-9a-f]{12}.*\n.*submodule update --init"):
        pack(Code(source="commit"), nested, Subprocess())
    git(nested, "submodule", "deinit", "-q", "--force", "lib/middle")
    with pytest.raises(UsageError, match="the submodule lib/middle is not here"):
        pack(Code(source="commit"), nested, Subprocess())
    assert set(names(pack(Code(), nested, Subprocess()))) == {".gitignore", ".gitmodules", "kept", "new"}
