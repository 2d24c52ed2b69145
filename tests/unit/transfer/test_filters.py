"""``--include`` and ``--exclude``."""

from __future__ import annotations

import pytest

from pcinfra.transfer import Filter


@pytest.mark.parametrize(
    ("include", "exclude", "admitted", "left_out"),
    [
        ((), (), ["a", "b/c"], []),
        (("*.json",), (), ["a.json", "deep/er/a.json"], ["a.txt", "a.json.gz"]),
        ((), ("*.tmp",), ["a", "b/c"], ["x.tmp", "b/x.tmp"]),
        (("run7/*",), (), ["run7/a", "run7/b/c"], ["run77/a", "b/run7/a"]),
        (("run7/",), (), ["run7/a", "run7/b/c"], ["run7", "b/run7/a"]),
        (("*.json", "*.txt"), ("secret*",), ["a.json", "b/a.txt"], ["secret.json", "b/secret.txt", "a.csv"]),
        ((), (".git/*",), ["git/a"], [".git/config"]),
        ((), ("./x",), ["y"], ["x", "b/x"]),
        (("[ab]?",), (), ["a1", "x/b2"], ["c1", "a12", "A1"]),
        (("*",), (), ["new\nline", "a/new\nline"], []),
    ],
)
def test_globs(include: tuple[str, ...], exclude: tuple[str, ...], admitted: list[str], left_out: list[str]) -> None:
    wanted = Filter(include, exclude)
    assert [name for name in admitted + left_out if wanted.admits(name)] == admitted
