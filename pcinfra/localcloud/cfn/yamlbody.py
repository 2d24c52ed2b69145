"""Template text to plain data: YAML with CloudFormation's short forms, or JSON."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import yaml

from pcinfra.localcloud.cfn.errors import CfnError, format_error

MAX_BODY = 51_200
"""Bytes of a template passed in the call (CloudFormation quotas)."""

MAX_URL_BODY = 1_048_576
"""Bytes of a template read from S3 (CloudFormation quotas)."""

SHORT_FORMS = frozenset(
    [
        "And",
        "Base64",
        "Cidr",
        "Condition",
        "Equals",
        "FindInMap",
        "GetAZs",
        "GetAtt",
        "If",
        "ImportValue",
        "Join",
        "Length",
        "Not",
        "Or",
        "Ref",
        "Select",
        "Split",
        "Sub",
        "ToJsonString",
        "Transform",
        "ForEach",
        "Contains",
        "EachMemberEquals",
        "EachMemberIn",
        "RefAll",
        "ValueOf",
        "ValueOfAll",
    ]
)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as CloudFormation reads it: dates stay text, no aliases, no key twice.

    Source: CloudFormation user guide, "Template formats": aliases, hash merges and the tags binary, omap, pairs,
    set and timestamp are not supported.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise CfnError("Template error: YAML aliases are not allowed in CloudFormation templates")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            text = str(self.construct_object(key, deep=True))
            if text in seen:
                raise format_error(f"YAML not well-formed. Duplicate key {text} (line {key.start_mark.line + 1})")
            seen.add(text)
        return super().construct_mapping(node, deep)


def _short_form(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if name not in SHORT_FORMS:
        raise format_error(f"YAML not well-formed. Unknown tag !{name} (line {node.start_mark.line + 1})")
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _short_form)
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _no_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise format_error(f"JSON not well-formed. Duplicate key {twice}")
    return result


def read(body: str) -> dict[str, Any]:
    """The template as plain dicts and lists.

    Raises:
        CfnError: the text is neither JSON nor YAML, or not a mapping.
    """
    data = _read_json(body) if body.lstrip().startswith("{") else _read_yaml(body)
    if not isinstance(data, dict):
        raise format_error("unsupported structure.")
    return data


def _read_json(body: str) -> Any:
    try:
        return json.loads(body, object_pairs_hook=_no_double_keys)
    except ValueError as error:
        try:
            return _read_yaml(body)  # a YAML flow mapping also starts with a brace
        except CfnError:
            raise format_error(f"JSON not well-formed. ({error})") from None


def _read_yaml(body: str) -> Any:
    try:
        return yaml.load(body, _Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise format_error(f"YAML not well-formed.{where}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise format_error(f"YAML not well-formed. ({type(error).__name__})") from None
