"""API actions that only read."""

from __future__ import annotations

import json

from pcinfra.localcloud.cfn import parameters
from pcinfra.localcloud.cfn.errors import CfnError
from pcinfra.localcloud.cfn.model import Event, Json, Resource, StackState
from pcinfra.localcloud.cfn.request import Action, Request
from pcinfra.localcloud.cfn.template import load


def describe_stacks(request: Request) -> Json:
    name = request.text("StackName")
    states = [request.backend.find(name)] if name else [s for s in request.backend.all_stacks() if not s.gone]
    rows, token = request.page(states)
    return {"Stacks": [_stack(state) for state in rows], "NextToken": token}


def _stack(state: StackState) -> Json:
    template = load(state.definition.body)
    shown = parameters.shown(template.parameters, state.resolved, state.definition.parameters)
    return {
        "StackId": state.stack_id,
        "StackName": state.name,
        "Description": template.description,
        "Parameters": shown,
        "CreationTime": state.created,
        "LastUpdatedTime": state.updated,
        "DeletionTime": state.deleted,
        "StackStatus": state.status,
        "StackStatusReason": state.reason,
        "DisableRollback": state.disable_rollback,
        "NotificationARNs": [],
        "Capabilities": list(state.definition.capabilities),
        "Outputs": list(state.outputs),
        "RoleARN": state.definition.role_arn,
        "Tags": [{"Key": key, "Value": value} for key, value in state.definition.tags.items()],
        "EnableTerminationProtection": state.termination_protection,
        "ParentId": state.parent_id,
        "RootId": state.root_id,
        "RetainExceptOnCreate": state.retain_except_on_create,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
        "RollbackConfiguration": {},
    }


def list_stacks(request: Request) -> Json:
    wanted = set(request.items("StackStatusFilter"))
    states = [state for state in request.backend.all_stacks() if not wanted or state.status in wanted]
    rows, token = request.page(states)
    return {"StackSummaries": [_summary(state) for state in rows], "NextToken": token}


def _summary(state: StackState) -> Json:
    return {
        "StackId": state.stack_id,
        "StackName": state.name,
        "TemplateDescription": load(state.definition.body).description,
        "CreationTime": state.created,
        "LastUpdatedTime": state.updated,
        "DeletionTime": state.deleted,
        "StackStatus": state.status,
        "StackStatusReason": state.reason,
        "ParentId": state.parent_id,
        "RootId": state.root_id,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def describe_stack_events(request: Request) -> Json:
    state = request.backend.find(request.required("StackName"), "Stack [{}] does not exist")
    rows, token = request.page(list(reversed(list(state.events))))
    return {"StackEvents": [_event(state, event) for event in rows], "NextToken": token}


def _event(state: StackState, event: Event) -> Json:
    return {
        "StackId": state.stack_id,
        "EventId": event.event_id,
        "StackName": state.name,
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id,
        "ResourceType": event.type,
        "Timestamp": event.timestamp,
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason,
        "ResourceProperties": event.properties,
        "ClientRequestToken": event.token,
    }


def describe_stack_resources(request: Request) -> Json:
    """Source: DescribeStackResources: by stack, or by the physical id of one of its resources; at most 100."""
    state = _by_name_or_physical_id(request)
    wanted = request.text("LogicalResourceId")
    if wanted is not None and wanted not in state.resources:
        raise CfnError(f"Resource {wanted} does not exist for stack {state.name}")
    rows = [row for row in list(state.resources.values()) if wanted in (None, row.logical_id)]
    return {"StackResources": [_resource(state, row) for row in rows[:100]]}


def _by_name_or_physical_id(request: Request) -> StackState:
    physical = request.text("PhysicalResourceId")
    if request.text("StackName"):
        return request.backend.find(request.required("StackName"))
    for state in request.backend.all_stacks():
        if not state.gone and any(row.physical_id == physical for row in list(state.resources.values())):
            return state
    raise CfnError(f"Stack for {physical} does not exist")


def _resource(state: StackState, row: Resource) -> Json:
    return {
        "StackName": state.name,
        "StackId": state.stack_id,
        "LogicalResourceId": row.logical_id,
        "PhysicalResourceId": row.physical_id,
        "ResourceType": row.type,
        "Timestamp": row.timestamp,
        "LastUpdatedTimestamp": row.timestamp,
        "ResourceStatus": row.status,
        "ResourceStatusReason": row.reason,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def describe_stack_resource(request: Request) -> Json:
    state = request.backend.find(request.required("StackName"), "Stack '{}' does not exist")
    row = state.resources.get(request.required("LogicalResourceId"))
    if row is None:
        raise CfnError(f"Resource {request.text('LogicalResourceId')} does not exist for stack {state.name}")
    detail = _resource(state, row)
    if row.metadata:
        detail["Metadata"] = json.dumps(row.metadata)
    return {"StackResourceDetail": detail}


def list_stack_resources(request: Request) -> Json:
    state = request.backend.find(request.required("StackName"))
    rows, token = request.page(list(state.resources.values()))
    return {"StackResourceSummaries": [_resource(state, row) for row in rows], "NextToken": token}


def list_exports(request: Request) -> Json:
    exports = [
        {"ExportingStackId": state.stack_id, "Name": name, "Value": value}
        for state in request.backend.all_stacks()
        if not state.gone
        for name, value in state.exports.items()
    ]
    rows, token = request.page(sorted(exports, key=lambda row: row["Name"]))
    return {"Exports": rows, "NextToken": token}


def list_imports(request: Request) -> Json:
    name = request.required("ExportName")
    users = request.backend.importers(name)
    if not users:
        raise CfnError(f"Export '{name}' is not imported by any stack.")
    rows, token = request.page(users)
    return {"Imports": rows, "NextToken": token}


ACTIONS: dict[str, Action] = {
    "DescribeStacks": describe_stacks,
    "ListStacks": list_stacks,
    "DescribeStackEvents": describe_stack_events,
    "DescribeStackResources": describe_stack_resources,
    "DescribeStackResource": describe_stack_resource,
    "ListStackResources": list_stack_resources,
    "ListExports": list_exports,
    "ListImports": list_imports,
}
