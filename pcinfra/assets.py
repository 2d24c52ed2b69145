"""Finds the files that travel with pcinfra, in a checkout and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_FOLDERS = ("bootstrap", "cfn", "cluster-configs", "containers", "examples", "recipes")


def folder(name: str) -> Path:
    """Return the folder ``name`` (one of bootstrap, cfn, cluster-configs, containers, examples, recipes)."""
    if name not in _FOLDERS:
        raise ValueError(f"no asset folder {name!r}; there are {', '.join(_FOLDERS)}")
    installed = _PACKAGE / "_assets" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
