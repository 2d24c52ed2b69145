"""The files ``3.16.json`` and their like, read once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

VERSIONS = ("3.14", "3.15", "3.16")
"""Minor versions with a schema; between their patch versions it is the same."""

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Schema:
    """Args:
    root: name of the section that a whole configuration is.
    sections: fields of each section by their key, as :mod:`pcinfra.clusters.schema.compile` writes them.
    """

    root: str
    sections: Mapping[str, Mapping[str, Mapping[str, Any]]]


@cache
def load(version: str) -> Schema:
    """Return the schema of a pcluster version such as ``3.16.1``.

    Raises:
        KeyError: there is none for its minor version.
    """
    minor = ".".join(version.split(".")[:2])
    if minor not in VERSIONS:
        raise KeyError(version)
    said = json.loads((_FOLDER / f"{minor}.json").read_text(encoding="utf-8"))
    return Schema(said["root"], said["sections"])
