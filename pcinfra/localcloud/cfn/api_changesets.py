"""API actions about change sets."""

from __future__ import annotations

import re
import uuid

from pcinfra.localcloud.cfn import changes, parameters
from pcinfra.localcloud.cfn.errors import CfnError, invalid
from pcinfra.localcloud.cfn.model import ChangeSet, Definition, Json, StackState
from pcinfra.localcloud.cfn.request import NAME_PATTERN, Action, Request
from pcinfra.localcloud.cfn.template import load
from pcinfra.localcloud.cfn.update import refuse_type_changes

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
UNSUPPORTED = (
    "ImportExistingResources",
    "IncludeNestedStacks",
    "NotificationARNs",
    "ResourceTypes",
    "ResourcesToImport",
    "RollbackConfiguration",
    "DeploymentMode",
)


def create_change_set(request: Request) -> Json:
    """Source: CreateChangeSet: type CREATE makes a stack in REVIEW_IN_PROGRESS, or reuses one."""
    request.refuse(*UNSUPPORTED)
    name = request.required("ChangeSetName")
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > 128:
        raise invalid("changeSetName", name, f"satisfy regular expression pattern: {NAME_PATTERN}")
    kind = request.text("ChangeSetType") or "UPDATE"
    if kind == "IMPORT":
        request.refuse("ChangeSetType")
    state, definition = _target(request, kind)
    _refuse_double(request, state, name)
    return _record(request, state, definition, kind, name)


def _target(request: Request, kind: str) -> tuple[StackState, Definition]:
    backend = request.backend
    if kind == "UPDATE":
        state = backend.find(request.required("StackName"), "Stack [{}] does not exist")
        if state.gone:
            raise CfnError(f"Stack [{state.name}] does not exist")
        if not state.status.endswith("_COMPLETE") or state.status == "ROLLBACK_COMPLETE":
            raise CfnError(f"Stack:{state.stack_id} is in {state.status} state and can not be updated.")
        return state, request.definition(state)
    name = request.stack_name()
    definition = request.definition()
    existing = backend.live(name)
    if existing is None:
        return backend.new_stack(name, definition, status="REVIEW_IN_PROGRESS"), definition
    if existing.status != "REVIEW_IN_PROGRESS":
        raise CfnError(
            f"Stack [{name}] already exists and cannot be created again with the changeSet"
            f" [{request.text('ChangeSetName')}]."
        )
    return existing, definition


def _refuse_double(request: Request, state: StackState, name: str) -> None:
    for change_set in list(request.backend.change_sets.values()):
        if change_set.stack_id == state.stack_id and change_set.name == name:
            if change_set.execution_status == "EXECUTE_COMPLETE":
                del request.backend.change_sets[change_set.change_set_id]
                return
            raise CfnError(f"ChangeSet [{name}] already exists", code="AlreadyExistsException")


def _record(request: Request, state: StackState, definition: Definition, kind: str, name: str) -> Json:
    backend = request.backend
    values = backend.prepare(definition)
    template = load(definition.body)
    refuse_type_changes(state.resources, template.resources)
    rows = changes.compute(backend, state, definition, values)
    different = kind == "CREATE" or bool(rows) or changes.any_change(backend, state, definition, values)
    change_set = ChangeSet(
        change_set_id=f"arn:aws:cloudformation:{state.region}:{state.account}:changeSet/{name}/{uuid.uuid4()}",
        name=name,
        stack_id=state.stack_id,
        stack_name=state.name,
        type=kind,
        definition=definition,
        changes=rows,
        status="CREATE_COMPLETE" if different else "FAILED",
        reason=None if different else NO_CHANGES,
        execution_status="AVAILABLE" if different else "UNAVAILABLE",
        description=request.text("Description"),
        on_failure=request.text("OnStackFailure"),
        resolved=parameters.shown(template.parameters, values, definition.parameters),
    )
    with backend.guard:
        backend.change_sets[change_set.change_set_id] = change_set
    if kind == "CREATE" and not state.events:
        state.record("REVIEW_IN_PROGRESS", "User Initiated")
    backend.touch()
    return {"Id": change_set.change_set_id, "StackId": state.stack_id}


def find_change_set(request: Request) -> ChangeSet:
    """The change set that a call is about.

    Raises:
        CfnError: ChangeSetNotFound.
    """
    name, stack = request.required("ChangeSetName"), request.text("StackName")
    for change_set in list(request.backend.change_sets.values()):
        if name == change_set.change_set_id:
            return change_set
        if name == change_set.name and stack in (change_set.stack_name, change_set.stack_id):
            return change_set
    raise CfnError(f"ChangeSet [{name}] does not exist", code="ChangeSetNotFound", status=404)


def describe_change_set(request: Request) -> Json:
    change_set = find_change_set(request)
    rows, token = request.page(change_set.changes)
    return _summary(change_set) | {
        "Parameters": change_set.resolved,
        "Tags": [{"Key": key, "Value": value} for key, value in change_set.definition.tags.items()],
        "Capabilities": list(change_set.definition.capabilities),
        "OnStackFailure": change_set.on_failure,
        "Changes": rows,
        "NextToken": token,
    }


def _summary(change_set: ChangeSet) -> Json:
    return {
        "ChangeSetName": change_set.name,
        "ChangeSetId": change_set.change_set_id,
        "StackId": change_set.stack_id,
        "StackName": change_set.stack_name,
        "Description": change_set.description,
        "CreationTime": change_set.created,
        "ExecutionStatus": change_set.execution_status,
        "Status": change_set.status,
        "StatusReason": change_set.reason,
        "IncludeNestedStacks": False,
    }


def list_change_sets(request: Request) -> Json:
    state = request.backend.find(request.required("StackName"), "Stack [{}] does not exist")
    mine = [entry for entry in request.backend.change_sets.values() if entry.stack_id == state.stack_id]
    rows, token = request.page(mine)
    return {"Summaries": [_summary(entry) for entry in rows], "NextToken": token}


def delete_change_set(request: Request) -> Json:
    """Source: DeleteChangeSet succeeds for a change set that does not exist any more."""
    try:
        change_set = find_change_set(request)
    except CfnError:
        return {}
    if change_set.execution_status == "EXECUTE_IN_PROGRESS":
        raise CfnError(
            f"ChangeSet [{change_set.name}] cannot be deleted while it is executed", code="InvalidChangeSetStatus"
        )
    with request.backend.guard:
        request.backend.change_sets.pop(change_set.change_set_id, None)
    request.backend.touch()
    return {}


def execute_change_set(request: Request) -> Json:
    """Source: ExecuteChangeSet: all other change sets of the stack are deleted, because they no longer apply."""
    backend = request.backend
    change_set = find_change_set(request)
    if change_set.execution_status != "AVAILABLE":
        raise CfnError(
            f"ChangeSet [{change_set.change_set_id}] cannot be executed in its current status of [{change_set.status}]",
            code="InvalidChangeSetStatus",
        )
    state = backend.find(change_set.stack_id)
    state.token = request.text("ClientRequestToken")
    if change_set.type == "CREATE":
        _execute_create(request, state, change_set)
    else:
        values = backend.start_update(state, change_set.definition)
        keep = request.flag("DisableRollback") or change_set.on_failure == "DO_NOTHING"
        backend.background(
            lambda: backend.finish_update(state, change_set.definition, values, disable_rollback=keep), state.name
        )
    with backend.guard:
        change_set.execution_status = "EXECUTE_COMPLETE"
        for other in [entry for entry in backend.change_sets.values() if entry.stack_id == state.stack_id]:
            if other is not change_set:
                del backend.change_sets[other.change_set_id]
    return {}


def _execute_create(request: Request, state: StackState, change_set: ChangeSet) -> None:
    backend = request.backend
    if state.status != "REVIEW_IN_PROGRESS":
        raise CfnError(f"Stack:{state.stack_id} is in {state.status} state and can not be created.")
    values = backend.prepare(change_set.definition)
    state.on_failure = change_set.on_failure or ("DO_NOTHING" if request.flag("DisableRollback") else "ROLLBACK")
    state.definition, state.resolved = change_set.definition, values
    state.status = "CREATE_IN_PROGRESS"
    backend.background(lambda: backend.run_create(state), state.name)


ACTIONS: dict[str, Action] = {
    "CreateChangeSet": create_change_set,
    "DescribeChangeSet": describe_change_set,
    "ListChangeSets": list_change_sets,
    "DeleteChangeSet": delete_change_set,
    "ExecuteChangeSet": execute_change_set,
}
