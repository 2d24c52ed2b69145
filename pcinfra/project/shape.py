"""What a pydantic model says may stand at a path of a file."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pcinfra.project.document import KeyPath

_LISTS = (list, tuple, set, frozenset)


def types_at(model: type[BaseModel], path: KeyPath) -> list[Any]:
    """Return every type that the value at ``path`` may have; unions are taken apart, unknown paths give none."""
    found: list[Any] = [model]
    for step in path:
        found = [inner for outer in found for inner in _step(outer, step)]
    return found


def field_at(model: type[BaseModel], path: KeyPath) -> FieldInfo | None:
    """Return the field that ``path`` names; None for items of collections and unknown keys."""
    if not path:
        return None
    for section in sections(types_at(model, path[:-1])):
        field = _fields(section).get(str(path[-1]))
        if field:
            return field
    return None


def keys_at(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the keys that the mapping at ``path`` may have, in the model's order."""
    return list(dict.fromkeys(key for section in sections(types_at(model, path)) for key in _fields(section)))


def choices_at(model: type[BaseModel], path: KeyPath) -> list[Any]:
    """Return the values of the Literals at ``path``."""
    return [choice for kind in types_at(model, path) for choice in _choices(kind)]


def field_choices(field: FieldInfo) -> tuple[list[Any], bool]:
    """Return the values of a field's Literals, and whether the field is a list of such values."""
    kinds = _parts(field.annotation)
    several = any(get_origin(kind) in _LISTS for kind in kinds)
    kinds += [inner for kind in kinds if get_origin(kind) in _LISTS for inner in _step(kind, 0)]
    return [choice for kind in kinds for choice in _choices(kind)], several


def _choices(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def homes(model: type[BaseModel], key: str, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of every section (not inside lists or free mappings) that knows ``key``."""
    if key in keys_at(model, path):
        yield path
    for name in keys_at(model, path):
        if sections(types_at(model, (*path, name))):
            yield from homes(model, key, (*path, name))


def sections(kinds: list[Any]) -> list[type[BaseModel]]:
    """Return those of ``kinds`` that are models."""
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _fields(section: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _step(kind: Any, step: str | int) -> list[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = _fields(kind).get(str(step))
        return _parts(field.annotation) if field else []
    origin, inner = get_origin(kind), get_args(kind)
    if origin is dict and isinstance(step, str):
        return _parts(inner[1])
    if origin in _LISTS and isinstance(step, int):
        return _parts(inner[0])
    return []


def _parts(kind: Any) -> list[Any]:
    origin = get_origin(kind)
    if origin is Annotated:
        return _parts(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return [part for inner in get_args(kind) for part in _parts(inner)]
    return [] if kind is type(None) else [kind]
