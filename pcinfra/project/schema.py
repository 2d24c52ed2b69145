"""The JSON Schema of ``pcinfra.yaml`` and of other files that a model describes, for editors."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from pcinfra.project.model import Project

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(model: type[BaseModel] = Project, title: str = "pcinfra.yaml") -> dict[str, Any]:
    """Return the schema: types, choices, ranges, defaults and descriptions; not the rules between values."""
    made = model.model_json_schema()
    _untitle(made)
    return {"$schema": DIALECT, "title": title, **made}


def schema_text(model: type[BaseModel] = Project, title: str = "pcinfra.yaml") -> str:
    """Return the schema as a file's content."""
    return json.dumps(schema(model, title), indent=2) + "\n"


def _untitle(node: Any) -> None:
    """Drop the titles that pydantic makes up from names: editors would show them instead of the descriptions."""
    if isinstance(node, list):
        for item in node:
            _untitle(item)
    elif isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for item in node.values():
            _untitle(item)
