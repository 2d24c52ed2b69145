"""Delete a stack."""

from __future__ import annotations

from pcinfra.localcloud.cfn import graph
from pcinfra.localcloud.cfn.model import Resource
from pcinfra.localcloud.cfn.operation import Operation, failed


def delete(operation: Operation, previous_status: str) -> None:
    """Delete a stack's resources, dependents first; give the status back when an export is in use.

    Source: an exporting stack whose export is imported goes back to the status it had, with the reason "Delete
    canceled. Cannot delete export X as it is in use by Y." (CloudFormation user guide, "Get exported outputs").
    """
    operation.record("DELETE_IN_PROGRESS", "User Initiated")
    for name in operation.state.exports:
        users = operation.backend.importers(name)
        if users:
            operation.record(
                previous_status, f"Delete canceled. Cannot delete export {name} as it is in use by {_joined(users)}."
            )
            return
    operation.proceed()
    finish_deletion(operation, delete_resources(operation, on_create=False))


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def finish_deletion(operation: Operation, blocked: set[str]) -> None:
    """Record DELETE_COMPLETE, or DELETE_FAILED with the resources that are in the way."""
    state = operation.state
    if blocked:
        operation.record("DELETE_FAILED", failed(state, "DELETE_FAILED", verb="delete"))
        return
    operation.backend.announce_deleted(state)
    with operation.backend.guard:
        state.outputs, state.imports = [], set()
        state.journal = None
    operation.record("DELETE_COMPLETE")
    state.deleted = state.events[-1].timestamp


def delete_resources(operation: Operation, *, on_create: bool) -> set[str]:
    """Delete what exists, in reverse order of need, in parallel; what a failed resource needs is left alone.

    Args:
        on_create: the deletion takes back a failed creation.

    Returns:
        Logical ids that could not be deleted.
    """
    resources = dict(operation.state.resources)
    order = graph.reverse({name: resource.needs for name, resource in resources.items()})
    failures: set[str] = set()

    def work(name: str) -> None:
        if order[name] & failures or not operation.remove(
            resources[name], retain=kept(operation, resources[name], on_create)
        ):
            failures.add(name)

    graph.run(order, work, stop=lambda: False)
    return failures


def kept(operation: Operation, resource: Resource, on_create: bool) -> bool:
    """Whether a deletion passes over a resource.

    Source: "DeletionPolicy attribute"; DeleteStack, RetainResources; CreateStack, RetainExceptOnCreate.
    """
    if resource.logical_id in operation.state.retained:
        return True
    if resource.deletion_policy == "RetainExceptOnCreate":
        return not on_create
    return resource.deletion_policy == "Retain" and not (on_create and operation.state.retain_except_on_create)
