"""A model and a file: every mistake at once, in its place. Models of its own, because job files use it too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from pcinfra.errors import InputError
from pcinfra.project.positions import Finding, validate


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Mount(Strict):
    source: str = Field(examples=["/lustre/data"])
    target: str
    mode: Literal["ro", "rw"] = "rw"


class Job(Strict):
    name: str = Field(examples=["hello"])
    command: str | tuple[str, ...] = Field(examples=["echo hello"])
    nodes: int = Field(default=1, ge=1, le=64)
    share: float = 0.5
    mounts: tuple[Mount, ...] = ()
    env: dict[str, str] = {}
    wall: int | None = None

    @field_validator("name")
    @classmethod
    def _short(cls, value: str) -> str:
        if len(value) > 8:
            raise ValueError("is longer than 8 characters")
        if value == "taken":
            raise PydanticCustomError("rule", "is taken", {"instead": "other"})
        return value

    @model_validator(mode="after")
    def _fits(self) -> Job:
        if self.wall and self.nodes > self.wall:
            raise ValueError("more nodes than wall")
        return self


def more_mounts_than_nodes(job: Job) -> Iterator[Finding]:
    if len(job.mounts) > job.nodes:
        yield Finding(("mounts",), "more mounts than nodes", f"nodes: {len(job.mounts)}", (("nodes",),))


def problems(text: str) -> list[tuple[int, int, str, str, str]]:
    with pytest.raises(InputError) as caught:
        validate(Job, text, "job.yaml", [more_mounts_than_nodes])
    assert {problem.file for problem in caught.value.problems} == {"job.yaml"}
    return [(p.line, p.column, p.key, p.why, p.hint) for p in caught.value.problems]


def test_returns_the_model() -> None:
    text = "name: a\ncommand: [echo, hi]\nmounts: [{source: /a, target: /b}]\nenv: {A: b}\nshare: 1\n"
    job = validate(Job, text, "job.yaml", [more_mounts_than_nodes])
    assert job == Job(
        name="a", command=("echo", "hi"), mounts=(Mount(source="/a", target="/b"),), env={"A": "b"}, share=1
    )


def test_required_keys_of_an_empty_file() -> None:
    assert problems("") == [
        (1, 1, "command", "is missing, and has no default", "command: echo hello"),
        (1, 1, "name", "is missing, and has no default", "name: hello"),
    ]


def test_a_union_is_one_problem() -> None:
    assert problems("name: a\ncommand: 5\n") == [
        (2, 10, "command", "must be text or a list, not the number 5", 'command: "5"')
    ]


def test_a_mistake_inside_one_side_of_a_union_is_told_there() -> None:
    assert problems("name: a\ncommand: [echo, 5]\n") == [(2, 17, "command[1]", "must be text, not the number 5", '"5"')]


def test_a_validators_words_are_shown_as_they_are() -> None:
    assert problems("name: much-too-long\ncommand: x\n") == [(1, 7, "name", "is longer than 8 characters", "")]
    assert problems("name: taken\ncommand: x\n") == [(1, 7, "name", "is taken", "name: other")]
    assert problems("name: a\ncommand: x\nwall: 1\nnodes: 2\n") == [(1, 1, "", "more nodes than wall", "")]


def test_an_optional_number() -> None:
    assert problems("name: a\ncommand: x\nwall: 2h\n") == [
        (3, 7, "wall", "must be a whole number, not the text '2h'", "wall: 2")
    ]


def test_a_fraction_of_text() -> None:
    assert problems("name: a\ncommand: x\nshare: half\n") == [
        (3, 8, "share", "must be a number, not the text 'half'", "share: 0.5")
    ]


def test_rules_run_on_what_is_left_of_a_file_with_mistakes() -> None:
    text = "name: a\ncommand: x\nshare: half\nmounts: [{source: /a, target: /b}, {source: /c, target: /d}]\n"
    assert [(line, key) for line, _, key, *_ in problems(text)] == [(3, "share"), (4, "mounts")]


def test_rules_are_left_out_when_nothing_valid_is_left() -> None:
    assert [key for _, _, key, *_ in problems("name: 1\ncommand: x\n")] == ["name"]


@pytest.mark.parametrize(("written", "number"), [("1e-5", "1.0e-05"), ("2e5", "200000.0")])
def test_an_exponent_that_yaml_takes_for_text(written: str, number: str) -> None:
    [(*_, hint)] = problems(f"name: a\ncommand: x\nshare: {written}\n")
    assert hint == f"share: {number}"
    assert validate(Job, f"name: a\ncommand: x\n{hint}\n", "f").share == float(written)


def test_rules_are_silent_about_what_rests_on_a_mistake() -> None:
    text = "name: a\ncommand: x\nnodes: two\nmounts: [{source: /a, target: /b}, {source: /c, target: /d}]\n"
    assert [key for _, _, key, *_ in problems(text)] == ["nodes"]
    text = text.replace("nodes: two", "node: 2")
    assert [key for _, _, key, *_ in problems(text)] == ["node"]


def test_a_rule_is_told_at_its_value() -> None:
    text = "name: a\ncommand: x\nmounts:\n  - {source: /a, target: /b}\n  - {source: /c, target: /d}\n"
    assert problems(text) == [(3, 1, "mounts", "more mounts than nodes", "nodes: 2")]


@pytest.mark.parametrize(
    "word", ["no", "yes", "on", "Off", "TRUE", "1", "0x10", "1.50", "0777", "12:30", "2020-01-01", "1_0"]
)
def test_what_yaml_reads_as_something_else_is_to_be_quoted(word: str) -> None:
    [(line, column, key, why, hint)] = problems(f"name: a\ncommand: x\nenv:\n  VALUE: {word}\n")
    assert (line, column, key) == (4, 10, "env.VALUE")
    assert word in why
    assert f'"{word}"' in hint
    assert validate(Job, f'name: a\ncommand: x\nenv:\n  VALUE: "{word}"\n', "f").env == {"VALUE": word}


@given(
    st.from_regex(
        r"(name|command|nodes|mounts|env|wall|share|x):[ \n]*[-\[{]?[ a-z0-9.:'\"\]},-]{0,12}", fullmatch=True
    )
)
def test_whatever_is_wrong_has_a_place_and_words(text: str) -> None:
    try:
        validate(Job, text, "job.yaml", [more_mounts_than_nodes])
    except InputError as error:
        for problem in error.problems:
            assert problem.line >= 1
            assert problem.why
            assert "Input should" not in str(problem)
