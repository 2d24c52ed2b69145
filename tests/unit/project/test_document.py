"""YAML text to plain data with places."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.errors import InputError
from pcinfra.project.document import MAX_BYTES, MAX_VALUES, Document, decode, dotted, parse

PLAIN_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\ufffe\uffff"), max_size=20
)
SCALARS = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False) | PLAIN_TEXT
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN_TEXT, inner, max_size=4),
    max_leaves=20,
)


def parsed(file: str | bytes) -> Document | InputError:
    try:
        return parse(file if isinstance(file, str) else decode(file, "file.yaml"), "file.yaml")
    except InputError as error:
        return error


@given(DATA.filter(lambda data: data is not None))
def test_reads_what_pyyaml_writes(data: Any) -> None:
    document = parse(yaml.safe_dump(data, allow_unicode=True), "file.yaml")
    assert document.problems == ()
    assert document.data == data


@given(st.text(max_size=200) | st.text("{}[]&*!|>'\"%@`:-?,# \n\tab0.<~", max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    document = parsed(text)
    if isinstance(document, InputError):
        assert all(problem.why for problem in document.problems)
    else:
        lines = text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + text.count("\u2029")
        assert all(1 <= line <= lines + 1 and column >= 1 for line, column in document.places.values())


@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_refused(raw: bytes) -> None:
    document = parsed(raw)
    assert isinstance(document, Document) or document.problems


def test_remembers_where_values_and_keys_stand() -> None:
    document = parse('a:\n  b: [1, "x"]\n  c:\nd: {e: no}\n', "file.yaml")
    assert document.data == {"a": {"b": [1, "x"], "c": None}, "d": {"e": False}}
    assert document.places[("a", "b", 1)] == (2, 10)
    assert document.places[("a", "b")] == (2, 3)
    assert document.places[("a", "c")] == (3, 3)
    assert document.keys[("d", "e")] == (4, 5)
    assert document.places[("d", "e")] == (4, 8)
    assert document.written[("d", "e")] == "no"
    assert ("a", "b", 1) not in document.written


def test_a_value_that_is_not_there_stands_where_its_section_does() -> None:
    document = parse("a: 1\nb:\n  c: 2\n", "file.yaml")
    assert document.place(("b", "x", 0, "y")) == (2, 1)
    assert document.place(("z",)) == (1, 1)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "\ufeff"])
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    assert parse(text, "file.yaml").data in ({}, None)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_counts(end: str) -> None:
    document = parse(f"a: 1{end}b:{end}  c: 2{end}", "file.yaml")
    assert document.data == {"a": 1, "b": {"c": 2}}
    assert document.places[("b", "c")] == (3, 6)


def test_anchors_and_merge_keys_are_expanded() -> None:
    text = "base: &base {image: a, nodes: 2}\njob:\n  <<: *base\n  nodes: 4\nlist: [*base, {<<: [*base, {x: 1}]}]\n"
    base = {"image": "a", "nodes": 2}
    assert parse(text, "f").data == {
        "base": base,
        "job": {"nodes": 4, "image": "a"},
        "list": [base, base | {"x": 1}],
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x1f", 31),
        ("1_200", 1200),
        ("-5", -5),
        ("+7", 7),
        ("1.5e+3", 1500.0),
        (".inf", math.inf),
        ("0", 0),
        ("0b11", 3),
    ],
)
def test_numbers(text: str, value: float) -> None:
    assert parse(f"a: {text}", "f").data == {"a": value}


def test_a_refused_value_leaves_its_place_and_the_rest() -> None:
    document = parse("a: [1, 010, 3]\nb: 2020-01-01\nc: ok\n", "f")
    assert document.data == {"a": [1, None, 3], "b": None, "c": "ok"}
    assert document.refused == {("a", 1), ("b",)}
    assert [(p.line, p.column, p.key) for p in document.problems] == [(1, 8, "a[1]"), (2, 4, "b")]


def test_more_than_a_mebibyte_is_refused() -> None:
    with pytest.raises(InputError, match="larger than 1 MiB"):
        parse("#" + "é" * (MAX_BYTES // 2), "f")
    with pytest.raises(InputError, match="larger than 1 MiB"):
        decode(b" " * (MAX_BYTES + 1), "f")


def test_more_values_than_any_settings_file_has_are_refused() -> None:
    with pytest.raises(InputError, match="more values than a settings file can need"):
        parse("- a\n" * (2 * MAX_VALUES + 1), "f")


def test_a_key_in_a_message_is_short_and_on_one_line() -> None:
    assert dotted(("a\nb", "k" * 200)) == '"a\\nb".' + "k" * 77 + "..."


def test_dotted_paths() -> None:
    assert dotted(("clusters", "train", "queues", 0, "name")) == "clusters.train.queues[0].name"
    assert dotted(()) == ""
