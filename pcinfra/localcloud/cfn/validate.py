"""Check the evaluated properties of a resource against its schema, and give scalars the type the schema wants.

CloudFormation takes ``"8"`` for 8 and ``"true"`` for true, in both directions; everything else must fit. The texts are
those of the JSON schema validator behind "Properties validation failed for resource ...".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from pcinfra.localcloud.cfn.errors import ResourceFailure
from pcinfra.localcloud.cfn.schema import ResourceSchema

Json = dict[str, Any]
Found = list[str]

_TYPE_NAMES = {
    "string": "String",
    "integer": "Integer",
    "number": "Number",
    "boolean": "Boolean",
    "array": "JSONArray",
    "object": "JSONObject",
}


def validate(schema: ResourceSchema, logical_id: str, properties: Json) -> Json:
    """The properties with their scalars coerced.

    Raises:
        ResourceFailure: with every violation, worded as CloudFormation does.
    """
    found: Found = []
    coerced = _Checker(schema, found).value(schema.document | {"type": "object"}, properties, ())
    for path in sorted(schema.read_only & set(_paths(properties))):
        found.append(f"#: extraneous key [{'/'.join(path)}] is not permitted")
    if not found:
        return dict(coerced)
    raise ResourceFailure(f"Properties validation failed for resource {logical_id} with message:\n[{', '.join(found)}]")


def coerced(schema: ResourceSchema, properties: Json) -> Json:
    """The properties with scalars coerced where they fit; violations are left for :func:`validate` to report."""
    return dict(_Checker(schema, []).value(schema.document | {"type": "object"}, properties, ()))


def _paths(value: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*prefix, str(key))
            yield from _paths(item, (*prefix, str(key)))


def _pointer(path: tuple[str, ...]) -> str:
    return "#" + "".join(f"/{part}" for part in path)


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, dict):
        return "JSONObject"
    if isinstance(value, list):
        return "JSONArray"
    return "String" if isinstance(value, str) else "Integer" if isinstance(value, int) else "BigDecimal"


class _Misfit(Exception):
    """A value does not have, and cannot be given, the type wanted."""


def _as_string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise _Misfit


def _as_integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _Misfit
    if isinstance(value, float):
        if not value.is_integer():
            raise _Misfit
        return int(value)
    try:
        return int(value)
    except ValueError:
        raise _Misfit from None


def _as_number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _Misfit
    if isinstance(value, (int, float)):
        return value
    try:
        return int(value) if re.fullmatch(r"[+-]?\d+", value) else float(value)
    except ValueError:
        raise _Misfit from None


def _as_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise _Misfit


def _as_array(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    raise _Misfit


def _as_object(value: Any) -> Json:
    if isinstance(value, dict):
        return value
    raise _Misfit


_COERCE: dict[str, Callable[[Any], Any]] = {
    "string": _as_string,
    "integer": _as_integer,
    "number": _as_number,
    "boolean": _as_boolean,
    "array": _as_array,
    "object": _as_object,
}
_NATIVE: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


class _Checker:
    """One walk over a value; violations are appended to ``found``."""

    def __init__(self, schema: ResourceSchema, found: Found) -> None:
        self._schema = schema
        self._found = found

    def value(self, schema: Json, value: Any, path: tuple[str, ...]) -> Any:
        """The value, coerced as far as it fits."""
        schema = self._schema.resolve(schema)
        try:
            value = self._typed(schema, value)
        except _Misfit:
            wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            names = " or ".join(_TYPE_NAMES[name] for name in wanted)
            self._say(path, f"expected type: {names}, found: {_type_of(value)}")
            return value
        if isinstance(value, dict):
            value = self._object(schema, value, path)
        elif isinstance(value, list):
            value = self._array(schema, value, path)
        else:
            self._scalar(schema, value, path)
        self._choices(schema, value, path)
        return value

    def _say(self, path: tuple[str, ...], text: str) -> None:
        self._found.append(f"{_pointer(path)}: {text}")

    @staticmethod
    def _typed(schema: Json, value: Any) -> Any:
        if "type" not in schema:
            return value
        wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        for name in wanted:
            native = isinstance(value, _NATIVE[name])
            if native and not (isinstance(value, bool) and name in ("integer", "number")):
                return value
        for name in wanted:
            try:
                return _COERCE[name](value)
            except _Misfit:
                continue
        raise _Misfit

    def _object(self, schema: Json, value: Json, path: tuple[str, ...]) -> Json:
        for name in schema.get("required", []):
            if name not in value:
                self._say(path, f"required key [{name}] not found")
        self._together(schema, value, path)
        return {key: self._member(schema, str(key), item, path) for key, item in value.items()}

    def _member(self, schema: Json, key: str, item: Any, path: tuple[str, ...]) -> Any:
        declared = schema.get("properties", {})
        if key in declared:
            return self.value(declared[key], item, (*path, key))
        for pattern, sub in schema.get("patternProperties", {}).items():
            if _search(pattern, key):
                return self.value(sub, item, (*path, key))
        extra = schema.get("additionalProperties", True)
        if extra is False and ("properties" in schema or "patternProperties" in schema):
            self._say(path, f"extraneous key [{key}] is not permitted")
        return self.value(extra, item, (*path, key)) if isinstance(extra, dict) else item

    def _together(self, schema: Json, value: Json, path: tuple[str, ...]) -> None:
        """Keywords over the presence of keys, of JSON schema and of cfn-lint's enhanced schemas."""
        for key, needed in schema.get("dependentRequired", {}).items():
            for name in needed if key in value else ():
                if name not in value:
                    self._say(path, f"property [{name}] is required")
        for key, excluded in schema.get("dependentExcluded", {}).items():
            for name in excluded if key in value else ():
                if name in value:
                    self._say(path, f"property [{name}] cannot be used together with [{key}]")
        for keyword in ("requiredXor", "requiredOr"):
            names = schema.get(keyword)
            if names and not _enough(keyword, sum(name in value for name in names)):
                wording = "exactly" if keyword == "requiredXor" else "at least"
                self._say(path, f"{wording} one of [{', '.join(names)}] is required")

    def _array(self, schema: Json, value: list[Any], path: tuple[str, ...]) -> list[Any]:
        if len(value) < schema.get("minItems", 0):
            self._say(path, f"expected minimum item count: {schema['minItems']}, found: {len(value)}")
        if len(value) > schema.get("maxItems", len(value)):
            self._say(path, f"expected maximum item count: {schema['maxItems']}, found: {len(value)}")
        if schema.get("uniqueItems") and len({json.dumps(item, sort_keys=True) for item in value}) < len(value):
            self._say(path, "array items are not unique")
        items = schema.get("items")
        if not isinstance(items, dict):
            return value
        return [self.value(items, item, (*path, str(index))) for index, item in enumerate(value)]

    def _scalar(self, schema: Json, value: Any, path: tuple[str, ...]) -> None:
        if "enum" in schema and value not in schema["enum"]:
            self._say(path, f"{value} is not a valid enum value")
        if "const" in schema and value != schema["const"]:
            self._say(path, f"expected value: {schema['const']}, found: {value}")
        if isinstance(value, str):
            self._text(schema, value, path)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            self._size(schema, value, path)

    def _text(self, schema: Json, value: str, path: tuple[str, ...]) -> None:
        if len(value) < schema.get("minLength", 0):
            self._say(path, f"expected minLength: {schema['minLength']}, actual: {len(value)}")
        if len(value) > schema.get("maxLength", len(value)):
            self._say(path, f"expected maxLength: {schema['maxLength']}, actual: {len(value)}")
        if "pattern" in schema and not _search(schema["pattern"], value):
            self._say(path, f"failed validation constraint for keyword [pattern] {schema['pattern']}")

    def _size(self, schema: Json, value: float, path: tuple[str, ...]) -> None:
        if value < schema.get("minimum", value):
            self._say(path, f"{value} is not greater or equal to {schema['minimum']}")
        if value > schema.get("maximum", value):
            self._say(path, f"{value} is not less or equal to {schema['maximum']}")

    def _choices(self, schema: Json, value: Any, path: tuple[str, ...]) -> None:
        for sub in schema.get("allOf", []):
            self.value(sub, value, path)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema and not _enough(keyword, sum(self._fits(sub, value) for sub in schema[keyword])):
                self._say(path, f"failed validation constraint for keyword [{keyword}]")
        if "if" in schema:
            branch = schema.get("then" if self._fits(schema["if"], value) else "else")
            if isinstance(branch, dict):
                self.value(branch, value, path)

    def _fits(self, schema: Json, value: Any) -> bool:
        found: Found = []
        _Checker(self._schema, found).value(schema, value, ())
        return not found


def _enough(keyword: str, matches: int) -> bool:
    return matches == 1 if keyword in ("requiredXor", "oneOf") else matches >= 1


def _search(pattern: str, text: str) -> bool:
    """Match as JSON schema does; a pattern that Python cannot read (Java's ``\\p{...}``) matches everything."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True
