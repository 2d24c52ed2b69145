"""Checks a configuration against a schema: verdict and place as marshmallow's, in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pcinfra.clusters.schema import together
from pcinfra.clusters.schema.document import Schema

Path = tuple[str | int, ...]

# marshmallow 3, fields.Boolean.truthy and .falsy
_BOOLEANS = frozenset(
    ("t", "T", "true", "True", "TRUE", "on", "On", "ON", "y", "Y", "yes", "Yes", "YES", "1", 1,
     "f", "F", "false", "False", "FALSE", "off", "Off", "OFF", "n", "N", "no", "No", "NO", "0", 0)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong at ``path``, and what to type; ``hint`` is empty when nothing is known."""

    path: Path
    why: str
    hint: str = ""


def check(schema: Schema, config: Any) -> list[Fault]:
    """Return everything in ``config`` (parsed YAML) that is not as ``schema`` says."""
    return list(_section(schema, schema.root, config, ()))


def _section(schema: Schema, name: str, value: Any, path: Path) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(path, "must be a mapping")
        return
    fields = schema.sections[name]
    faults: list[Fault] = []
    for key, field in fields.items():
        if key in value:
            faults += _field(schema, field, value[key], (*path, key))
        elif field.get("required"):
            faults.append(Fault((*path, key), "is missing", f"{key}: ..."))
    for key in value:
        if key not in fields:
            faults.append(Fault((*path, str(key)), "is not a key here", _nearest(str(key), fields)))
    faults += (Fault((*path, *at), why) for at, why in together.lists(name, value))
    yield from faults
    if not faults:  # as marshmallow does (skip_on_field_errors)
        yield from (Fault((*path, *at), why) for at, why in together.rules(name, value))


def _nearest(key: str, fields: Mapping[str, Any]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, fields, 1, cutoff=0.6)
    return near[0] if near else f"keys here: {', '.join(sorted(fields))}"


def _field(schema: Schema, field: Mapping[str, Any], value: Any, path: Path) -> Iterator[Fault]:
    if value is None:
        yield Fault(path, "must not be empty")
        return
    kind = field["type"]
    if kind == "section":
        yield from _section(schema, field["section"], value, path)
    elif kind == "sections":
        yield from _sections(schema, field, value, path)
    elif kind == "actions":
        yield from _actions(schema, field["section"], value, path)
    elif kind == "list":
        yield from _list(schema, field, value, path)
    elif why := _wrong_type(kind, value):
        yield Fault(path, why)
        return
    yield from _checks(field, value, path)


def _sections(schema: Schema, field: Mapping[str, Any], value: Any, path: Path) -> Iterator[Fault]:
    if not isinstance(value, list):
        yield Fault(path, "must be a list")
        return
    for index, item in enumerate(value):
        yield from _section(schema, field["section"], item, (*path, index))


def _list(schema: Schema, field: Mapping[str, Any], value: Any, path: Path) -> Iterator[Fault]:
    if not isinstance(value, list):
        yield Fault(path, "must be a list")
        return
    for index, item in enumerate(value):
        yield from _field(schema, field["item"], item, (*path, index))


def _actions(schema: Schema, section: str, value: Any, path: Path) -> Iterator[Fault]:
    """pcluster, OneOrManyCustomActionField: one script, or several under Sequence."""
    if not isinstance(value, dict) or ("Script" in value) is ("Sequence" in value):
        yield Fault(path, "must have either Script or Sequence")
    elif "Script" in value:
        yield from _section(schema, section, value, path)
    elif not isinstance(value["Sequence"], list):
        yield Fault(path, "Sequence must be a list")
    else:
        for item in value["Sequence"]:
            yield from _section(schema, section, item, path)


def _wrong_type(kind: str, value: Any) -> str:
    """Return what is wrong with the type of a value; marshmallow takes numbers from text, but no text from numbers."""
    if kind == "string":
        return "" if isinstance(value, str) else f"must be text: {str(value)!r} in quotes"[:120]
    if kind == "boolean":
        return "" if _is_boolean(value) else "must be true or false"
    if kind == "integer":
        return "" if _is_number(value, int) else "must be a whole number"
    if kind == "float":
        return "" if _is_number(value, float) else "must be a number"
    if kind == "dict":
        return "" if isinstance(value, dict) else "must be a mapping"
    return ""


def _is_boolean(value: Any) -> bool:
    try:
        return value in _BOOLEANS
    except TypeError:
        return False


def _is_number(value: Any, kind: type[int] | type[float]) -> bool:
    if isinstance(value, bool):
        return False
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return number == number and abs(number) != float("inf")


def _checks(field: Mapping[str, Any], value: Any, path: Path) -> Iterator[Fault]:
    for check_ in field.get("checks", ()):
        ((kind, asked),) = check_.items()
        if fault := _CHECKS[kind](asked, value, field["type"]):
            yield Fault(path, *fault)


def _pattern(asked: str, value: Any, kind: str) -> tuple[str, str] | None:
    return None if re.match(asked, value) else (f"does not match {asked}", "")


def _one_of(asked: list[Any], value: Any, kind: str) -> tuple[str, str] | None:
    from difflib import get_close_matches

    if value in asked or (kind == "integer" and int(value) in asked):
        return None
    if kind == "integer":
        near = [str(min(asked, key=lambda choice: abs(choice - int(value))))]
    else:
        near = get_close_matches(str(value), [str(choice) for choice in asked], 1)
    return f"must be one of {', '.join(str(choice) for choice in asked)}", near[0] if near else ""


def _range(asked: Mapping[str, Any], value: Any, kind: str) -> tuple[str, str] | None:
    number = float(value)
    low, high = asked.get("min"), asked.get("max")
    if low is not None and (number < low or (asked.get("more") and number == low)):
        return f"must be {'more than' if asked.get('more') else 'at least'} {low}", str(low)
    if high is not None and number > high:
        return f"must be at most {high}", str(high)
    return None


def _length(asked: Mapping[str, Any], value: Any, kind: str) -> tuple[str, str] | None:
    if not isinstance(value, str | list | dict):
        return None
    size, what = len(value), "characters" if isinstance(value, str) else "entries"
    if "equal" in asked and size != asked["equal"]:
        return f"must have {asked['equal']} {what}, not {size}", ""
    if size < asked.get("min", 0) or size > asked.get("max", size):
        bounds = [f"{word} {asked[key]}" for key, word in (("min", "at least"), ("max", "at most")) if key in asked]
        return f"has {size} {what}; {' and '.join(bounds)} are possible", ""
    return None


def _rule(asked: str, value: Any, kind: str) -> tuple[str, str] | None:
    why = together.VALUES[asked](value)
    return (why, "") if why else None


_CHECKS: dict[str, Callable[[Any, Any, str], tuple[str, str] | None]] = {
    "pattern": _pattern,
    "one_of": _one_of,
    "range": _range,
    "length": _length,
    "rule": _rule,
}
