"""What changes between two sets of properties, and whether that replaces the resource."""

from __future__ import annotations

from typing import Any

from pcinfra.localcloud.cfn.schema import ResourceSchema

Json = dict[str, Any]
PropertyPath = tuple[str, ...]


def changed_paths(old: Any, new: Any, prefix: PropertyPath = ()) -> set[PropertyPath]:
    """Paths of the smallest parts that differ. Lists are compared as wholes; ``Tags`` too."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: set[PropertyPath] = set()
        for key in {*old, *new}:
            if key not in old or key not in new:
                found |= _whole(old.get(key, new.get(key)), (*prefix, str(key)))
            else:
                found |= changed_paths(old[key], new[key], (*prefix, str(key)))
        return found
    return set() if old == new else {prefix}


def _whole(value: Any, prefix: PropertyPath) -> set[PropertyPath]:
    """Every path inside something that appeared or disappeared."""
    if not isinstance(value, dict) or not value:
        return {prefix}
    return {path for key, item in value.items() for path in _whole(item, (*prefix, str(key)))}


def recreation(schema: ResourceSchema, path: PropertyPath) -> str:
    """``RequiresRecreation`` of one changed path: Never, Conditionally or Always."""
    if _touches(path, schema.create_only):
        return "Always"
    return "Conditionally" if _touches(path, schema.conditional_create_only) else "Never"


def replacement(schema: ResourceSchema, paths: set[PropertyPath]) -> str:
    """``Replacement`` of a resource whose properties change at these paths: True, False or Conditional."""
    kinds = {recreation(schema, path) for path in paths}
    if "Always" in kinds:
        return "True"
    return "Conditional" if "Conditionally" in kinds else "False"


def _touches(path: PropertyPath, rules: frozenset[PropertyPath]) -> bool:
    """Whether a changed path is one of the rules' paths, inside one, or around one."""
    for rule in rules:
        plain = tuple(part for part in rule if part != "*")
        shortest = min(len(plain), len(path))
        if path[:shortest] == plain[:shortest]:
            return True
    return False
