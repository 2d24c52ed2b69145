"""Create a stack, and take it back when that fails."""

from __future__ import annotations

from pcinfra.localcloud.cfn import checks, graph
from pcinfra.localcloud.cfn.delete import delete_resources, finish_deletion
from pcinfra.localcloud.cfn.errors import CfnError
from pcinfra.localcloud.cfn.operation import Operation, failed


def create(operation: Operation) -> None:
    """Make every resource of the stack, in parallel where nothing forces an order.

    On failure the stack is rolled back, kept or deleted as its OnFailure says (CreateStack, OnFailure).
    """
    operation.record("CREATE_IN_PROGRESS", "User Initiated")
    reason = _make_all(operation) or _outputs(operation)
    if reason is None:
        operation.record("CREATE_COMPLETE")
    elif operation.cancelled:
        return  # a deletion is waiting to take over
    else:
        fail_creation(operation, reason)


def fail_creation(operation: Operation, reason: str) -> None:
    """Do what OnFailure says: ROLLBACK, DELETE or DO_NOTHING."""
    state = operation.state
    if state.on_failure == "DO_NOTHING":
        operation.record("CREATE_FAILED", reason)
        return
    if state.on_failure == "DELETE":
        operation.record("DELETE_IN_PROGRESS", f"{reason}Delete requested by user.")
        operation.proceed()
        finish_deletion(operation, delete_resources(operation, on_create=True))
        return
    roll_back(operation, f"{reason}Rollback requested by user.")


def roll_back(operation: Operation, reason: str) -> None:
    """Delete what the creation made. Resources with DeletionPolicy Retain stay, RetainExceptOnCreate do not.

    Source: CloudFormation template reference, "DeletionPolicy attribute".
    """
    operation.record("ROLLBACK_IN_PROGRESS", reason)
    operation.proceed()
    blocked = delete_resources(operation, on_create=True)
    if blocked:
        operation.record("ROLLBACK_FAILED", failed(operation.state, "DELETE_FAILED", verb="delete"))
        return
    operation.backend.announce_deleted(operation.state)
    operation.record("ROLLBACK_COMPLETE")


def _make_all(operation: Operation) -> str | None:
    try:
        specs = operation.scope.active()
        order = checks.dependencies(specs)
    except CfnError as error:
        return f"{error} "

    def work(name: str) -> None:
        with operation.backend.guard:
            resource = operation.new_resource(specs[name], order[name])
            operation.state.resources[name] = resource
        if operation.make(resource, specs[name]):
            operation.done.add(name)

    operation.plan = order
    graph.run(order, work, stop=operation.stopped)
    return failed(operation.state, "CREATE_FAILED", verb="create") or ("" if operation.stopped() else None)


def _outputs(operation: Operation) -> str | None:
    try:
        outputs = operation.evaluate_outputs()
    except CfnError as error:
        return f"{error} "
    with operation.backend.guard:
        operation.state.outputs = outputs
        operation.state.imports = set(operation.scope.imports)
    return None
