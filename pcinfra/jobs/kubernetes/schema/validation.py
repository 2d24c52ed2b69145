"""Values against a structural schema, by the server's rules of types, formats, bounds and uniqueness."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pcinfra.jobs.kubernetes.schema.structural import Node

Path = tuple[str | int, ...]
Problem = tuple[Path, str, str]
"""Path, why, and what to write instead (empty when nothing can be said)."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)


def _integer(value: Any) -> bool:
    """Whether the server takes ``value`` for an integer: beyond 64 bits it is a float to Go."""
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return whole and not isinstance(value, bool) and int(value) in _INT64


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "object": (lambda value: isinstance(value, dict), "a map"),
    "array": (lambda value: isinstance(value, list), "a list"),
    "string": (lambda value: isinstance(value, str), "text"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "integer": (_integer, "a whole number"),
    "number": (_number, "a number"),
}


@dataclass(frozen=True, slots=True)
class Found:
    """What is wrong with a value, and numbers in it that do not fit their format.

    Older servers take the latter, and the operator's Go cannot read them.
    """

    problems: list[Problem] = field(default_factory=list)
    too_wide: list[Problem] = field(default_factory=list)


def problems(value: Any, node: Node, path: Path = ()) -> Found:
    """Return what is wrong with ``value`` and all that is in it."""
    found = Found()
    _find(value, node, path, found)
    return found


def _find(value: Any, node: Node, path: Path, found: Found) -> None:
    kind = type(value)
    if kind is not node.exact:
        if value is None and node.nullable:
            return
        wrong = _wrong_type(value, node)
        if wrong:
            fixed = _as_text(value) if node.type == "string" and _number(value) else ""
            found.problems.append((path, wrong, fixed))
            return
    if node.restricted:
        found.problems.extend(_of_restricted(value, node, path))
    if kind is dict:
        _of_map(value, node, path, found)
    elif kind is list:
        _of_list(value, node, path, found)
    elif kind is str:
        _of_text(value, node, path, found.problems)
    elif _number(value):
        _of_number(value, node, path, found)


def _of_restricted(value: Any, node: Node, path: Path) -> Iterator[Problem]:
    if node.enum and value not in node.enum:
        yield path, f"must be one of {', '.join(map(str, node.enum))}", ""
    if node.logic and not _holds(value, node):
        yield path, "does not fit the schema", ""


def _as_text(value: Any) -> str:
    return json.dumps(str(value))


def _wrong_type(value: Any, node: Node) -> str:
    if node.int_or_string:
        fits = _integer(value) or isinstance(value, str)
        return "" if fits else "must be a whole number or text"
    test = _TYPES.get(node.type)
    return "" if test is None or test[0](value) else f"must be {test[1]}"


def _of_map(value: dict[str, Any], node: Node, path: Path, found: Found) -> None:
    for key in node.required:
        if key not in value:
            found.problems.append(((*path, key), "is required", ""))
    if node.bounds:
        found.problems.extend(_size(len(value), node, path, "Properties", "entries"))
    known, other = node.properties, node.values
    for key, item in value.items():
        child = known.get(key) or other
        if child is not None and not (type(item) is str and child.plain_text):
            _find(item, child, (*path, key), found)


def _of_list(value: list[Any], node: Node, path: Path, found: Found) -> None:
    if node.bounds:
        found.problems.extend(_size(len(value), node, path, "Items", "items"))
    if node.map_keys:
        why = f"another item has the same {node.map_keys[0]}"
        found.problems.extend(_doubles([_key(item, node) for item in value], path, why))
    elif node.is_set:
        found.problems.extend(_doubles([json.dumps(item, sort_keys=True) for item in value], path, "is there twice"))
    if node.items is not None:
        plain = node.items.plain_text
        for index, item in enumerate(value):
            if not (type(item) is str and plain):
                _find(item, node.items, (*path, index), found)


def _key(item: Any, node: Node) -> str | None:
    if not isinstance(item, dict):
        return None
    values = [item.get(key) for key in node.map_keys]
    return values[0] if len(values) == 1 and type(values[0]) is str else json.dumps(values, sort_keys=True)


def _doubles(keys: list[str | None] | list[str], path: Path, why: str) -> Iterator[Problem]:
    seen: set[str | None] = set()
    for index, key in enumerate(keys):
        if key in seen:
            yield (*path, index), why, ""
        seen.add(key)


def _of_text(value: str, node: Node, path: Path, found: list[Problem]) -> None:
    if node.bounds:
        found.extend(_size(len(value), node, path, "Length", "characters"))
    if node.pattern is not None and not node.pattern.search(value):
        found.append((path, f"{value!r} does not match {node.pattern.pattern}", ""))
    if node.format == "date-time" and not _RFC3339.fullmatch(value):
        found.append((path, f"{value!r} is not a time like 2026-01-31T12:00:00Z", ""))


def _size(size: int, node: Node, path: Path, what: str, words: str) -> Iterator[Problem]:
    least, most = node.bounds.get(f"min{what}", 0), node.bounds.get(f"max{what}")
    if size < least:
        yield path, f"must have at least {least} {words}", ""
    if most is not None and size > most:
        yield path, f"must have at most {most} {words}, and has {size}", ""


def _of_number(value: float, node: Node, path: Path, found: Found) -> None:
    if node.format == "int32" and int(value) not in _INT32:
        found.too_wide.append((path, "does not fit 32 bits", ""))
    if node.bounds:
        found.problems.extend(_beyond(value, node, path))


def _beyond(value: float, node: Node, path: Path) -> Iterator[Problem]:
    least, most = node.bounds.get("minimum"), node.bounds.get("maximum")
    if least is not None and (value < least or (value == least and node.bounds.get("exclusiveMinimum"))):
        yield path, f"must be at least {least}", str(least)
    if most is not None and (value > most or (value == most and node.bounds.get("exclusiveMaximum"))):
        yield path, f"must be at most {most}", str(most)
    step = node.bounds.get("multipleOf")
    if step is not None and value % step:
        yield path, f"must be a multiple of {step}", ""


def _holds(value: Any, node: Node) -> bool:
    """Whether the value fits ``allOf``, ``anyOf``, ``oneOf`` and ``not``, which only restrict it further."""
    for name, raw in node.logic:
        if name == "not":
            good = bool(problems(value, Node(raw)).problems)
        else:
            fits = [not problems(value, Node(one)).problems for one in raw]
            good = {"allOf": all(fits), "anyOf": any(fits), "oneOf": sum(fits) == 1}[name]
        if not good:
            return False
    return True
