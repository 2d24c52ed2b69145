"""A mistake that pydantic found, in plain words: what is wrong, and what to type instead."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import yaml
from pydantic import BaseModel

from pcinfra.project import shape
from pcinfra.project.document import Document, KeyPath, dotted

Words = tuple[str, str]

ALIKE = 0.6

PLURAL = {"image": "images"}
"""Keys that hold one thing and are written for many: what they are, to those who remember or guess the singular."""

# pydantic's error type -> what the value must be
WANTED: dict[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping (lines of 'key: value')",
    "model_type": "a mapping (lines of 'key: value')",
    "model_attributes_type": "a mapping (lines of 'key: value')",
    "none_required": "empty",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One of pydantic's errors.

    Args:
        path: without the labels that pydantic puts in for unions.
        limits: pydantic's context of the error.
        at_key: it is the key that is wrong, not the value.
    """

    path: KeyPath
    kind: str
    message: str
    value: Any
    limits: dict[str, Any]
    at_key: bool = False


def explain(mistakes: Sequence[Mistake], model: type[BaseModel], document: Document) -> Words:
    """Return why and hint for all mistakes at one path (a union makes several)."""
    types = [mistake for mistake in mistakes if mistake.kind in WANTED]
    if len(types) == len(mistakes):
        return _wrong_type(types, model, document)
    mistake = next(mistake for mistake in mistakes if mistake.kind not in WANTED)
    words = _WORDS.get(mistake.kind, _as_said)
    return words(mistake, model, document)


def as_yaml(value: Any) -> str:
    """Return ``value`` as one would type it on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True)
    line = text.removesuffix("\n").removesuffix("\n...").strip()
    if isinstance(value, str) and line.startswith("'"):
        return json.dumps(value, ensure_ascii=False)
    return line


def nearest(word: str, choices: Sequence[str]) -> str:
    """Return the choice that ``word`` was probably meant to be; empty when none is like it."""
    if len(word) > 80:
        return ""
    likeness = {choice: SequenceMatcher(None, _plain(word), _plain(choice)).ratio() for choice in choices}
    best = max(choices, key=lambda choice: likeness[choice], default="")
    return best if best and likeness[best] >= ALIKE else ""


def one_of(choices: Sequence[Any]) -> str:
    """Return ``A, B or C``."""
    *most, last = map(str, choices)
    return f"{', '.join(most)} or {last}" if most else last


def _plain(word: str) -> str:
    return re.sub(r"[\W_]+", "", word).lower()


def _set(path: KeyPath, value: Any) -> str:
    """Return the line that sets the last key of ``path``."""
    return as_yaml(value) if not path or isinstance(path[-1], int) else f"{path[-1]}: {as_yaml(value)}"


def _wrong_type(mistakes: Sequence[Mistake], model: type[BaseModel], document: Document) -> Words:
    value, path = mistakes[0].value, mistakes[0].path
    wanted = list(dict.fromkeys(WANTED[mistake.kind] for mistake in mistakes))
    if value is None:
        return f"is empty; it must be {one_of(wanted)}", _filled(path, model)
    if not path and isinstance(value, str) and re.match(r"\w+:\S", value):
        return "has no space after the colon of a key", value.replace(":", ": ", 1).split("\n")[0][:60]
    why = f"must be {one_of(wanted)}, not {_kind(value, document.written.get(path, ''))}"
    return why, _converted(wanted, value, document.written.get(path, ""), path) or _example(path, model)


def _kind(value: Any, written: str) -> str:
    if isinstance(value, bool):
        word = "true" if value else "false"
        return written if written.lower() == word else f"{word}, as which YAML reads {written or word}"
    if isinstance(value, int | float):
        return f"the number {written or value}"
    if isinstance(value, str):
        return f"the text {value!r}" if value and len(value) <= 40 and value.isprintable() else "text"
    return "a list" if isinstance(value, list) else "a mapping"


def _converted(wanted: Sequence[str], value: Any, written: str, path: KeyPath) -> str:
    """Return the line with the value in the right type, when it is plain what was meant."""
    if "text" in wanted and isinstance(value, bool | int | float):
        return _quoted(path, written or str(value))
    if "a whole number" in wanted and isinstance(value, str | float):
        number = re.match(r"\s*(-?\d[\d,_ ]*)", str(value))
        return _set(path, int(re.sub(r"[^\d-]", "", number[1]))) if number else ""
    if "a number" in wanted and isinstance(value, str):
        return _set(path, float(value)) if re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", value) else ""
    if "true or false" in wanted:
        said = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}.get(
            str(value).lower()
        )
        return f"{_set(path, True)}, or {_set(path, False)}" if said is None else _set(path, said)
    if "a list" in wanted and isinstance(value, str | int | float):
        return _set(path, [value])
    return ""


def _filled(path: KeyPath, model: type[BaseModel]) -> str:
    field = shape.field_at(model, path)
    example = _example(path, model)
    if field and not field.is_required() and example.startswith("keys of"):
        return f"remove {path[-1]} to take the defaults; {example}"
    return example or "give it a value, or remove the key"


def _quoted(path: KeyPath, written: str) -> str:
    line = f'"{written}"'
    return line if not path or isinstance(path[-1], int) else f"{path[-1]}: {line}"


def _example(path: KeyPath, model: type[BaseModel]) -> str:
    field = shape.field_at(model, path)
    if field is None:
        keys = shape.keys_at(model, path)
        return f"keys here: {', '.join(keys)}" if keys else ""
    if field.examples:
        return _set(path, field.examples[0])
    default = None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
    keys = shape.keys_at(model, path) or shape.keys_at(model, (*path, 0))
    if keys:
        return f"keys of {path[-1]}: {', '.join(keys)}"
    if default is None or isinstance(default, dict):
        return ""
    return _set(path, list(default) if isinstance(default, tuple) else default)


def _missing(mistake: Mistake, model: type[BaseModel], document: Document) -> Words:
    example = _example(mistake.path, model) or f"{mistake.path[-1]}: ..."
    return "is missing, and has no default", example


def _unknown(mistake: Mistake, model: type[BaseModel], document: Document) -> Words:
    parent, key = mistake.path[:-1], str(mistake.path[-1])
    keys = shape.keys_at(model, parent)
    if PLURAL.get(key) in keys:
        return f"is {PLURAL[key]} here: each under a name of its own", _under_a_name(PLURAL[key], mistake.value)
    home = next(shape.homes(model, key), None)
    if home is not None:
        return "is not a key here", dotted((*home, key)) if home else f"{key}, at the top level"
    near = nearest(key, keys)
    if near:
        return "is not a key", near
    return "is not a key", f"keys here: {', '.join(keys)}" if keys else "remove it"


def _under_a_name(key: str, value: Any) -> str:
    """Return the line that gives one thing a name; its settings are left out where they would fill the screen."""
    settings = as_yaml(value) if isinstance(value, dict) else ""
    return f"{key}: {{pytorch: {settings if 0 < len(settings) <= 80 else '{...}'}}}"


def _not_a_choice(mistake: Mistake, model: type[BaseModel], document: Document) -> Words:
    choices = shape.choices_at(model, mistake.path)
    written = document.written.get(mistake.path, "")
    if not isinstance(mistake.value, str) and written in choices:
        return f"must be text, and {written} without quotes is not", _quoted(mistake.path, written)
    why = f"must be {one_of(choices)}" if choices else str(mistake.limits.get("expected", mistake.message))
    near = nearest(written or str(mistake.value), [str(choice) for choice in choices])
    value = next((choice for choice in choices if str(choice) == near), None)
    return why, _set(mistake.path, value) if near else ""


def _at_least(mistake: Mistake, model: type[BaseModel], document: Document) -> Words:
    bound = mistake.limits.get("ge", mistake.limits.get("gt"))
    return f"must be {'at least' if 'ge' in mistake.limits else 'more than'} {bound}", _set(mistake.path, bound)


def _at_most(mistake: Mistake, model: type[BaseModel], document: Document) -> Words:
    bound = mistake.limits.get("le", mistake.limits.get("lt"))
    return f"must be {'at most' if 'le' in mistake.limits else 'less than'} {bound}", _set(mistake.path, bound)


def _too_short(mistake: Mistake, model: type[BaseModel], document: Document) -> Words:
    least = mistake.limits["min_length"]
    if least == 1:
        return "must not be empty", _filled(mistake.path, model)
    return f"must have at least {least} {_units(mistake)}", ""


def _too_long(mistake: Mistake, model: type[BaseModel], document: Document) -> Words:
    most, given = mistake.limits["max_length"], len(mistake.value)
    return f"has {given} {_units(mistake)}; at most {most} are possible", ""


def _units(mistake: Mistake) -> str:
    return "characters" if mistake.kind.startswith("string") else "entries"


def _pattern(mistake: Mistake, model: type[BaseModel], document: Document) -> Words:
    return f"does not match the pattern {mistake.limits['pattern']}", _example(mistake.path, model)


def _as_said(mistake: Mistake, model: type[BaseModel], document: Document) -> Words:
    """Return a validator's own words; its context may hold a ``hint``, or a value to type ``instead``."""
    said = mistake.message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    said = said.replace("Input should be", "must be", 1)
    instead = mistake.limits.get("instead") or None
    if instead is None:
        return said, str(mistake.limits.get("hint", ""))
    return said, as_yaml(instead) if mistake.at_key else _set(mistake.path, instead)


_WORDS: dict[str, Callable[[Mistake, type[BaseModel], Document], Words]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _not_a_choice,
    "enum": _not_a_choice,
    "greater_than_equal": _at_least,
    "greater_than": _at_least,
    "less_than_equal": _at_most,
    "less_than": _at_most,
    "string_too_short": _too_short,
    "too_short": _too_short,
    "string_too_long": _too_long,
    "too_long": _too_long,
    "string_pattern_mismatch": _pattern,
}
