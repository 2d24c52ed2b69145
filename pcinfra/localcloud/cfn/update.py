"""Update a stack in place and by replacement, and take the update back when it fails."""

from __future__ import annotations

from dataclasses import replace

from pcinfra.localcloud.cfn import checks, graph
from pcinfra.localcloud.cfn.differences import changed_paths, replacement
from pcinfra.localcloud.cfn.dynamic import resolved
from pcinfra.localcloud.cfn.errors import CfnError, not_implemented
from pcinfra.localcloud.cfn.handlers.base import Existing
from pcinfra.localcloud.cfn.model import Journal, Json, Resource
from pcinfra.localcloud.cfn.operation import Operation, failed, reason_of
from pcinfra.localcloud.cfn.template import ResourceSpec


def update(operation: Operation, *, disable_rollback: bool = False) -> None:
    """Bring the stack to the operation's definition; what disappears is deleted last, in the clean-up phase."""
    state = operation.state
    with operation.backend.guard:
        state.journal = state.journal or Journal(state.definition, outputs=list(state.outputs), resolved=state.resolved)
    operation.record("UPDATE_IN_PROGRESS", "User Initiated")
    state.updated = state.events[-1].timestamp
    reason = _apply(operation) or _outputs(operation)
    if reason is None:
        _clean_up(operation)
    elif disable_rollback:
        operation.record("UPDATE_FAILED", reason)
    else:
        roll_back(operation, reason)


def roll_back(operation: Operation, reason: str | None) -> None:
    """Give every touched resource its old properties back, then delete what the update made.

    A resource that cannot be given back leaves the stack in UPDATE_ROLLBACK_FAILED, from where
    ContinueUpdateRollback tries again and may skip it.
    """
    state = operation.state
    journal = state.journal
    if journal is None:
        raise CfnError(f"Stack:{state.stack_id} has no update to roll back")
    operation.record("UPDATE_ROLLBACK_IN_PROGRESS", reason)
    operation.proceed()
    made: list[Resource] = []
    bad = [name for name, old in list(journal.before.items()) if not _restore(operation, name, old, made)]
    if bad:
        operation.record("UPDATE_ROLLBACK_FAILED", f"The following resource(s) failed to update: [{', '.join(bad)}]. ")
        return
    with operation.backend.guard:
        state.definition, state.outputs, state.resolved = journal.previous, journal.outputs, journal.resolved
    operation.record("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
    for resource in reversed(made):
        operation.remove(resource, retain=False)
    with operation.backend.guard:
        for resource in made:
            if state.resources.get(resource.logical_id) is resource:
                del state.resources[resource.logical_id]
        state.journal = None
    operation.record("UPDATE_ROLLBACK_COMPLETE")


def _restore(operation: Operation, name: str, old: Resource | None, made: list[Resource]) -> bool:
    """Take one resource back; what has to be deleted for it is appended to ``made``."""
    state = operation.state
    current = state.resources.get(name)
    if old is None:
        made.extend([current] if current is not None else [])
        return True
    if current is None or current.physical_id != old.physical_id:
        made.extend([current] if current is not None else [])
        with operation.backend.guard:
            state.resources[name] = replace(old)
        operation.record("UPDATE_COMPLETE", None, state.resources[name])
        return True
    if (current.properties, current.tags) == (old.properties, old.tags) or name in _skipped(operation):
        return _adopt(operation, current, old)
    operation.record("UPDATE_IN_PROGRESS", None, current)
    try:
        attributes = _in_place(operation, current, old.properties, old.tags)
    except Exception as error:
        operation.record("UPDATE_FAILED", reason_of(error), current)
        return False
    current.attributes = attributes
    return _adopt(operation, current, old)


def _skipped(operation: Operation) -> tuple[str, ...]:
    return operation.state.journal.skip if operation.state.journal else ()


def _adopt(operation: Operation, current: Resource, old: Resource) -> bool:
    with operation.backend.guard:
        current.properties, current.tags, current.needs = old.properties, old.tags, old.needs
        current.deletion_policy, current.update_replace_policy = old.deletion_policy, old.update_replace_policy
        current.metadata = old.metadata
    operation.record("UPDATE_COMPLETE", None, current)
    return True


def _apply(operation: Operation) -> str | None:
    try:
        specs = operation.scope.active()
        order = checks.dependencies(specs)
    except CfnError as error:
        return str(error)

    def work(name: str) -> None:
        _apply_one(operation, specs[name], order[name])
        operation.done.add(name)

    operation.plan = order
    graph.run(order, work, stop=operation.stopped)
    if not operation.stopped():
        return None
    bad = [
        failed(operation.state, "CREATE_FAILED", verb="create"),
        failed(operation.state, "UPDATE_FAILED", verb="update"),
    ]
    return "".join(text for text in bad if text) or "User Initiated"


def _apply_one(operation: Operation, spec: ResourceSpec, needs: frozenset[str]) -> None:
    state = operation.state
    current = state.resources.get(spec.logical_id)
    if current is not None and current.status == "CREATE_FAILED":  # left by a creation that was not rolled back
        operation.remove(current, retain=False)
    if current is None or not current.exists:
        _add(operation, spec, needs)
        return
    try:
        properties = operation.properties_of(spec)
    except Exception as error:
        _remember(operation, current)
        operation.fail()
        operation.record("UPDATE_FAILED", reason_of(error), current)
        return
    tags = operation.resource_tags(spec.type, properties, operation.definition.tags)
    paths = changed_paths(current.properties, properties)
    if not paths and tags == current.tags:
        _attributes_only(operation, current, spec, needs)
    elif replacement(checks.schemas(state.region).get(spec.type), paths) != "False":
        _replace(operation, current, spec, needs, properties)
    else:
        _change(operation, current, spec, needs, (properties, tags))


def _add(operation: Operation, spec: ResourceSpec, needs: frozenset[str]) -> None:
    state = operation.state
    resource = operation.new_resource(spec, needs)
    with operation.backend.guard:
        if state.journal is not None:
            state.journal.before.setdefault(spec.logical_id, None)
        state.resources[spec.logical_id] = resource
    operation.make(resource, spec)


def _remember(operation: Operation, current: Resource) -> None:
    """Note a resource as it is now, once, for a rollback."""
    with operation.backend.guard:
        journal = operation.state.journal
        if journal is not None:
            journal.before.setdefault(current.logical_id, replace(current, attributes=dict(current.attributes)))


def _attributes_only(operation: Operation, current: Resource, spec: ResourceSpec, needs: frozenset[str]) -> None:
    new = (spec.deletion_policy, spec.update_replace_policy, spec.metadata, needs)
    if new == (current.deletion_policy, current.update_replace_policy, current.metadata, current.needs):
        return
    _remember(operation, current)
    with operation.backend.guard:
        current.deletion_policy, current.update_replace_policy, current.metadata, current.needs = new
    operation.backend.touch()


def _change(
    operation: Operation,
    current: Resource,
    spec: ResourceSpec,
    needs: frozenset[str],
    wanted: tuple[Json, dict[str, str]],
) -> None:
    """Update one resource in place."""
    _remember(operation, current)
    operation.record("UPDATE_IN_PROGRESS", None, current)
    try:
        attributes = _in_place(operation, current, *wanted)
    except Exception as error:
        operation.fail()
        operation.record("UPDATE_FAILED", reason_of(error), current)
        return
    with operation.backend.guard:
        current.attributes = attributes
        current.needs, current.metadata = needs, spec.metadata
        current.deletion_policy, current.update_replace_policy = spec.deletion_policy, spec.update_replace_policy
    operation.record("UPDATE_COMPLETE", None, current)


def _in_place(operation: Operation, current: Resource, properties: Json, tags: dict[str, str]) -> Json:
    """Call the handler; from here on ``current`` carries the new properties, for whoever has to take them back."""
    change = operation.handler(current.type).update
    if change is None:
        raise not_implemented(f"changing a {current.type} in place")
    existing = Existing(str(current.physical_id), current.properties, current.attributes)
    with operation.backend.guard:
        current.properties, current.tags = properties, tags
    context = operation.context(current)
    return change(context, existing, resolved(properties, context.client))


def _replace(
    operation: Operation, current: Resource, spec: ResourceSpec, needs: frozenset[str], properties: Json
) -> None:
    """Make a new physical resource beside the old one, which the clean-up deletes."""
    _remember(operation, current)
    named = _custom_name(operation, current, properties)
    if named:
        operation.fail()
        operation.record(
            "UPDATE_FAILED",
            "CloudFormation cannot update a stack when a custom-named resource requires replacing."
            f" Rename {named} and update the stack again.",
            current,
        )
        return
    operation.record(
        "UPDATE_IN_PROGRESS",
        "Requested update requires the creation of a new physical resource; hence creating one.",
        current,
    )
    fresh = operation.new_resource(spec, needs)
    if operation.make(fresh, spec, verb="UPDATE"):
        with operation.backend.guard:
            operation.state.resources[spec.logical_id] = fresh
            if operation.state.journal is not None:
                operation.state.journal.replaced.append(current)
    else:
        with operation.backend.guard:
            operation.state.resources[spec.logical_id] = fresh if fresh.exists else current
        current.status = "UPDATE_FAILED"


def _custom_name(operation: Operation, current: Resource, properties: Json) -> str:
    """The physical name that the template gives to both the old and the new resource, empty when there is none."""
    schema = checks.schemas(operation.state.region).get(current.type)
    paths = [path.split("/")[-1] for path in schema.document.get("primaryIdentifier", [])]
    writable = [name for name in paths if (name,) not in schema.read_only]
    if len(paths) != 1 or not writable or not writable[0].endswith("Name"):
        return ""
    value = properties.get(writable[0])
    return str(value) if value is not None and value == current.properties.get(writable[0]) else ""


def _outputs(operation: Operation) -> str | None:
    state = operation.state
    try:
        outputs = operation.evaluate_outputs()
        _check_exports(operation, {row["ExportName"]: row["OutputValue"] for row in outputs if row.get("ExportName")})
    except CfnError as error:
        return str(error)
    with operation.backend.guard:
        state.outputs, state.definition = outputs, operation.definition
        state.imports = set(operation.scope.imports)
        state.resolved = dict(operation.scope.parameters)
    return None


def _check_exports(operation: Operation, new: dict[str, str]) -> None:
    """Source: "You can't modify or remove an output value that is referenced by another stack" (Fn::ImportValue)."""
    for name, value in operation.state.exports.items():
        users = [user for user in operation.backend.importers(name) if user != operation.state.name]
        if users and name not in new:
            raise CfnError(f"Export {name} cannot be deleted as it is in use by {', '.join(users)}")
        if users and new[name] != value:
            raise CfnError(f"Export {name} cannot be updated as it is in use by {', '.join(users)}")


def _clean_up(operation: Operation) -> None:
    """Delete replaced and removed resources; a failure here is an event, not a failure of the update."""
    state = operation.state
    operation.record("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    active = set(operation.scope.active())
    removed = {name: resource for name, resource in state.resources.items() if name not in active}
    for resource in reversed(state.journal.replaced if state.journal else []):
        policy = resource.update_replace_policy
        operation.remove(resource, retain=policy == "Retain", policy=policy)
    order = graph.reverse({name: resource.needs for name, resource in removed.items()})
    keep = ("Retain", "RetainExceptOnCreate")
    graph.run(
        order,
        lambda name: _drop(operation, removed[name], retain=removed[name].deletion_policy in keep),
        stop=lambda: False,
    )
    with operation.backend.guard:
        for name in removed:
            state.resources.pop(name, None)
        state.journal = None
    operation.record("UPDATE_COMPLETE")


def _drop(operation: Operation, resource: Resource, *, retain: bool) -> None:
    operation.remove(resource, retain=retain)


def refuse_type_changes(current: dict[str, Resource], specs: dict[str, ResourceSpec]) -> None:
    """A resource may not become one of another type.

    Raises:
        CfnError: worded as UpdateStack does.
    """
    bad = [
        name
        for name, spec in specs.items()
        if name in current and current[name].exists and current[name].type != spec.type
    ]
    if bad:
        raise CfnError(
            "Update of resource type is not permitted. The new template modifies resource type of the following"
            f" resources: [{', '.join(bad)}]"
        )
