"""A Project as a commented ``pcinfra.yaml``: every setting, what it means and what it may be."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pcinfra.project.model import Project
from pcinfra.project.shape import field_choices
from pcinfra.project.wording import as_yaml

WIDTH = 100

_INTRODUCTION = """\
What pcinfra makes in your AWS account. Every setting is here; a line that you remove has its default.

  pcinfra plan                   what would be made or changed, without doing it
  pcinfra up                     network, storage, bucket, image and associations
  pcinfra cluster create NAME    a Slurm cluster on top of them
  pcinfra down                   take everything away again

With --local after pcinfra, each of them works on the local cloud of this machine, without an AWS account."""


def scaffold(project: Project | None = None, schema: str = "") -> str:
    """Return the text of a project file that reads back as ``project`` (the defaults without one).

    Args:
        schema: path of a JSON Schema for editors, relative to the file; empty names none.
    """
    head = [f"# yaml-language-server: $schema={schema}"] if schema else []
    head += [f"# {line}".rstrip() for line in _INTRODUCTION.splitlines()]
    body = list(_section(project or Project(), 0, explain=True))
    return "\n".join([*head, *body]) + "\n"


def _section(section: BaseModel, depth: int, *, explain: bool) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        if depth == 0:
            yield ""
        value = getattr(section, name)
        if explain:
            yield from _comment(_about(field, value), depth)
        yield from _entry(name, value, depth, explain=explain)


def _entry(name: str, value: Any, depth: int, *, explain: bool) -> Iterator[str]:
    """Yield the lines of one key. Of several entries of one kind only the first is explained."""
    start = f"{'  ' * depth}{as_yaml(name)}:"
    if isinstance(value, BaseModel):
        yield start
        yield from _section(value, depth + 1, explain=explain)
    elif isinstance(value, dict) and value:
        yield start
        for index, (key, item) in enumerate(value.items()):
            yield from _entry(key, item, depth + 1, explain=explain and index == 0)
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        yield start
        for index, item in enumerate(value):
            yield from _item(item, depth + 1, explain=explain and index == 0)
    else:
        yield f"{start} {as_yaml(list(value) if isinstance(value, tuple) else value)}"


def _item(section: BaseModel, depth: int, *, explain: bool) -> Iterator[str]:
    """Yield the lines of one item of a list: the dash stands before its first key, in line with the key's comment."""
    lines = list(_section(section, depth + 1, explain=explain))
    first = next(index for index, line in enumerate(lines) if not line.lstrip().startswith("#"))
    yield from (line[2:] for line in lines[:first])
    yield f"{'  ' * depth}- {lines[first].lstrip()}"
    yield from lines[first + 1 :]


def _comment(text: str, depth: int) -> Iterator[str]:
    indent = "  " * depth + "# "
    yield from textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _about(field: FieldInfo, value: Any) -> str:
    """Return the description of a field, with its choices, range and default; of a section, what it is."""
    if isinstance(value, BaseModel):
        return inspect.getdoc(type(value)) or ""
    parts = [field.description or "", allowed(field)]
    if not field.is_required() and not isinstance(value, dict) and not _has_sections(value):
        default = field.get_default()
        parts.append(f"Default: {as_yaml(list(default) if isinstance(default, tuple) else default)}.")
    return " ".join(part for part in parts if part)


def _has_sections(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value)


def allowed(field: FieldInfo) -> str:
    """Return what a setting may be, as a sentence; empty when the type says it."""
    values, several = field_choices(field)
    if values:
        return f"{'Any of' if several else 'One of'}: {', '.join(map(str, values))}."
    bounds = {name: getattr(item, name) for item in field.metadata for name in ("ge", "le") if hasattr(item, name)}
    if "ge" in bounds and "le" in bounds:
        return f"{bounds['ge']} to {bounds['le']}."
    if "ge" in bounds:
        return f"At least {bounds['ge']}."
    return "true or false." if field.annotation is bool else ""
