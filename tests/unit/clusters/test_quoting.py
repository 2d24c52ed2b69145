"""Every scalar reads back as what it was, and cannot become anything else."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.clusters.quoting import Derived, scalar

TEXT = st.text(st.characters(), max_size=40)  # surrogates and control characters too


@given(st.one_of(TEXT, st.booleans(), st.integers()))
def test_a_scalar_reads_back_equal(value: str | bool | int) -> None:
    read = yaml.safe_load(f"key: {scalar(value)}\nafter: 1\n")
    assert read == {"key": value, "after": 1}
    assert type(read["key"]) is type(value)


@given(TEXT)
def test_a_scalar_in_a_list_reads_back_equal(value: str) -> None:
    assert yaml.safe_load(f"- {scalar(value)}\n- 1\n") == [value, 1]


@given(TEXT, TEXT)
def test_a_reason_cannot_leave_its_comment(value: str, why: str) -> None:
    text = scalar(Derived(value, why))
    assert "\n" not in text
    assert yaml.safe_load(f"key: {text}\nafter: 1\n") == {"key": value, "after": 1}


@pytest.mark.parametrize(
    "value",
    [
        "yes",
        "No",
        "null",
        "~",
        "y",
        "1e3",
        "0x10",
        "1:30",
        "2026-01-01",
        "",
        " a",
        "a ",
        "a: b",
        "a:",
        "a #b",
        "#a",
        "-",
        "- a",
        "{a}",
        "[a]",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
        "'a'",
        '"',
        "\\",
        "a\nb: c",
        "---",
        "...",
        "<<",
        "=",
        "?",
        "|",
        ">",
    ],
)
def test_what_yaml_would_read_otherwise_stays_text(value: str) -> None:
    assert yaml.safe_load(f"key: {scalar(value)}") == {"key": value}


@pytest.mark.parametrize(
    "value", ["p5.48xlarge", "/scratch", "s3://b/k/x.sh", "arn:aws:iam::aws:policy/X", "pcinfra:project"]
)
def test_plain_words_stay_readable(value: str) -> None:
    assert scalar(value) == value
