"""A template whose structure has been checked: sections, resource attributes, names and sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pcinfra.localcloud.cfn import yamlbody
from pcinfra.localcloud.cfn.errors import CfnError, format_error, not_implemented

SECTIONS = frozenset(
    [
        "AWSTemplateFormatVersion",
        "Description",
        "Metadata",
        "Parameters",
        "Rules",
        "Mappings",
        "Conditions",
        "Transform",
        "Resources",
        "Outputs",
        "Hooks",
    ]
)
RESOURCE_ATTRIBUTES = frozenset(
    [
        "Type",
        "Properties",
        "DependsOn",
        "Condition",
        "Metadata",
        "DeletionPolicy",
        "UpdateReplacePolicy",
        "CreationPolicy",
        "UpdatePolicy",
    ]
)
DELETION_POLICIES = frozenset({"Delete", "Retain", "RetainExceptOnCreate", "Snapshot"})
PARAMETER_KEYS = frozenset(
    [
        "Type",
        "Default",
        "NoEcho",
        "AllowedValues",
        "AllowedPattern",
        "MinLength",
        "MaxLength",
        "MinValue",
        "MaxValue",
        "Description",
        "ConstraintDescription",
    ]
)
OUTPUT_KEYS = frozenset({"Value", "Description", "Export", "Condition"})
LANGUAGE_EXTENSIONS = "AWS::LanguageExtensions"
QUOTAS = {"Resources": 500, "Parameters": 200, "Outputs": 200, "Mappings": 200}
"""Members per section. Source: CloudFormation quotas."""

Json = dict[str, Any]


@dataclass(frozen=True)
class ResourceSpec:
    """One member of ``Resources`` as written, nothing evaluated."""

    logical_id: str
    type: str
    properties: Json = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    condition: str | None = None
    deletion_policy: str | None = None
    update_replace_policy: str | None = None
    metadata: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Template:
    """A template as written; every section present, absent ones empty."""

    body: str
    description: str | None
    parameters: dict[str, Json]
    rules: dict[str, Json]
    mappings: dict[str, Json]
    conditions: dict[str, Any]
    resources: dict[str, ResourceSpec]
    outputs: dict[str, Json]
    metadata: Json
    transforms: tuple[str, ...] = ()


@lru_cache(maxsize=64)
def load(body: str) -> Template:
    """As :func:`parse`, remembering the last templates read."""
    return parse(body)


def parse(body: str) -> Template:
    """Read and check the structure of a template.

    Raises:
        CfnError: with the message of CloudFormation's ValidateTemplate for that mistake.
    """
    data = yamlbody.read(body)
    _check_sections(data)
    resources = {name: _resource(name, spec) for name, spec in data["Resources"].items()}
    outputs = _section(data, "Outputs")
    for name, output in outputs.items():
        _check_output(name, output)
    parameters = _section(data, "Parameters")
    for name, parameter in parameters.items():
        _check_parameter(name, parameter)
    description = data.get("Description")
    if description is not None and (not isinstance(description, str) or len(description.encode()) > 1024):
        raise format_error("'Description' length is greater than 1024 or it is not a string.")
    return Template(
        body=body,
        description=description,
        parameters=parameters,
        rules=_section(data, "Rules"),
        mappings=_section(data, "Mappings"),
        conditions=_section(data, "Conditions"),
        resources=resources,
        outputs=outputs,
        metadata=_section(data, "Metadata"),
        transforms=_transforms(data.get("Transform")),
    )


def _transforms(value: Any) -> tuple[str, ...]:
    names = [] if value is None else value if isinstance(value, list) else [value]
    for name in names:
        if name != LANGUAGE_EXTENSIONS:
            raise not_implemented(f"the transform {name}")
    return tuple(names)


def _check_sections(data: Json) -> None:
    unknown = sorted(str(name) for name in data if name not in SECTIONS)
    if unknown:
        raise CfnError(f"Invalid template property or properties [{', '.join(unknown)}]")
    if data.get("AWSTemplateFormatVersion", "2010-09-09") != "2010-09-09":
        raise format_error(f"unsupported value for AWSTemplateFormatVersion: {data['AWSTemplateFormatVersion']}.")
    if data.get("Hooks"):
        raise not_implemented("the template section Hooks")
    if not isinstance(data.get("Resources"), dict) or not data["Resources"]:
        raise format_error("At least one Resources member must be defined.")
    for section, limit in QUOTAS.items():
        members = _section(data, section)
        if len(members) > limit:
            raise format_error(f"Number of {section.lower()}, {len(members)}, is greater than maximum allowed, {limit}")
    _check_nulls(data, "")


def _section(data: Json, name: str) -> Json:
    section = data.get(name)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise format_error(f"[/{name}] '{name}' is expected to be an object.")
    return section


def _check_nulls(value: Any, path: str) -> None:
    """Source: CloudFormation answers "'null' values are not allowed in templates" with the path of the first one."""
    if value is None and path.count("/") > 1:
        raise format_error(f"[{path}] 'null' values are not allowed in templates")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_nulls(item, f"{path}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_nulls(item, f"{path}/{index}")


def _check_output(name: str, output: Any) -> None:
    if not isinstance(output, dict) or "Value" not in output:
        raise format_error(f"Every Outputs member must contain a Value object. [/Outputs/{name}]")
    unknown = sorted(set(output) - OUTPUT_KEYS)
    if unknown:
        raise CfnError(f"Invalid template output property '{unknown[0]}' in output {name}")
    if not re.fullmatch(r"[A-Za-z0-9]+", str(name)):
        raise format_error(f"Output name {name} is non alphanumeric.")
    export = output.get("Export")
    if export is not None and (not isinstance(export, dict) or set(export) != {"Name"}):
        raise format_error(f"[/Outputs/{name}/Export] 'Export' must contain exactly a Name.")


def _check_parameter(name: str, parameter: Any) -> None:
    if not isinstance(parameter, dict) or "Type" not in parameter:
        raise format_error(f"Every Parameters object must contain a Type member. [/Parameters/{name}]")
    unknown = sorted(set(parameter) - PARAMETER_KEYS)
    if unknown:
        raise CfnError(f"Invalid template parameter property '{unknown[0]}'")
    if not re.fullmatch(r"[A-Za-z0-9]+", str(name)):
        raise format_error(f"Parameter name {name} is non alphanumeric.")


def _resource(name: Any, spec: Any) -> ResourceSpec:
    if not re.fullmatch(r"[A-Za-z0-9]{1,255}", str(name)):
        raise format_error(f"Resource name {name} is non alphanumeric.")
    if not isinstance(spec, dict):
        raise format_error(f"Every Resources member must be an object. [/Resources/{name}]")
    if not isinstance(spec.get("Type"), str):
        raise format_error(f"[/Resources/{name}] Every Resources object must contain a Type member.")
    unknown = sorted(str(key) for key in spec if key not in RESOURCE_ATTRIBUTES)
    if unknown:
        raise CfnError(f"Invalid template resource property '{unknown[0]}'")
    for attribute in ("CreationPolicy", "UpdatePolicy"):
        if spec.get(attribute):
            raise not_implemented(f"the resource attribute {attribute} (of {name})")
    properties = spec.get("Properties", {})
    if not isinstance(properties, dict):
        raise format_error(f"[/Resources/{name}/Properties] 'Properties' is expected to be an object.")
    return ResourceSpec(
        logical_id=name,
        type=spec["Type"],
        properties=properties,
        depends_on=_depends_on(name, spec.get("DependsOn", [])),
        condition=_condition_name(name, spec.get("Condition")),
        deletion_policy=_policy(name, "DeletionPolicy", spec),
        update_replace_policy=_policy(name, "UpdateReplacePolicy", spec),
        metadata=spec.get("Metadata", {}),
    )


def _depends_on(name: str, value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise format_error(f"[/Resources/{name}/DependsOn] DependsOn must be a string or a list of strings.")
    return tuple(names)


def _condition_name(name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise format_error(f"[/Resources/{name}/Condition] Every Condition member must be a string.")


def _policy(name: str, attribute: str, spec: Json) -> str | None:
    value = spec.get(attribute)
    if value is None:
        return None
    allowed = DELETION_POLICIES if attribute == "DeletionPolicy" else DELETION_POLICIES - {"RetainExceptOnCreate"}
    if not isinstance(value, str):
        raise not_implemented(f"an intrinsic function in {attribute} (of {name})")
    if value not in allowed:
        raise format_error(f"Unrecognized {attribute} {value} for resource {name}")
    return value
