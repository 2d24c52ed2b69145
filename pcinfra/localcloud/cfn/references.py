"""What a template refers to: every name is checked before anything is made.

The messages are those of CloudFormation's ValidateTemplate and CreateStack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pcinfra.localcloud.cfn import intrinsics
from pcinfra.localcloud.cfn.errors import CfnError, format_error
from pcinfra.localcloud.cfn.schema import SchemaStore
from pcinfra.localcloud.cfn.template import LANGUAGE_EXTENSIONS, ResourceSpec, Template

PSEUDO_PARAMETERS = frozenset(
    [
        "AWS::AccountId",
        "AWS::NotificationARNs",
        "AWS::NoValue",
        "AWS::Partition",
        "AWS::Region",
        "AWS::StackId",
        "AWS::StackName",
        "AWS::URLSuffix",
    ]
)
NEEDS_EXTENSIONS = frozenset({"Fn::ToJsonString", "Fn::Length"})
CONDITION_FUNCTIONS = frozenset(
    [
        "Ref",
        "Condition",
        "Fn::And",
        "Fn::Or",
        "Fn::Not",
        "Fn::Equals",
        "Fn::FindInMap",
        "Fn::If",
        "Fn::Sub",
        "Fn::Join",
        "Fn::Select",
        "Fn::Split",
        "Fn::Length",
        "Fn::ImportValue",
    ]
)


@dataclass(frozen=True)
class Reference:
    """One use of a name: ``kind`` is Ref, GetAtt, Condition or Mapping."""

    kind: str
    name: str
    attribute: str = ""


def references(value: Any) -> Iterator[Reference]:
    """Every name that a piece of a template uses, depth first."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
        return
    if not isinstance(value, dict):
        return
    name = intrinsics.function_name(value)
    if name is not None:
        yield from _of_function(name, value[name])
        return
    for item in value.values():
        yield from references(item)


def _of_function(name: str, argument: Any) -> Iterator[Reference]:
    if name == "Ref":
        yield Reference("Ref", str(argument))
    elif name == "Condition":
        yield Reference("Condition", str(argument))
    elif name == "Fn::GetAtt":
        logical_id, attribute = intrinsics.split_get_att(argument)
        yield Reference("GetAtt", logical_id, attribute if isinstance(attribute, str) else "")
        yield from references(attribute)
    elif name == "Fn::Sub":
        yield from _of_sub(argument)
    elif name == "Fn::If":
        if isinstance(argument, list) and argument and isinstance(argument[0], str):
            yield Reference("Condition", argument[0])
        yield from references(argument[1:] if isinstance(argument, list) else argument)
    elif name == "Fn::FindInMap" and isinstance(argument, list) and argument:
        if isinstance(argument[0], str):
            yield Reference("Mapping", argument[0])
        yield from references(argument)
    else:
        yield from references(argument)


def _of_sub(argument: Any) -> Iterator[Reference]:
    text, variables = intrinsics.split_sub(argument)
    yield from references(variables)
    for match in intrinsics.SUB_PATTERN.finditer(text):
        name = match.group(1).strip()
        if not name:
            raise CfnError("Template error: variable names in Fn::Sub syntax must contain only alphanumeric characters")
        if name.startswith("!") or name in variables:
            continue
        head, _, attribute = name.partition(".")
        yield Reference("GetAtt", head, attribute) if attribute else Reference("Ref", head)


def functions(value: Any) -> Iterator[str]:
    """The name of every function call in a piece of a template."""
    if isinstance(value, list):
        for item in value:
            yield from functions(item)
    elif isinstance(value, dict):
        name = intrinsics.function_name(value)
        if name is not None:
            yield name
        for item in value.values():
            yield from functions(item)


def resource_dependencies(spec: ResourceSpec, names: frozenset[str]) -> frozenset[str]:
    """Those of ``names`` (logical ids) that must exist before this resource."""
    told = (spec.properties, spec.metadata)  # what Metadata refers to is waited for, too (cloudonaut.io, 12 Nov 2024)
    used = {ref.name for part in told for ref in references(part) if ref.kind in ("Ref", "GetAtt")}
    return frozenset((used | set(spec.depends_on)) & names)


def check(template: Template, schemas: SchemaStore) -> None:
    """Refuse unknown functions, and references to what the template does not have.

    Raises:
        CfnError: naming the first offender.
    """
    _check_functions(template)
    _check_conditions(template)
    for spec in template.resources.values():
        _check_block(template, schemas, spec.properties, "Resources")
        _check_depends_on(template, spec)
        if spec.condition is not None and spec.condition not in template.conditions:
            raise format_error(
                f"Unresolved condition dependency {spec.condition} in the Resources block of the template"
            )
    for output in template.outputs.values():
        _check_block(template, schemas, [output["Value"], output.get("Export")], "Outputs")
        if output.get("Condition") is not None and output["Condition"] not in template.conditions:
            raise format_error(
                f"Unresolved condition dependency {output['Condition']} in the Outputs block of the template"
            )


def _check_functions(template: Template) -> None:
    blocks = [spec.properties for spec in template.resources.values()]
    for name in functions([*blocks, template.conditions, list(template.outputs.values())]):
        if name not in intrinsics.FUNCTIONS:
            raise CfnError(f"Template error: unsupported function: {name}")
        if name in NEEDS_EXTENSIONS and LANGUAGE_EXTENSIONS not in template.transforms:
            raise CfnError(f"Template error: {name} is only supported with the {LANGUAGE_EXTENSIONS} transform")


def _check_conditions(template: Template) -> None:
    for name, condition in template.conditions.items():
        for function in functions(condition):
            if function not in CONDITION_FUNCTIONS:
                raise format_error(f"Unrecognized condition type {function} in the Conditions block ({name})")
        for ref in references(condition):
            if ref.kind == "Condition" and ref.name not in template.conditions:
                raise format_error(
                    f"Unresolved condition dependency {ref.name} in the Conditions block of the template"
                )
            known = ref.name in template.parameters or ref.name in PSEUDO_PARAMETERS
            if ref.kind == "GetAtt" or (ref.kind == "Ref" and not known):
                raise format_error(
                    f"Unresolved dependencies [{ref.name}]. Cannot reference resources in the Conditions block of the"
                    " template"
                )
        _check_condition_cycle(template, name, ())


def _check_condition_cycle(template: Template, name: str, above: tuple[str, ...]) -> None:
    if name in above:
        raise format_error(f"Circular dependency in the Conditions block: {' -> '.join([*above, name])}")
    for ref in references(template.conditions[name]):
        if ref.kind == "Condition" and ref.name in template.conditions:
            _check_condition_cycle(template, ref.name, (*above, name))


def _check_depends_on(template: Template, spec: ResourceSpec) -> None:
    missing = [name for name in spec.depends_on if name not in template.resources]
    if missing:
        raise format_error(
            f"Unresolved resource dependencies [{', '.join(missing)}] in the Resources block of the template"
        )


def _check_block(template: Template, schemas: SchemaStore, value: Any, block: str) -> None:
    missing = []
    for ref in references(value):
        if ref.kind == "Ref":
            if not _known(template, ref.name):
                missing.append(ref.name)
        elif ref.kind == "GetAtt":
            _check_get_att(template, schemas, ref)
        elif ref.kind == "Condition" and ref.name not in template.conditions:
            raise format_error(f"Unresolved condition dependency {ref.name} in the {block} block of the template")
        elif ref.kind == "Mapping" and ref.name not in template.mappings:
            raise CfnError(
                f"Template error: Mapping named '{ref.name}' is not present in the 'Mappings' section of template."
            )
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        raise format_error(f"Unresolved resource dependencies [{names}] in the {block} block of the template")


def _known(template: Template, name: str) -> bool:
    return name in template.resources or name in template.parameters or name in PSEUDO_PARAMETERS


def _check_get_att(template: Template, schemas: SchemaStore, ref: Reference) -> None:
    spec = template.resources.get(ref.name)
    if spec is None:
        raise CfnError(f"Template error: instance of Fn::GetAtt references undefined resource {ref.name}")
    if ref.attribute and not schemas.has_attribute(spec.type, ref.attribute):
        raise CfnError(
            f"Template error: resource {ref.name} does not support attribute type {ref.attribute} in Fn::GetAtt"
        )
