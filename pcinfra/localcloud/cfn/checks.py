"""Everything about a template that is checked before a stack is touched."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from pcinfra.localcloud.cfn import graph, parameters, references, rules
from pcinfra.localcloud.cfn.errors import CfnError, format_error, not_implemented
from pcinfra.localcloud.cfn.handlers import CUSTOM, handler
from pcinfra.localcloud.cfn.schema import SchemaStore
from pcinfra.localcloud.cfn.template import ResourceSpec, Template

IAM_TYPES: Mapping[str, str] = {
    "AWS::IAM::AccessKey": "",
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": "",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
    "AWS::IAM::UserToGroupAddition": "",
}
"""Types that need CAPABILITY_IAM, and the property that makes it CAPABILITY_NAMED_IAM (CreateStack, Capabilities)."""


@lru_cache(maxsize=8)
def schemas(region: str) -> SchemaStore:
    """The schemas of a region, shared by the whole process."""
    return SchemaStore(region)


def check(template: Template, region: str) -> None:
    """Refuse what CloudFormation, or the local cloud, could never make.

    Raises:
        CfnError: with CloudFormation's own message, or "not implemented by the local cloud: ...".
    """
    parameters.check_declarations(template.parameters)
    store = schemas(region)
    unknown = sorted({spec.type for spec in template.resources.values() if not store.known(spec.type)})
    if unknown:
        raise format_error(f"Unrecognized resource types: [{', '.join(unknown)}]")
    references.check(template, store)
    for spec in template.resources.values():
        _check_supported(spec, store)
    graph.check_acyclic(dependencies(template.resources))


def dependencies(specs: Mapping[str, ResourceSpec]) -> dict[str, frozenset[str]]:
    """Logical id to the logical ids that must exist first."""
    known = frozenset(specs)
    return {name: references.resource_dependencies(spec, known) for name, spec in specs.items()}


def check_rules(template: Template, values: Mapping[str, str | list[str]]) -> None:
    """Evaluate the Rules section for these parameter values."""
    rules.check(template.rules, template.parameters, values)


def required_capabilities(template: Template) -> tuple[list[str], str | None]:
    """The capabilities that must be acknowledged, and why: the resource types behind them."""
    needed = ["CAPABILITY_AUTO_EXPAND"] if template.transforms else []
    iam = [spec for spec in template.resources.values() if spec.type in IAM_TYPES]
    if not iam:
        return needed, None
    named = any(IAM_TYPES[spec.type] in spec.properties for spec in iam if IAM_TYPES[spec.type])
    types = ", ".join(sorted({spec.type for spec in iam}))
    needed.append("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM")
    return needed, f"The following resource(s) require capabilities: [{types}]"


def check_capabilities(template: Template, given: tuple[str, ...]) -> None:
    """Refuse a template whose capabilities were not acknowledged.

    Raises:
        CfnError: InsufficientCapabilitiesException.
    """
    needed, _ = required_capabilities(template)
    for capability in needed:
        enough = {capability} | ({"CAPABILITY_NAMED_IAM"} if capability == "CAPABILITY_IAM" else set())
        if not enough & set(given):
            raise CfnError(f"Requires capabilities : [{capability}]", code="InsufficientCapabilitiesException")


def _check_supported(spec: ResourceSpec, store: SchemaStore) -> None:
    entry = handler(spec.type)
    if entry is None:
        raise not_implemented(spec.type)
    if entry.snapshot is None and "Snapshot" in (spec.deletion_policy, spec.update_replace_policy):
        raise not_implemented(f"the deletion policy Snapshot (of {spec.logical_id})")
    if entry.type == CUSTOM:
        return
    known = store.get(spec.type).properties
    for name in spec.properties:
        if name in known and name not in entry.properties:
            raise not_implemented(f"the property {name} of {spec.type} (in {spec.logical_id})")
