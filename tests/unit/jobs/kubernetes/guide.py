"""The guide's documents, where they lie beside the checkout: the Kubernetes objects in them, as they stand."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(os.environ.get("PCINFRA_GUIDE") or Path(__file__).parents[5] / "shared" / "guide")
needed = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"the guide's documents are not in {FOLDER}; PCINFRA_GUIDE says where they are"
)
_FENCED = re.compile(r"(?ms)^```[a-z]*\n(.*?)^```")


def blocks(number: str) -> list[str]:
    """Return the texts between fences in a document of the guide, by its number."""
    (file,) = FOLDER.glob(f"{number}_*.txt")
    return _FENCED.findall(file.read_text(encoding="utf-8", errors="replace"))


def objects(kind: str) -> dict[str, dict[str, Any]]:
    """Return the objects of a kind, by the number of their document and their name, with a number where it repeats."""
    found: dict[str, dict[str, Any]] = {}
    for number in ("000", "001", "003", "004"):
        for value in map(_object, blocks(number)):
            if value.get("kind") == kind:
                name = f"{number} {value['metadata']['name']}"
                found[name if name not in found else f"{name} {len(found)}"] = value
    return found


def _object(text: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return value if isinstance(value, dict) else {}
