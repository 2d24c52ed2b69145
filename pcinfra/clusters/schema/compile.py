"""``python -m pcinfra.clusters.schema.compile``: write the schema of the installed pcluster as data.

For another version, run it with that version's wheel first on PYTHONPATH.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def main() -> None:
    import importlib.metadata

    version = os.environ.get("PCLUSTER_VERSION") or importlib.metadata.version("aws-parallelcluster")
    path = Path(__file__).with_name(f"{'.'.join(version.split('.')[:2])}.json")
    path.write_text(text(), encoding="utf-8")
    print(path)


def text() -> str:
    """Return the file of the pcluster that can be imported here."""
    return json.dumps(compiled(), indent=1, sort_keys=True) + "\n"


def compiled() -> dict[str, Any]:
    """Return the schema of the pcluster that can be imported here: plain data, by section and key."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    from pcluster.schemas.cluster_schema import ClusterSchema

    sections: dict[str, Any] = {}
    return {"root": _section(ClusterSchema(cluster_name="any"), sections), "sections": sections}


def _section(schema: Any, sections: dict[str, Any]) -> str:
    """Return the section's name. Two modules have a schema of the same name; one is told by its module."""
    name = type(schema).__name__.removesuffix("Schema")
    if type(schema).__module__.endswith("common_schema"):
        name = f"Common{name}"
    if name not in sections:
        sections[name] = {}
        fields = {field.data_key: _field(field, sections) for field in schema.fields.values()}
        sections[name].update(fields)
    return name


def _field(field: Any, sections: dict[str, Any]) -> dict[str, Any]:
    from marshmallow import fields

    said: dict[str, Any] = {"required": True} if field.required else {}
    checks = [check for validator in field.validators for check in _checks(validator)]
    if checks:
        said["checks"] = checks
    if type(field).__name__ == "OneOrManyCustomActionField":
        return said | {"type": "actions", "section": _section(field.schema, sections)}
    if isinstance(field, fields.Nested):
        return said | {"type": "sections" if field.many else "section", "section": _section(field.schema, sections)}
    if isinstance(field, fields.List):
        return said | {"type": "list", "item": _field(field.inner, sections)}
    return said | {"type": type(field).__name__.lower()}


def _checks(validator: Any) -> list[dict[str, Any]]:
    """Return what a validator asks, as data."""
    kind = type(validator).__name__
    if kind == "And":
        return [check for inner in validator.validators for check in _checks(inner)]
    if kind == "Regexp":
        return [{"pattern": validator.regex.pattern}]
    if kind == "OneOf":
        return [{"one_of": list(validator.choices)}]
    if kind in ("Range", "Length"):
        bounds = {"min": validator.min, "max": validator.max, "equal": getattr(validator, "equal", None)}
        kept = {key: value for key, value in bounds.items() if value is not None}
        strict = {"more": True} if kind == "Range" and not validator.min_inclusive else {}
        return [{"range" if kind == "Range" else "length": kept | strict}]
    return [{"rule": validator.__name__}]


if __name__ == "__main__":
    main()
