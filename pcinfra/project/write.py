"""Writes a new ``pcinfra.yaml``: whole or not at all, and never over another one by accident."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pcinfra.errors import PcinfraError, Refused
from pcinfra.project.model import Project
from pcinfra.project.scaffold import scaffold
from pcinfra.project.schema import schema_text

SCHEMA = Path(".pcinfra") / "schema.json"


def write_project(project: Project, path: Path, *, force: bool = False) -> None:
    """Write ``project`` to ``path``, commented, and the schema that its first line names beside it.

    Raises:
        Refused: ``path`` exists and ``force`` is not given; also when somebody else makes it meanwhile.
        PcinfraError: the folder cannot be written to.
    """
    refuse_existing(path, force=force)
    try:
        schema = path.parent / SCHEMA
        schema.parent.mkdir(exist_ok=True)
        _replace(schema, schema_text())
        text = scaffold(project, SCHEMA.as_posix())
        if force:
            _replace(path, text)
        else:
            _create(path, text)
    except FileExistsError:
        refuse_existing(path)
        raise
    except OSError as error:
        raise PcinfraError(f"cannot be written: {error.strerror}", where=str(path)) from error


def refuse_existing(path: Path, *, force: bool = False) -> None:
    """Raise Refused if ``path`` exists (a broken link counts), unless ``force``."""
    if path.is_dir():
        raise Refused("is a folder", where=str(path), hint="pcinfra -f FILE init")
    if os.path.lexists(path) and not force:
        hint = "edit it; or pcinfra init --force, which replaces it"
        raise Refused("exists already", where=str(path), hint=hint)


def _replace(path: Path, text: str) -> None:
    temporary = _temporary(path, text)
    try:
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _create(path: Path, text: str) -> None:
    """Put the file in place by a link, which fails if there is one already: two at once cannot both win."""
    temporary = _temporary(path, text)
    try:
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path, text: str) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.write_text(text, encoding="utf-8")
    return temporary
