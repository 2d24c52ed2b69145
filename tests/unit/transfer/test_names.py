"""Which names can be keys, and which keys can be files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.transfer.http import Request
from pcinfra.transfer.names import PARTIAL, shown, unfit_for_file, unfit_for_key


@pytest.mark.parametrize(
    "name", ["..", "../x", "a/../../x", "a/..", "/etc/passwd", "a//b", "./a", "a/.", "", "a\0b", "x" * 256,
             f"a/{PARTIAL}x"]
)  # fmt: skip
def test_keys_that_no_file_may_have(name: str) -> None:
    assert unfit_for_file(name)


@pytest.mark.parametrize("name", ["a", "-rf", "new\nline", "sp ace", "ünï/ço", "..a", "a..", "~", "$(x)", "x" * 255])
def test_keys_that_files_may_have(name: str) -> None:
    assert not unfit_for_file(name)


@given(st.text(alphabet="ab./\\-\n\0ü", max_size=12))
def test_a_fit_key_stays_below_the_directory(name: str) -> None:
    if unfit_for_file(name):
        return
    path = Path("/directory") / name
    assert os.path.normpath(path) == str(path)
    assert os.path.normpath(path).startswith("/directory/")


def test_names_that_no_key_may_have() -> None:
    assert "UTF-8" in unfit_for_key("latin-\udce9", "data/")
    assert "1029 bytes" in unfit_for_key("é" * 512, "data/")
    assert not unfit_for_key("é" * 509, "data/")


@given(st.text())
def test_what_is_shown_is_one_line_without_control_characters(name: str) -> None:
    assert shown(name).isprintable() or not name


@given(st.text(min_size=1).filter(lambda key: max(key) < "\ud800"))
def test_paths_are_encoded_so_that_the_key_arrives(key: str) -> None:
    from urllib.parse import unquote

    target = Request("GetObject", "GET", key).target
    assert target.isascii()
    assert not set(target) & set('?#& \n\r"<>')
    assert unquote(target) == key
