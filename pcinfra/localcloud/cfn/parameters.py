"""Parameters of a stack: which values are given, whether they may be, and what they resolve to.

Source of the rules and messages: CloudFormation user guide, "Parameters", and the API's ValidationError texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pcinfra.localcloud.cfn.errors import CfnError, format_error, not_implemented

SSM_VALUE = "AWS::SSM::Parameter::Value<"
PLAIN_TYPES = frozenset({"String", "Number", "CommaDelimitedList", "List<Number>", "List<String>"})
AWS_TYPES = frozenset(
    [
        "AWS::EC2::AvailabilityZone::Name",
        "AWS::EC2::Image::Id",
        "AWS::EC2::Instance::Id",
        "AWS::EC2::KeyPair::KeyName",
        "AWS::EC2::SecurityGroup::GroupName",
        "AWS::EC2::SecurityGroup::Id",
        "AWS::EC2::Subnet::Id",
        "AWS::EC2::Volume::Id",
        "AWS::EC2::VPC::Id",
        "AWS::Route53::HostedZone::Id",
        "AWS::SSM::Parameter::Name",
    ]
)
MASK = "****"

Json = dict[str, Any]
Value = str | list[str]


class Lookup(Protocol):
    """What has to be asked of the account."""

    def ssm_value(self, name: str) -> str:
        """Value of an SSM parameter; CfnError when there is none."""

    def exists(self, aws_type: str, value: str) -> bool:
        """Whether a thing of an AWS-specific parameter type exists in this account and region."""


def check_declarations(declared: Mapping[str, Json]) -> None:
    """Refuse parameter types that do not exist, and defaults that are not scalars."""
    for name, spec in declared.items():
        base = _element_type(_inner_type(spec["Type"]))
        if base not in PLAIN_TYPES | AWS_TYPES:
            raise format_error(f"Unrecognized parameter type: {spec['Type']}")
        if isinstance(spec.get("Default"), (list, dict)):
            raise format_error(f"Every Default member must be a string. [/Parameters/{name}]")


def resolve(declared: Mapping[str, Json], given: Mapping[str, str], lookup: Lookup) -> dict[str, Value]:
    """What ``Ref`` yields for every parameter: text, or a list of texts for the list types.

    Raises:
        CfnError: a value is missing, not declared, or breaks one of the parameter's constraints.
    """
    extra = [name for name in given if name not in declared]
    if extra:
        raise CfnError(f"Parameters: [{', '.join(extra)}] do not exist in the template")
    missing = [name for name, spec in declared.items() if name not in given and "Default" not in spec]
    if missing:
        raise CfnError(f"Parameters: [{', '.join(missing)}] must have values")
    return {name: _resolve_one(name, spec, _text(given, spec, name), lookup) for name, spec in declared.items()}


def shown(declared: Mapping[str, Json], resolved: Mapping[str, Value], given: Mapping[str, str]) -> list[Json]:
    """The ``Parameters`` of DescribeStacks: NoEcho masked, SSM parameters with their resolved value beside."""
    rows = []
    for name, spec in declared.items():
        value = _text(given, spec, name)
        row = {"ParameterKey": name, "ParameterValue": MASK if _no_echo(spec) else value}
        if spec["Type"].startswith(SSM_VALUE):
            current = resolved[name]
            row["ResolvedValue"] = ",".join(current) if isinstance(current, list) else current
        rows.append(row)
    return rows


def _no_echo(spec: Json) -> bool:
    return str(spec.get("NoEcho", False)).lower() == "true"


def _text(given: Mapping[str, str], spec: Json, name: str) -> str:
    value = given[name] if name in given else spec["Default"]
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _inner_type(name: str) -> str:
    return name[len(SSM_VALUE) : -1] if name.startswith(SSM_VALUE) and name.endswith(">") else name


def _element_type(name: str) -> str:
    inside = name[5:-1] if name.startswith("List<") and name.endswith(">") else ""
    return inside if inside.startswith("AWS::") else name


def _resolve_one(name: str, spec: Json, text: str, lookup: Lookup) -> Value:
    _check_constraints(name, spec, text)
    kind = spec["Type"]
    if kind.startswith(SSM_VALUE):
        text = lookup.ssm_value(text)
        kind = _inner_type(kind)
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        items = [item.strip() for item in text.split(",")] if text else []
        for item in items:
            _check_element(name, kind, item, lookup)
        return items
    _check_element(name, kind, text, lookup)
    return text


def _check_element(name: str, kind: str, text: str, lookup: Lookup) -> None:
    element = _element_type(kind)
    if element in ("Number", "List<Number>"):
        _number(name, text)
    elif element in AWS_TYPES and not lookup.exists(element, text):
        raise CfnError(f"Parameter validation failed: parameter value {text} for parameter name {name} does not exist")


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise CfnError(f"Parameter '{name}' must be a number.") from None


def _check_constraints(name: str, spec: Json, text: str) -> None:
    described = spec.get("ConstraintDescription")
    for constraint, check in _CONSTRAINTS.items():
        if constraint in spec:
            broken = check(name, spec[constraint], text, spec)
            if broken and described and constraint != "AllowedValues":
                raise CfnError(f"Parameter {name} failed to satisfy constraint: {described}")
            if broken:
                raise CfnError(f"Parameter '{name}' {broken}")


def _allowed_values(_name: str, allowed: Any, text: str, spec: Json) -> str:
    values = {str(value).lower() if isinstance(value, bool) else str(value) for value in allowed}
    is_list = spec["Type"] == "CommaDelimitedList" or spec["Type"].startswith("List<")
    given = [item.strip() for item in text.split(",")] if is_list else [text]
    return "" if set(given) <= values else "must be one of AllowedValues"


def _allowed_pattern(_name: str, pattern: Any, text: str, _spec: Json) -> str:
    try:
        matches = re.fullmatch(str(pattern), text)
    except re.error:
        raise not_implemented(f"the regular expression {pattern!r}, which Python cannot read") from None
    return "" if matches else f"must match pattern {pattern}"


def _limit(kind: str) -> Callable[[str, Any, str, Json], str]:
    def check(name: str, limit: Any, text: str, _spec: Json) -> str:
        bound = float(limit)
        if kind == "MinLength":
            return f"must contain at least {limit} characters" if len(text) < bound else ""
        if kind == "MaxLength":
            return f"must contain at most {limit} characters" if len(text) > bound else ""
        number = _number(name, text)
        if kind == "MinValue":
            return f"must be a number not less than {limit}" if number < bound else ""
        return f"must be a number not greater than {limit}" if number > bound else ""

    return check


_CONSTRAINTS: dict[str, Callable[[str, Any, str, Json], str]] = {
    "AllowedValues": _allowed_values,
    "AllowedPattern": _allowed_pattern,
    "MinLength": _limit("MinLength"),
    "MaxLength": _limit("MaxLength"),
    "MinValue": _limit("MinValue"),
    "MaxValue": _limit("MaxValue"),
}
