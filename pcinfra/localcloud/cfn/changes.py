"""What an update would change, without changing it: the content of a change set.

Source: CloudFormation API reference, ResourceChange and ResourceTargetDefinition; user guide, "Example change sets"
(Static and Dynamic evaluation).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pcinfra.localcloud.cfn import checks, intrinsics
from pcinfra.localcloud.cfn.differences import PropertyPath, changed_paths, recreation
from pcinfra.localcloud.cfn.errors import CfnError
from pcinfra.localcloud.cfn.model import Definition, Json, Resource, StackState
from pcinfra.localcloud.cfn.scope import StackScope
from pcinfra.localcloud.cfn.template import ResourceSpec, Template, load
from pcinfra.localcloud.cfn.validate import coerced

if TYPE_CHECKING:
    from pcinfra.localcloud.cfn.backend import Backend, Values

UNKNOWN = "\u2060known after the update\u2060"
"""Stands for a value that only the update itself will show."""


@dataclass
class _Preview:
    """A walk through the new template in order of need."""

    state: StackState
    scope: StackScope
    template: Template
    tags: dict[str, str]
    resources: dict[str, Resource | None] = field(default_factory=dict)
    rows: list[Json] = field(default_factory=list)


def compute(backend: Backend, state: StackState, definition: Definition, values: Values) -> list[Json]:
    """The ``Changes`` of a change set; empty when no resource would change."""
    template = load(definition.body)
    preview = _preview(backend, state, template, definition, values)
    for spec in _in_order(preview.scope.active()):
        _consider(preview, spec)
    active = preview.scope.active()
    for name, resource in state.resources.items():
        if name not in active and resource.exists:
            preview.rows.append(_row("Remove", resource.type, name, resource, policy=_policy_action(resource)))
    return sorted(preview.rows, key=lambda row: str(row["ResourceChange"]["LogicalResourceId"]))


def any_change(backend: Backend, state: StackState, definition: Definition, values: Values) -> bool:
    """Whether UpdateStack has anything to do: resources, outputs, or the stack's own tags."""
    if compute(backend, state, definition, values) or definition.tags != state.definition.tags:
        return True
    new, old = load(definition.body), load(state.definition.body)
    if new.outputs != old.outputs:
        return True
    return state.status in ("CREATE_FAILED", "UPDATE_FAILED") or _outputs_differ(backend, state, definition, values)


def _outputs_differ(backend: Backend, state: StackState, definition: Definition, values: Values) -> bool:
    template = load(definition.body)
    scope = _preview(backend, state, template, definition, values).scope
    scope_of_now = _scope(backend, state, template, values, dict(state.resources))
    shown = {row["OutputKey"]: row["OutputValue"] for row in state.outputs}
    try:
        new = {
            key: intrinsics.text_of(intrinsics.evaluate(output["Value"], scope_of_now))
            for key, output in template.outputs.items()
            if not output.get("Condition") or scope.condition(output["Condition"])
        }
    except CfnError:
        return True
    return new != shown


def _scope(
    backend: Backend, state: StackState, template: Template, values: Values, resources: dict[str, Resource | None]
) -> StackScope:
    return StackScope(
        state,
        template,
        values,
        resources=resources.get,
        zones=backend.account().zones,
        exported=backend.export_value,
    )


def _preview(
    backend: Backend, state: StackState, template: Template, definition: Definition, values: Values
) -> _Preview:
    resources: dict[str, Resource | None] = {}
    scope = _scope(backend, state, template, values, resources)
    return _Preview(state, scope, template, definition.tags, resources)


def _in_order(specs: dict[str, ResourceSpec]) -> list[ResourceSpec]:
    left = {name: set(needs) for name, needs in checks.dependencies(specs).items()}
    order: list[ResourceSpec] = []
    while left:
        ready = [name for name, needs in left.items() if not needs & set(left)]
        order += [specs[name] for name in ready]
        for name in ready:
            del left[name]
    return order


class _AnyAttribute(dict[str, Any]):
    """Attributes of a resource that does not exist yet: all of them, unknown."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return UNKNOWN


def _unmade(spec: ResourceSpec, physical_id: str = UNKNOWN) -> Resource:
    resource = Resource(spec.logical_id, spec.type, physical_id=physical_id)
    resource.attributes = _AnyAttribute()
    return resource


def _consider(preview: _Preview, spec: ResourceSpec) -> None:
    current = preview.state.resources.get(spec.logical_id)
    if current is None or not current.exists:
        preview.rows.append(_row("Add", spec.type, spec.logical_id, None))
        preview.resources[spec.logical_id] = _unmade(spec)
        return
    preview.resources[spec.logical_id] = current
    details = _property_details(preview, spec, current)
    tag_details = (
        []
        if any(detail["Target"]["Attribute"] == "Tags" for detail in details)
        else _tag_details(preview, spec, current)
    )
    details += tag_details + _attribute_details(spec, current)
    if not details:
        return
    verdict = _replacement(details)
    scope = sorted({detail["Target"]["Attribute"] for detail in details})
    preview.rows.append(
        _row("Modify", spec.type, spec.logical_id, current, replacement=verdict, scope=scope, details=details)
    )
    if verdict != "False":
        preview.resources[spec.logical_id] = _unmade(spec)
    elif "Properties" in scope:
        preview.resources[spec.logical_id] = _unmade(spec, str(current.physical_id))


def _property_details(preview: _Preview, spec: ResourceSpec, current: Resource) -> list[Json]:
    schema = checks.schemas(preview.state.region).get(spec.type)
    new: Json = {}
    dynamic: set[str] = set()
    for name, value in spec.properties.items():
        try:
            evaluated = intrinsics.evaluate(value, preview.scope)
        except CfnError:
            evaluated = UNKNOWN
        if evaluated is intrinsics.NO_VALUE:
            continue
        if UNKNOWN in repr_of(evaluated):
            dynamic.add(name)
        new[name] = evaluated
    paths = changed_paths(current.properties, coerced(schema, new))
    by_name: dict[str, list[PropertyPath]] = {}
    for path in paths:
        by_name.setdefault(path[0], []).append(path)
    kinds = ("Always", "Conditionally", "Never")
    return [
        _detail(
            "Tags" if name == "Tags" else "Properties",
            name,
            min((recreation(schema, path) for path in found), key=kinds.index),
            dynamic=name in dynamic,
        )
        for name, found in sorted(by_name.items())
    ]


def repr_of(value: Any) -> str:
    """All the text inside a value."""
    if isinstance(value, dict):
        return " ".join(map(repr_of, value.values()))
    return " ".join(map(repr_of, value)) if isinstance(value, list) else str(value)


def _tag_details(preview: _Preview, spec: ResourceSpec, current: Resource) -> list[Json]:
    if not checks.schemas(preview.state.region).get(spec.type).taggable:
        return []
    if preview.tags == preview.state.definition.tags:
        return []
    return [_detail("Tags", None, "Never", dynamic=False)]


def _attribute_details(spec: ResourceSpec, current: Resource) -> list[Json]:
    pairs = {
        "Metadata": (spec.metadata, current.metadata),
        "DeletionPolicy": (spec.deletion_policy, current.deletion_policy),
        "UpdateReplacePolicy": (spec.update_replace_policy, current.update_replace_policy),
    }
    return [_detail(name, None, "Never", dynamic=False) for name, (new, old) in pairs.items() if new != old]


def _detail(attribute: str, name: str | None, requires: str, *, dynamic: bool) -> Json:
    target: Json = {"Attribute": attribute, "RequiresRecreation": requires}
    if name is not None and attribute == "Properties":
        target["Name"] = name
    return {
        "Target": target,
        "Evaluation": "Dynamic" if dynamic else "Static",
        "ChangeSource": "ResourceAttribute" if dynamic else "DirectModification",
    }


def _replacement(details: list[Json]) -> str:
    wanted = {(detail["Target"]["RequiresRecreation"], detail["Evaluation"]) for detail in details}
    if ("Always", "Static") in wanted:
        return "True"
    return "Conditional" if any(kind in ("Always", "Conditionally") for kind, _ in wanted) else "False"


def _policy_action(resource: Resource) -> str:
    return "Retain" if resource.deletion_policy in ("Retain", "RetainExceptOnCreate") else "Delete"


def _row(action: str, resource_type: str, name: str, resource: Resource | None, **extra: Any) -> Json:
    change: Json = {
        "Action": action,
        "LogicalResourceId": name,
        "ResourceType": resource_type,
        "Scope": extra.get("scope", []),
        "Details": extra.get("details", []),
    }
    if resource is not None and resource.physical_id is not None:
        change["PhysicalResourceId"] = resource.physical_id
    if "replacement" in extra:
        change["Replacement"] = extra["replacement"]
        if extra["replacement"] != "False" and resource is not None:
            change["PolicyAction"] = f"ReplaceAnd{resource.update_replace_policy or 'Delete'}"
    if "policy" in extra:
        change["PolicyAction"] = extra["policy"]
    return {"Type": "Resource", "ResourceChange": change}
