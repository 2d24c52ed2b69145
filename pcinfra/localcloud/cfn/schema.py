"""Resource provider schemas: which properties a resource type has, of which type, and which cannot change.

The source is what cfn-lint ships (AWS's published resource schemas, with cfn-lint's corrections). The files are read
directly and one by one: importing cfn-lint costs half a second, a schema about a millisecond.
"""

from __future__ import annotations

import importlib.util
import json
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from pcinfra.localcloud.cfn.schema_extra import ATTRIBUTES, CREATE_ONLY, IN_PLACE, OPEN_ATTRIBUTES

Json = dict[str, Any]
Path_ = tuple[str, ...]


class ResourceSchema:
    """The schema of one resource type."""

    def __init__(self, name: str, document: Json) -> None:
        self.name = name
        self.document = document

    @cached_property
    def properties(self) -> frozenset[str]:
        """Names of the top-level properties, the read-only ones included."""
        return frozenset(self.document.get("properties", {}))

    @cached_property
    def read_only(self) -> frozenset[Path_]:
        """Paths that only GetAtt has; giving them in a template is an error."""
        return self._paths("readOnlyProperties")

    @cached_property
    def create_only(self) -> frozenset[Path_]:
        """Paths whose change always replaces the resource."""
        return self._paths("createOnlyProperties") | CREATE_ONLY.get(self.name, frozenset())

    @cached_property
    def conditional_create_only(self) -> frozenset[Path_]:
        """Paths whose change may replace the resource."""
        return frozenset() if self.name in IN_PLACE else self._paths("conditionalCreateOnlyProperties")

    @property
    def taggable(self) -> bool:
        """Whether stack tags are propagated to the resource, and follow the stack's."""
        tagging = self.document.get("tagging")
        if tagging is not None:
            return bool(tagging.get("taggable", True) and tagging.get("tagUpdatable", True))
        return "Tags" in self.properties

    def resolve(self, schema: Json) -> Json:
        """Follow a ``$ref`` inside this document."""
        while "$ref" in schema:
            target: Any = self.document
            for part in schema["$ref"].lstrip("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            schema = target
        return schema

    def _paths(self, key: str) -> frozenset[Path_]:
        return frozenset(
            tuple(part for part in path.split("/")[2:]) for path in self.document.get(key, []) if path.count("/") > 1
        )


class SchemaStore:
    """All schemas of one region, loaded when first asked for. Safe to use from several threads."""

    def __init__(self, region: str = "us-east-1", root: Path | None = None) -> None:
        self._root = root or _shipped_root()
        listing = self._root / "providers" / f"{region}.json"
        if not listing.exists():
            listing = self._root / "providers" / "us-east-1.json"
        self._listing = listing
        self._lock = threading.Lock()
        self._schemas: dict[str, ResourceSchema] = {}

    @cached_property
    def _index(self) -> dict[str, str]:
        index: dict[str, str] = json.loads(self._listing.read_text())
        return index

    def known(self, name: str) -> bool:
        """Whether AWS has this resource type; custom resources always exist."""
        return name.startswith("Custom::") or name in self._index

    def get(self, name: str) -> ResourceSchema:
        """The schema of a known type.

        Raises:
            KeyError: AWS has no such type.
        """
        name = "AWS::CloudFormation::CustomResource" if name.startswith("Custom::") else name
        with self._lock:
            if name not in self._schemas:
                document = json.loads((self._root / "resources" / f"{self._index[name]}.json").read_text())
                self._schemas[name] = ResourceSchema(name, document)
            return self._schemas[name]

    def has_attribute(self, name: str, attribute: str) -> bool:
        """Whether Fn::GetAtt knows the attribute, which may be dotted.

        Source: a schema's readOnlyProperties are its attributes ("Resource type schema"); the exceptions are in
        ``schema_extra``.
        """
        if name.startswith("Custom::") or name == "AWS::CloudFormation::CustomResource":
            return True
        if name == "AWS::CloudFormation::Stack" and attribute.startswith("Outputs."):
            return True
        if name not in self._index:
            return True  # the type itself is refused elsewhere, with the better message
        schema = self.get(name)
        if name in OPEN_ATTRIBUTES and attribute in schema.properties:
            return True
        return tuple(attribute.split(".")) in schema.read_only or attribute in ATTRIBUTES.get(name, ())


def _shipped_root() -> Path:
    spec = importlib.util.find_spec("cfnlint")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("cfnlint")
    return Path(spec.origin).parent / "data" / "schemas"
