"""Finds, reads and checks ``pcinfra.yaml``."""

from __future__ import annotations

from pathlib import Path

from pcinfra.errors import InputError, Problem
from pcinfra.project import hooks
from pcinfra.project.model import Project
from pcinfra.project.positions import read_text, validate
from pcinfra.project.rules import RULES

FILE_NAME = "pcinfra.yaml"


def load(path: Path | None = None) -> Project:
    """Return the project of ``path``; without one, of the nearest ``pcinfra.yaml`` from here upwards.

    Raises:
        InputError: there is none, or it is wrong: every mistake in it, with line and column.
    """
    found = find(path)
    return parse(read_text(found, shown(found)), shown(found))


def parse(text: str, file: str = FILE_NAME) -> Project:
    """Return the project that ``text`` describes.

    Args:
        file: the name in errors, and where the paths in the file begin.
    """
    folder = Path(file).parent
    return hooks.anchored(validate(Project, text, file, (*RULES, hooks.rule(folder))), folder, shown)


def find(path: Path | None = None, start: Path | None = None) -> Path:
    """Return the project file: ``path``, or the nearest one in ``start`` (default: here) and the folders above it.

    Raises:
        InputError: there is none.
    """
    if path is not None:
        return _existing(path / FILE_NAME if path.is_dir() else path)
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    why = f"there is none in {here} or above it"
    raise InputError([Problem(FILE_NAME, 0, 0, "", why, "pcinfra init")])


def _existing(path: Path) -> Path:
    if path.exists():
        return path
    hint = "pcinfra init" if path == Path(FILE_NAME) else f"pcinfra -f {path} init"
    raise InputError([Problem(str(path), 0, 0, "", "does not exist", hint)])


def shown(path: Path) -> str:
    """Return ``path`` as short as it can be from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
