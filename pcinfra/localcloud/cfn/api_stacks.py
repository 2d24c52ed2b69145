"""API actions that change stacks."""

from __future__ import annotations

from pcinfra.localcloud.cfn.errors import CfnError, invalid
from pcinfra.localcloud.cfn.model import Json, StackState
from pcinfra.localcloud.cfn.request import Action, Request

UNSUPPORTED = (
    "NotificationARNs",
    "ResourceTypes",
    "RollbackConfiguration",
    "StackPolicyBody",
    "StackPolicyURL",
    "StackPolicyDuringUpdateBody",
    "StackPolicyDuringUpdateURL",
    "TimeoutInMinutes",
)
"""Parameters that would have to change what happens; refused rather than ignored."""

BUSY_FOR_DELETE = frozenset(
    [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    ]
)


def create_stack(request: Request) -> Json:
    request.refuse(*UNSUPPORTED)
    name = request.stack_name()
    backend = request.backend
    token = request.text("ClientRequestToken")
    existing = backend.live(name)
    if existing is not None and token and backend.tokens.get(("CreateStack", token)) == existing.stack_id:
        return {"StackId": existing.stack_id}
    if existing is not None:
        raise CfnError(f"Stack [{name}] already exists", code="AlreadyExistsException")
    state = backend.new_stack(
        name, request.definition(), on_failure=_on_failure(request), disable_rollback=request.flag("DisableRollback")
    )
    state.termination_protection = request.flag("EnableTerminationProtection")
    state.retain_except_on_create = request.flag("RetainExceptOnCreate")
    _remember(request, "CreateStack", state)
    backend.background(lambda: backend.run_create(state), name)
    return {"StackId": state.stack_id}


def _on_failure(request: Request) -> str:
    """Source: CreateStack: OnFailure and DisableRollback exclude each other; the default is ROLLBACK."""
    on_failure = request.text("OnFailure")
    if on_failure is not None and "DisableRollback" in request.given:
        raise CfnError("You can't specify both DisableRollback and OnFailure.")
    if on_failure not in (None, "ROLLBACK", "DELETE", "DO_NOTHING"):
        raise invalid("onFailure", on_failure, "satisfy enum value set: [ROLLBACK, DELETE, DO_NOTHING]")
    return on_failure or ("DO_NOTHING" if request.flag("DisableRollback") else "ROLLBACK")


def _remember(request: Request, action: str, state: StackState) -> None:
    token = request.text("ClientRequestToken")
    state.token = token
    if token:
        request.backend.tokens[action, token] = state.stack_id


def update_stack(request: Request) -> Json:
    request.refuse(*UNSUPPORTED)
    backend = request.backend
    state = backend.find(request.required("StackName"), "Stack [{}] does not exist")
    token = request.text("ClientRequestToken")
    if token and backend.tokens.get(("UpdateStack", token)) == state.stack_id:
        return {"StackId": state.stack_id}
    if state.gone:
        raise CfnError(f"Stack [{state.name}] does not exist")
    definition = request.definition(state)
    values = backend.start_update(state, definition)
    _remember(request, "UpdateStack", state)
    keep = request.flag("DisableRollback")
    backend.background(lambda: backend.finish_update(state, definition, values, disable_rollback=keep), state.name)
    return {"StackId": state.stack_id}


def delete_stack(request: Request) -> Json:
    backend = request.backend
    name = request.required("StackName")
    state = backend.stacks.get(name) or backend.live(name)
    if state is None or state.gone:
        return {}
    _check_deletable(request, state)
    if state.status == "DELETE_IN_PROGRESS":
        return {}
    state.retained = _retained(request, state)
    _remember(request, "DeleteStack", state)
    _start_deletion(request, state)
    return {}


def _start_deletion(request: Request, state: StackState) -> None:
    backend = request.backend
    backend.begin_delete(state)
    backend.background(lambda: backend.run_delete(state), state.name)


def _check_deletable(request: Request, state: StackState) -> None:
    """Source: DeleteStack; user guide, "Protect stacks from being deleted"."""
    if state.termination_protection:
        raise CfnError(f"Stack [{state.stack_id}] cannot be deleted while TerminationProtection is enabled")
    if state.parent_id is not None and _protected_root(request, state):
        raise CfnError(
            f"Stack [{state.stack_id}] cannot be deleted while TerminationProtection is enabled on its root stack"
        )
    if state.status in BUSY_FOR_DELETE:
        raise CfnError(f"Stack [{state.stack_id}] cannot be deleted while in status {state.status}")


def _protected_root(request: Request, state: StackState) -> bool:
    root = request.backend.stacks.get(state.root_id or "")
    return root is not None and root.termination_protection


def _retained(request: Request, state: StackState) -> frozenset[str]:
    """Logical ids to leave behind.

    Source: DeleteStack: RetainResources only for stacks in DELETE_FAILED; DeletionMode FORCE_DELETE_STACK leaves
    what cannot be deleted, also only then.
    """
    names = frozenset(str(name) for name in request.items("RetainResources"))
    mode = request.text("DeletionMode") or "STANDARD"
    if mode not in ("STANDARD", "FORCE_DELETE_STACK"):
        raise invalid("deletionMode", mode, "satisfy enum value set: [STANDARD, FORCE_DELETE_STACK]")
    force = mode == "FORCE_DELETE_STACK"
    if (names or force) and state.status != "DELETE_FAILED":
        what = "DeletionMode FORCE_DELETE_STACK" if force else "RetainResources"
        raise CfnError(
            f"Invalid operation on stack [{state.stack_id}]. {what} can only be specified for stacks in the"
            " DELETE_FAILED state."
        )
    missing = sorted(names - set(state.resources))
    if missing:
        raise CfnError(f"The specified resources [{', '.join(missing)}] to retain do not exist in stack [{state.name}]")
    stuck = {name for name, resource in state.resources.items() if resource.status == "DELETE_FAILED"}
    return names | stuck if force else names


def cancel_update_stack(request: Request) -> Json:
    state = request.backend.find(request.required("StackName"), "Stack [{}] does not exist")
    if state.status != "UPDATE_IN_PROGRESS":
        raise CfnError("CancelUpdateStack cannot be called from current stack status")
    request.backend.cancel(state)
    return {}


def continue_update_rollback(request: Request) -> Json:
    """Source: ContinueUpdateRollback, ResourcesToSkip: only resources in UPDATE_FAILED can be skipped."""
    backend = request.backend
    state = backend.find(request.required("StackName"), "Stack [{}] does not exist")
    if state.status != "UPDATE_ROLLBACK_FAILED":
        raise CfnError(f"Stack:{state.stack_id} is in {state.status} state and can not continue rollback.")
    skip = tuple(str(name) for name in request.items("ResourcesToSkip"))
    stuck = {name for name, resource in state.resources.items() if resource.status == "UPDATE_FAILED"}
    if set(skip) - stuck:
        raise CfnError(f"Only resources in UPDATE_FAILED can be skipped: [{', '.join(sorted(set(skip) - stuck))}]")
    state.status = "UPDATE_ROLLBACK_IN_PROGRESS"
    backend.background(lambda: backend.run_update_rollback(state, "User Initiated", skip), state.name)
    return {}


def rollback_stack(request: Request) -> Json:
    """Source: RollbackStack: for stacks in CREATE_FAILED or UPDATE_FAILED."""
    backend = request.backend
    state = backend.find(request.required("StackName"), "Stack [{}] does not exist")
    if state.status == "UPDATE_FAILED":
        state.status = "UPDATE_ROLLBACK_IN_PROGRESS"
        backend.background(lambda: backend.run_update_rollback(state, "User Initiated"), state.name)
    elif state.status == "CREATE_FAILED":
        state.status = "ROLLBACK_IN_PROGRESS"
        backend.background(lambda: backend.run_creation_rollback(state, "User Initiated"), state.name)
    else:
        raise CfnError(f"Stack:{state.stack_id} is in {state.status} state and can not be rolled back.")
    return {"StackId": state.stack_id}


def update_termination_protection(request: Request) -> Json:
    state = request.backend.find(request.required("StackName"), "Stack [{}] does not exist")
    if state.gone:
        raise CfnError(f"Stack [{state.name}] does not exist")
    if state.parent_id is not None:
        raise CfnError("Termination protection cannot be changed on nested stacks; change it on the root stack.")
    state.termination_protection = request.flag("EnableTerminationProtection")
    request.backend.touch()
    return {"StackId": state.stack_id}


ACTIONS: dict[str, Action] = {
    "CreateStack": create_stack,
    "UpdateStack": update_stack,
    "DeleteStack": delete_stack,
    "CancelUpdateStack": cancel_update_stack,
    "ContinueUpdateRollback": continue_update_rollback,
    "RollbackStack": rollback_stack,
    "UpdateTerminationProtection": update_termination_protection,
}
