"""Checks a YAML file against a pydantic model, and says where in the file each mistake is.

Generic: project files and job files are both read by :func:`validate`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pcinfra.errors import InputError, Problem
from pcinfra.project.document import Document, KeyPath, Place, decode, dotted, parse, read_text
from pcinfra.project.shape import keys_at
from pcinfra.project.wording import WANTED, Mistake, explain, nearest

__all__ = [
    "Document",
    "Finding",
    "KeyPath",
    "Place",
    "Rule",
    "check",
    "decode",
    "dotted",
    "parse",
    "read_text",
    "validate",
]

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule has against a value: ``path`` of the value, why, and what to type instead.

    Args:
        also: paths of other values that the finding rests on. When one of them is wrong by itself the finding
            is not reported, because it may be about a default that nobody wrote.
    """

    path: KeyPath
    why: str
    hint: str = ""
    also: tuple[KeyPath, ...] = ()


Rule = Callable[[M], Iterable[Finding]]


def validate(model: type[M], text: str, filename: str, rules: Sequence[Rule[M]] = ()) -> M:
    """Return the model that ``text`` describes.

    Lists stand for tuples, nothing else is converted. Validators may raise ValueError, or PydanticCustomError
    with a ``hint`` or a value to type ``instead`` in its context; their words are shown as they are. ``rules``
    look at a whole valid model; when the file has mistakes they look at what is left without them, so that
    everything is said at once.

    Raises:
        InputError: one Problem per mistake, with line and column, each with a hint where there is one.
    """
    return check(model, parse(text, filename), rules)


def check(model: type[M], document: Document, rules: Sequence[Rule[M]] = ()) -> M:
    """Return the model that a document describes; see :func:`validate`."""
    value, mistakes = _check(model, document.data)
    bad = set(document.refused) | {mistake.path for mistake in mistakes}
    problems = [*document.problems, *_problems(mistakes, model, document)]
    if value is None or bad:
        value = _without(model, document.data, bad)
    if value is not None:
        doubtful = bad | {_meant(mistake, model) for mistake in mistakes if mistake.kind == "extra_forbidden"}
        findings = [finding for rule in rules for finding in rule(value) if not _rests_on(finding, doubtful)]
        problems += [document.problem(finding.path, finding.why, finding.hint) for finding in findings]
    if problems or value is None:
        raise InputError(list(dict.fromkeys(problems)))
    return value


# A default that depends on other values was not made, because one of those is wrong and told itself.
_FOLLOWS = "default_factory_not_called"

# What pydantic also says of a collection or a union when the mistake is inside it.
_SHALLOW = {*WANTED, "too_short", "too_long"}


def _check(model: type[M], data: Any) -> tuple[M | None, list[Mistake]]:
    """Validate as JSON: strict about types, and lists become tuples (pydantic: strict mode)."""
    try:
        return model.model_validate_json(json.dumps(data), strict=True), []
    except ValidationError as error:
        found = error.errors(include_url=False)
        return None, [_mistake(details, data) for details in found if details["type"] != _FOLLOWS]


def _mistake(details: ErrorDetails, data: Any) -> Mistake:
    path = _real_path(details["loc"], data, missing=details["type"] == "missing")
    at_key = details["type"] == "extra_forbidden" or details["loc"][-1:] == ("[key]",)
    return Mistake(path, details["type"], details["msg"], details["input"], details.get("ctx", {}), at_key)


def _real_path(loc: Sequence[str | int], data: Any, *, missing: bool) -> KeyPath:
    """Return ``loc`` without what pydantic puts in between: labels of unions, ``[key]``."""
    path: list[str | int] = []
    for step in loc:
        inside = isinstance(data, dict) and step in data
        if inside or (isinstance(data, list) and isinstance(step, int) and step < len(data)):
            data = data[step]
            path.append(step)
    return (*path, loc[-1]) if missing else tuple(path)


def _problems(mistakes: Sequence[Mistake], model: type[BaseModel], document: Document) -> Iterable[Problem]:
    told = [mistake for mistake in mistakes if document.refused.isdisjoint((*_around(mistake.path), mistake.path))]
    outer = {path for mistake in told for path in _around(mistake.path)}
    told = [mistake for mistake in told if not (mistake.kind in _SHALLOW and mistake.path in outer)]
    told.sort(key=lambda mistake: str(mistake.path))
    for path, group in groupby(told, key=lambda mistake: mistake.path):
        found = list(group)
        why, hint = explain(found, model, document)
        yield document.problem(path, why, hint, at_key=found[0].at_key)


def _around(path: KeyPath) -> Iterable[KeyPath]:
    """Return the paths of all values that hold the one at ``path``."""
    return (path[:length] for length in range(len(path)))


def _without(model: type[M], data: Any, bad: Iterable[KeyPath]) -> M | None:
    """Return the model without the values at ``bad``: their defaults, or less where they have none."""
    left = deepcopy(data)
    for _ in range(10):
        for path in sorted(bad, key=len, reverse=True):
            _drop(left, path)
        value, mistakes = _check(model, left)
        if value is not None:
            return value
        bad = {mistake.path[:-1] if mistake.kind == "missing" else mistake.path for mistake in mistakes}
        if () in bad:
            return None
    return None


def _drop(data: Any, path: KeyPath) -> None:
    """Remove the value at ``path``; a list loses all its items, because the others must keep their places."""
    for depth, step in enumerate(path):
        if isinstance(data, list):
            if depth == len(path) - 1:
                data.clear()
                return
            data = data[int(step)] if int(step) < len(data) else None
        elif isinstance(data, dict) and depth < len(path) - 1:
            data = data.get(str(step))
        elif isinstance(data, dict):
            data.pop(str(step), None)


def _meant(mistake: Mistake, model: type[BaseModel]) -> KeyPath:
    """Return the path that an unknown key was probably meant to be, or its own."""
    *parent, key = mistake.path
    return (*parent, nearest(str(key), keys_at(model, tuple(parent))) or key)


def _rests_on(finding: Finding, bad: Iterable[KeyPath]) -> bool:
    return any(
        path[: len(wrong)] == wrong or wrong[: len(path)] == path
        for path in (finding.path, *finding.also)
        for wrong in bad
    )
