"""A structural schema, compiled node by node as it is used.

A CRD of the Kubeflow Trainer has some ten thousand nodes and a TrainJob touches a hundred of them, so that a node is
compiled when the first value reaches it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

_BOUNDS = (
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
)  # fmt: skip
_EXACT: dict[str, type] = {"object": dict, "array": list, "string": str, "boolean": bool}
_LOGIC = ("allOf", "anyOf", "oneOf", "not")


class Node:
    """One node of a structural schema ("Extend the Kubernetes API with CustomResourceDefinitions", Kubernetes docs)."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.type: str = raw.get("type", "")
        self.nullable: bool = bool(raw.get("nullable"))
        self.preserves: bool = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
        self.embedded: bool = bool(raw.get("x-kubernetes-embedded-resource"))
        self.int_or_string: bool = bool(raw.get("x-kubernetes-int-or-string"))
        self.exact = str if self.int_or_string else _EXACT.get(self.type)  # what is of this type is of the right one
        self.has_default = "default" in raw
        self.default: Any = raw.get("default")
        self.required: tuple[str, ...] = tuple(raw.get("required", ()))
        self.enum: tuple[Any, ...] = tuple(raw.get("enum", ()))
        self.format: str = raw.get("format", "")
        self.map_keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys", ()))
        self.is_set: bool = raw.get("x-kubernetes-list-type") == "set"
        self.bounds: dict[str, Any] = {name: raw[name] for name in _BOUNDS if name in raw}
        self.rules: tuple[Mapping[str, str], ...] = tuple(raw.get("x-kubernetes-validations", ()))
        self.logic = tuple((name, raw[name]) for name in _LOGIC if name in raw and not self.int_or_string)
        self.restricted = bool(self.enum or self.logic)

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        return re.compile(self.raw["pattern"]) if "pattern" in self.raw else None

    @cached_property
    def properties(self) -> dict[str, Node]:
        return {name: Node(raw) for name, raw in self.raw.get("properties", {}).items()}

    @cached_property
    def defaults(self) -> tuple[tuple[str, Node], ...]:
        """The properties that have a default."""
        return tuple((name, node) for name, node in self.properties.items() if node.has_default)

    @cached_property
    def values(self) -> Node | None:
        """The node of every value of a map; None when the object has properties of its own only."""
        raw = self.raw.get("additionalProperties")
        return Node(raw) if isinstance(raw, dict) else None

    @cached_property
    def items(self) -> Node | None:
        raw = self.raw.get("items")
        return Node(raw) if isinstance(raw, dict) else None

    @cached_property
    def plain_text(self) -> bool:
        """Whether any text will do."""
        bound = self.enum or self.format or self.bounds or self.logic or "pattern" in self.raw
        return self.type == "string" and not bound and not self.int_or_string

    @cached_property
    def ruled(self) -> bool:
        """Whether a rule about a value, not about its change, stands here or below."""
        return _ruled(self.raw)

    def child(self, key: str) -> Node | None:
        """Return the node of the value at ``key`` of an object; None when the schema knows no such key."""
        return self.properties.get(key) or self.values

    def at(self, *path: str) -> Node | None:
        """Return the node at ``path``, where ``[]`` means the items of a list; None when there is no such field."""
        node: Node | None = self
        for step in path:
            if node is None:
                return None
            node = node.items if step == "[]" else node.child(step)
        return node


def _ruled(raw: Any) -> bool:
    if isinstance(raw, dict):
        rules = raw.get("x-kubernetes-validations", ())
        if any(isinstance(rule, dict) and "oldSelf" not in str(rule.get("rule")) for rule in rules):
            return True
        return any(_ruled(inner) for inner in raw.values() if isinstance(inner, (dict, list)))
    return any(_ruled(inner) for inner in raw if isinstance(inner, (dict, list)))
