"""Intrinsic functions, evaluated against a :class:`Scope`.

Source of every rule: CloudFormation template reference, "Intrinsic function reference".
"""

from __future__ import annotations

import base64
import ipaddress
import itertools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from pcinfra.localcloud.cfn.errors import CfnError


class _NoValue:
    """What ``AWS::NoValue`` stands for: the key or list item around it disappears."""

    def __repr__(self) -> str:
        return "AWS::NoValue"


NO_VALUE: Final = _NoValue()

SUB_PATTERN: Final = re.compile(r"\$\{([^{}]*)\}")


class Scope(Protocol):
    """Where names get their values."""

    def ref(self, name: str) -> Any:
        """Value of a parameter, pseudo parameter or resource (its physical id)."""

    def get_att(self, logical_id: str, attribute: str) -> Any:
        """Value of an attribute of a resource."""

    def condition(self, name: str) -> bool:
        """Truth of a condition of the template."""

    def mapping(self, name: str) -> Mapping[str, Mapping[str, Any]]:
        """A member of ``Mappings``."""

    def zones(self, region: str) -> list[str]:
        """Names of the Availability Zones of a region; empty means the stack's own."""

    def import_value(self, name: str) -> str:
        """Value of an export of another stack."""


def evaluate(value: Any, scope: Scope) -> Any:
    """Replace every intrinsic function in ``value`` by its result; keys with ``AWS::NoValue`` are dropped."""
    if isinstance(value, list):
        return [item for item in (evaluate(item, scope) for item in value) if item is not NO_VALUE]
    if not isinstance(value, dict):
        return value
    name = function_name(value)
    if name is not None:
        return call(name, value[name], scope)
    pairs = ((key, evaluate(item, scope)) for key, item in value.items())
    return {key: item for key, item in pairs if item is not NO_VALUE}


def function_name(value: Any) -> str | None:
    """The function that a dict with exactly one key calls; None when it is plain data."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    name = next(iter(value))
    if name == "Ref" or (isinstance(name, str) and name.startswith("Fn::")):
        return str(name)
    return "Condition" if name == "Condition" and isinstance(value[name], str) else None


def call(name: str, argument: Any, scope: Scope) -> Any:
    """Result of one function.

    Raises:
        CfnError: there is no such function, or its arguments have the wrong shape.
    """
    if name in _LAZY:
        return _LAZY[name](argument, scope)
    if name not in _EAGER:
        raise CfnError(f"Template error: unsupported function: {name}")
    try:
        return _EAGER[name](evaluate(argument, scope), scope)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise CfnError(f"Template error: every {name} object requires valid arguments ({error})") from error


def split_get_att(argument: Any) -> tuple[str, Any]:
    """Logical id and attribute of a ``Fn::GetAtt`` in either of its forms."""
    parts = argument.split(".", 1) if isinstance(argument, str) else argument
    if not isinstance(parts, list) or len(parts) != 2 or not isinstance(parts[0], str):
        raise CfnError(
            "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the"
            " resource attribute"
        )
    return parts[0], parts[1]


def split_sub(argument: Any) -> tuple[str, dict[str, Any]]:
    """Text and variables of a ``Fn::Sub`` in either of its forms."""
    if isinstance(argument, str):
        return argument, {}
    if isinstance(argument, list) and len(argument) == 2:
        text, variables = argument
        if isinstance(text, str) and isinstance(variables, dict):
            return text, variables
    raise CfnError(
        "Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string"
        " as first argument, and an optional second argument to specify a mapping of values to replace in the string"
    )


def text_of(value: Any) -> str:
    """A scalar as CloudFormation writes it into a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(text_of, value))
    if isinstance(value, dict):
        raise CfnError("Template error: a string was expected where the template has an object")
    return str(value)


def _name(function: str, argument: Any) -> str:
    if not isinstance(argument, str):
        raise CfnError(f"Template format error: Every {function} object must have a single String value.")
    return argument


def _get_att(argument: Any, scope: Scope) -> Any:
    logical_id, attribute = split_get_att(argument)
    return scope.get_att(logical_id, text_of(evaluate(attribute, scope)))


def _if(argument: Any, scope: Scope) -> Any:
    if not isinstance(argument, list) or len(argument) != 3 or not isinstance(argument[0], str):
        raise CfnError("Template error: Fn::If requires a list argument with the first element being a condition")
    return evaluate(argument[1] if scope.condition(argument[0]) else argument[2], scope)


def _sub(argument: Any, scope: Scope) -> str:
    text, variables = split_sub(argument)
    values = {name: evaluate(value, scope) for name, value in variables.items()}

    def replace(match: re.Match[str]) -> str:
        name = match.group(1).strip()
        if name.startswith("!"):
            return "${" + name[1:] + "}"
        if name in values:
            return text_of(values[name])
        if "." in name:
            return text_of(scope.get_att(*name.split(".", 1)))
        return text_of(scope.ref(name))

    return SUB_PATTERN.sub(replace, text)


def _find_in_map(argument: Any, scope: Scope) -> Any:
    if not isinstance(argument, list) or len(argument) not in (3, 4):
        raise CfnError("Template error: every Fn::FindInMap object requires three parameters")
    name, top, second = (text_of(evaluate(item, scope)) for item in argument[:3])
    table = scope.mapping(name)
    if top in table and second in table[top]:
        return table[top][second]
    if len(argument) == 4 and isinstance(argument[3], dict) and set(argument[3]) == {"DefaultValue"}:
        return evaluate(argument[3]["DefaultValue"], scope)
    raise CfnError(f"Template error: Unable to get mapping for {name}::{top}::{second}")


def _cidr(argument: Any, _scope: Scope) -> list[str]:
    """``[block, count, bits]``: the first ``count`` (1-256) subnets that leave ``bits`` host bits."""
    block, count, *rest = argument
    network = ipaddress.ip_network(text_of(block))
    bits = int(rest[0]) if rest else (8 if network.version == 4 else 64)
    if not 1 <= int(count) <= 256:
        raise ValueError("count must be between 1 and 256")
    subnets = network.subnets(new_prefix=network.max_prefixlen - bits)
    found = [str(subnet) for subnet in itertools.islice(subnets, int(count))]
    if len(found) < int(count):
        raise ValueError(f"{network} has no room for {count} blocks of {bits} bits")
    return found


def _select(argument: Any, _scope: Scope) -> Any:
    index, items = argument
    if not isinstance(items, list):
        raise TypeError("the second argument must be a list")
    if not 0 <= int(index) < len(items):
        raise CfnError(f"Template error: Fn::Select cannot select nonexistent value at index {index}")
    return items[int(index)]


def _join(argument: Any, _scope: Scope) -> str:
    delimiter, items = argument
    if not isinstance(delimiter, str) or not isinstance(items, list):
        raise TypeError("a delimiter and a list are needed")
    return delimiter.join(map(text_of, items))


def _split(argument: Any, _scope: Scope) -> list[str]:
    delimiter, text = argument
    return text_of(text).split(delimiter)


def _logical(least: int, most: int, combine: Callable[[list[bool]], bool]) -> Callable[[Any, Scope], bool]:
    def run(argument: Any, _scope: Scope) -> bool:
        if not isinstance(argument, list) or not least <= len(argument) <= most:
            raise TypeError(f"between {least} and {most} conditions are needed")
        return combine([truth(item) for item in argument])

    return run


def truth(value: Any) -> bool:
    """A condition's value: a boolean, or the text ``true`` or ``false``."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise CfnError("Template error: a condition must evaluate to true or false")


def _equals(argument: Any, _scope: Scope) -> bool:
    left, right = argument
    if isinstance(left, (list, dict)) or isinstance(right, (list, dict)):
        return bool(left == right)
    return text_of(left) == text_of(right)


_LAZY: Final[dict[str, Callable[[Any, Scope], Any]]] = {
    "Ref": lambda argument, scope: scope.ref(_name("Ref", argument)),
    "Condition": lambda argument, scope: scope.condition(_name("Condition", argument)),
    "Fn::GetAtt": _get_att,
    "Fn::If": _if,
    "Fn::Sub": _sub,
    "Fn::FindInMap": _find_in_map,
}
_EAGER: Final[dict[str, Callable[[Any, Scope], Any]]] = {
    "Fn::Join": _join,
    "Fn::Split": _split,
    "Fn::Select": _select,
    "Fn::Base64": lambda text, _scope: base64.b64encode(text_of(text).encode()).decode(),
    "Fn::Equals": _equals,
    "Fn::Not": _logical(1, 1, lambda values: not values[0]),
    "Fn::And": _logical(2, 10, all),
    "Fn::Or": _logical(2, 10, any),
    "Fn::GetAZs": lambda region, scope: scope.zones(text_of(region)),
    "Fn::Cidr": _cidr,
    "Fn::ImportValue": lambda name, scope: scope.import_value(text_of(name)),
    "Fn::ToJsonString": lambda data, _scope: json.dumps(data, separators=(",", ":")),
    "Fn::Length": lambda items, _scope: len(items),
}
FUNCTIONS: Final = frozenset(_LAZY) | frozenset(_EAGER)
