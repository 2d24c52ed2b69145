""".dockerignore: the examples of Docker's documentation, and the cases of moby/patternmatcher's own tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcinfra.errors import Refused
from pcinfra.images import context, ignore


# Docker, "Build context", .dockerignore files: syntax, matching, negation.
@pytest.mark.parametrize(
    ("text", "out", "kept"),
    [
        ("# comment\n*/temp*\n", ["somedir/temporary.txt", "somedir/temp", "somedir/temp/x"], ["temp", "a/b/temp"]),
        ("*/*/temp*", ["somedir/subdir/temporary.txt"], ["somedir/temporary.txt"]),
        ("temp?", ["tempa", "tempb", "tempa/x"], ["temp", "temp12", "a/tempa"]),
        ("/foo/bar", ["foo/bar", "foo/bar/x"], ["x/foo/bar"]),
        ("foo/bar", ["foo/bar"], ["x/foo/bar", "foo"]),
        ("**/*.go", ["a.go", "x/y/a.go"], ["a.gox"]),
        ("*.md\n!README.md", ["a.md"], ["README.md", "x/a.md"]),
        ("*.md\n!README*.md\nREADME-secret.md", ["a.md", "README-secret.md"], ["README.md", "README-x.md"]),
        ("*.md\nREADME-secret.md\n!README*.md", ["a.md"], ["README-secret.md"]),
        ("*\n!a", ["b", "b/a"], ["a", "a/b"]),
        ("  build/  \n\n\t\n", ["build/x"], ["x/build"]),
        ("./a/../b", ["b"], ["a"]),
        ("\ufeffa", ["\ufeffa"], []),
        (" # not a comment", ["# not a comment"], []),
        ("a\r\nb\r\n", ["a", "b"], []),
    ],
)
def test_the_documented_examples(text: str, out: list[str], kept: list[str]) -> None:
    found = ignore.parse(text)
    assert [path for path in out if not found.excludes(path)] == []
    assert [path for path in kept if found.excludes(path)] == []


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("**", "file", True),
        ("**/", "dir/file", True),
        ("**/**", "dir/file", True),
        ("dir/**", "dir/dir2/file", True),
        ("**/dir", "dir/file", True),
        ("**/dir2/*", "dir/dir2/file", True),
        ("**/dir2/**", "dir/dir2/dir3/file", True),
        ("**file", "dir/file", True),
        ("**file", "afile", True),
        ("**/file", "afile", False),
        ("**/file*txt", "dir/dir/file.txt", True),
        ("**/**/*.txt2", "dir/dir/file.txt", False),
        ("a**/*.txt", "a/dir/dir/file.txt", True),
        ("a/*.txt", "a/dir/file.txt", False),
        ("a/*.txt**", "a/file.txt", True),
        ("a[b-d]e", "ace", True),
        ("a[b-d]e", "aae", False),
        ("a[^b-d]e", "aze", True),
        (".*", ".foo", True),
        (".*", "foo", False),
        ("abc.def", "abcZdef", False),
        ("abc?def", "abcdef", False),
        ("**/foo/bar", "dir/dir2/foo/bar", True),
        ("abc/**", "abc", False),
        ("**/.foo", "bar.foo", False),
        ("a(b)c/def", "a(b)c/def", True),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", True),
        ("a\\\\", "a\\", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "ab", False),
        ("a?b", "a☺b", True),
        ("a???b", "a☺b", False),
        ("[a-ζ]*", "β", True),
        ("*[a-ζ]", "A", False),
        ("[\\]a]", "]", True),
        ("[x\\-]", "-", True),
        ("[\\-x]", "a", False),
        ("[z-a]x", "zx", False),
    ],
)
def test_the_cases_of_the_matcher_that_builders_use(pattern: str, path: str, matches: bool) -> None:
    assert ignore.parse(pattern).excludes(path) is matches


@pytest.mark.parametrize("line", ["!", "! ", "[", "[^", "[^bc", "a[", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "a\\"])
def test_what_is_no_pattern_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(Refused, match=r"is no pattern") as caught:
        ignore.parse(f"fine\n{line}\n", "x/.dockerignore")
    assert caught.value.where == "x/.dockerignore:2"


NAMES = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)


@settings(deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=4), st.booleans())
def test_a_name_with_everything_escaped_matches_itself_and_no_other(parts: list[str], back: bool) -> None:
    escaped = "/".join("".join(f"\\{char}" for char in part) for part in parts)
    path = "/".join(parts)
    if escaped.strip() != escaped or "\n" in path:
        return
    assert ignore.parse(escaped).excludes(path)
    assert not ignore.parse(escaped).excludes(path + "x")
    assert not ignore.parse(f"{escaped}\n!{escaped}").excludes(path) or not back


@settings(deadline=None)
@given(st.text(max_size=40), st.lists(NAMES, min_size=1, max_size=3))
def test_any_text_is_patterns_or_refused(text: str, parts: list[str]) -> None:
    try:
        found = ignore.parse(text)
    except Refused:
        return
    assert found.excludes("/".join(parts)) in (True, False)


def made(folder: Path, ignored: str, name: str = ".dockerignore") -> Path:
    for path in ("Dockerfile", "run.py", "data/big.bin", "data/keep.txt", "src/a.py", "src/__pycache__/a.pyc"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    (folder / name).write_text(ignored)
    return folder


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in context.files(folder)]


def test_what_is_excluded_counts_neither_for_the_digest_nor_goes_along(tmp_path: Path) -> None:
    folder = made(tmp_path, "data\n!data/keep.txt\n")
    assert names(folder) == [".dockerignore", "Dockerfile", "data/keep.txt", "run.py", "src/a.py"]
    before, packed = context.digest(folder), context.archive(folder)
    (folder / "data" / "big.bin").write_text("more")
    assert (context.digest(folder), context.archive(folder)) == (before, packed)
    (folder / "data" / "keep.txt").write_text("more")
    assert context.digest(folder) != before


def test_what_builds_needs_goes_along_whatever_is_excluded(tmp_path: Path) -> None:
    assert names(made(tmp_path, "**")) == [".dockerignore", "Dockerfile"]


def test_the_file_that_is_the_dockerfiles_own_comes_first(tmp_path: Path) -> None:
    folder = made(made(tmp_path, "run.py"), "*\n!run.py", "Dockerfile.dockerignore")
    assert names(folder) == ["Dockerfile", "Dockerfile.dockerignore", "run.py"]
    assert ignore.ignoring(folder) == [f"--ignorefile={folder}/Dockerfile.dockerignore"]
