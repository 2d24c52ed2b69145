"""Checks a request against botocore's model of the service: enumerations, patterns, lengths and ranges.

boto3 itself checks types and required members only; AWS checks the rest and answers with ValidationException.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import regex  # AWS writes its patterns for Java, with \p{L} and the like
from botocore.model import ServiceModel, Shape
from botocore.session import get_session

from pcinfra.localcloud.services.fsx.errors import refused


def check(service: str, operation: str, request: dict[str, Any]) -> None:
    """Raise AWS's error for everything in ``request`` that the model does not allow."""
    problems = list(_problems(model(service).operation_model(operation).input_shape, request, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise refused("ValidationException", count + "; ".join(problems))


@lru_cache
def model(service: str) -> ServiceModel:
    return get_session().get_service_model(service)


def _problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        yield from _structure(shape, value, path)
    elif shape.type_name == "list":
        yield from _length(shape, value, path)
        for index, item in enumerate(value, 1):
            yield from _problems(shape.member, item, f"{path}.{index}.member")
    elif shape.type_name == "string":
        yield from _text(shape, value, path)
    elif shape.type_name in ("integer", "long"):
        yield from _range(shape, value, value, path, "value")


def _structure(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _failed(value, path, "Member must be a structure")
        return
    for name in set(shape.required_members) - set(value):
        yield _failed(None, _join(path, name), "Member must not be null")
    for name, member in value.items():
        if name in shape.members and member is not None:
            yield from _problems(shape.members[name], member, _join(path, name))


def _text(shape: Shape, value: Any, path: str) -> Iterator[str]:
    allowed, pattern = shape.metadata.get("enum"), shape.metadata.get("pattern")
    if allowed and value not in allowed:
        yield _failed(value, path, f"Member must satisfy enum value set: [{', '.join(allowed)}]")
    if pattern and not regex.search(_anchored(pattern), str(value)):
        yield _failed(value, path, f"Member must satisfy regular expression pattern: {pattern}")
    yield from _length(shape, value, path)


def _anchored(pattern: str) -> str:
    return pattern if pattern.startswith("^") else f"^(?:{pattern})"


def _length(shape: Shape, value: Any, path: str) -> Iterator[str]:
    yield from _range(shape, len(value), value, path, "length")


def _range(shape: Shape, number: int, value: Any, path: str, what: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and number < least:
        yield _failed(value, path, f"Member must have {what} greater than or equal to {least}")
    if most is not None and number > most:
        yield _failed(value, path, f"Member must have {what} less than or equal to {most}")


def _failed(value: Any, path: str, why: str) -> str:
    place = path[:1].lower() + path[1:]
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{place}' failed to satisfy constraint: {why}"


def _join(path: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name
