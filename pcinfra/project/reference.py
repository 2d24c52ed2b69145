"""Every setting of ``pcinfra.yaml``, or of another file with a model, as Markdown tables: what pages have generated."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pcinfra.project import shape
from pcinfra.project.document import KeyPath
from pcinfra.project.model import Project
from pcinfra.project.scaffold import allowed
from pcinfra.project.wording import as_yaml

MARKER = "<!-- From here on: python -m pcinfra.project -->"


def reference(model: type[BaseModel] = Project) -> str:
    """Return one table for each section of the file, in the file's order."""
    return "\n".join(_section(model, model, (), "Top level")) + "\n"


def _section(model: type[BaseModel], section: type[BaseModel], path: KeyPath, title: str) -> Iterator[str]:
    inner = {name: _below(model, path, name) for name in section.model_fields}
    yield from ("", f"## {title}", "", inspect.getdoc(section) or "", "")
    plain = [name for name, below in inner.items() if below is None]
    if plain:
        yield from ("| setting | default | what |", "|---|---|---|")
        yield from (_row(name, section.model_fields[name]) for name in plain)
    for below in inner.values():
        if below is not None:
            yield from _section(model, below[1], below[0], f"`{_title(below[0])}`")


def _below(model: type[BaseModel], path: KeyPath, name: str) -> tuple[KeyPath, type[BaseModel]] | None:
    """Return the section that a setting is, or that it has one or many of, with its path."""
    for step in ((), ("NAME",), (0,)):
        here: KeyPath = (*path, name, *step)
        found = shape.sections(shape.types_at(model, here))
        if found:
            return here, found[0]
    return None


def _title(path: KeyPath) -> str:
    return ".".join(str(step) for step in path).replace(".0", "[]")


def _row(name: str, field: FieldInfo) -> str:
    default: Any = "" if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
    shown = "required" if field.is_required() else f"`{as_yaml(list(default) if default == () else default)}`"
    what = " ".join(part for part in (field.description or "", allowed(field)) if part)
    return f"| `{name}` | {shown} | {what} |".replace("...", "…")
