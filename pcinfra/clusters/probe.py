"""How far a creation or deletion has come, for many clusters at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra import cloudformation
from pcinfra.cloudformation import Condition, Stack, StackState
from pcinfra.clusters.facts import NAME_TAG, instances

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors

_NESTED = "AWS::CloudFormation::Stack"


@dataclass(frozen=True, slots=True)
class ClusterProbe:
    """Reads clusters by stack id: all stacks in one listing, then each unfinished one's resources."""

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, StackState]:
        """Return the state of each stack id in ``keys``; deleted stacks are left out."""
        stacks = _stacks(doors.cloud, keys)
        phases = _phases(doors.cloud, [stack for stack in stacks if _moving(stack)])
        return {stack.id: _state(doors.cloud, stack, phases.get(stack.id, "")) for stack in stacks}


def _moving(stack: Stack) -> bool:
    return stack.condition in (Condition.BUSY, Condition.DELETING)


def _stacks(cloud: Cloud, ids: frozenset[str]) -> list[Stack]:
    if len(ids) == 1:
        found = [cloudformation.find(cloud, stack_id) for stack_id in ids]
    else:
        answers = cloud.pages("cloudformation", "DescribeStacks", "Stacks")
        found = [cloudformation.parse(answer) for answer in answers if answer["StackId"] in ids]
    return [stack for stack in found if stack and stack.status != "DELETE_COMPLETE"]


def _state(cloud: Cloud, stack: Stack, phase: str) -> StackState:
    failed = not _moving(stack) and not (stack.condition is Condition.READY and "ROLLBACK" not in stack.status)
    return StackState(stack, failure_cause(cloud, stack) if failed else "", phase)


def failure_cause(cloud: Cloud, stack: Stack) -> str:
    """Return the first failure of the latest operation, from within nested stacks too."""
    events = cloud.pages("cloudformation", "DescribeStackEvents", "StackEvents", StackName=stack.id)
    nested = next((e["PhysicalResourceId"] for e in reversed(events) if _is_failed_child(e, stack)), "")
    if nested:
        below = cloud.pages("cloudformation", "DescribeStackEvents", "StackEvents", StackName=nested)
        if cause := cloudformation.root_cause(below):
            return cause
    return cloudformation.root_cause(events) or stack.reason


def _is_failed_child(event: Mapping[str, Any], stack: Stack) -> bool:
    physical = event.get("PhysicalResourceId") or ""
    failed = event["ResourceStatus"].endswith("_FAILED") and event["ResourceType"] == _NESTED
    return bool(failed and physical and physical != stack.id)


def _phases(cloud: Cloud, stacks: Sequence[Stack]) -> dict[str, str]:
    """Return what each cluster is doing, in words, by stack id."""
    resources = {stack.id: _resources(cloud, stack) for stack in stacks}
    booting = [stack.name for stack in stacks if _waits_for_head_node(resources[stack.id])]
    nodes = _node_counts(cloud, booting) if booting else {}
    return {stack.id: phase(stack, resources[stack.id], nodes.get(stack.name, 0)) for stack in stacks}


def _resources(cloud: Cloud, stack: Stack) -> list[dict[str, Any]]:
    answer = cloud.call("cloudformation", "DescribeStackResources", StackName=stack.id)
    rows: list[dict[str, Any]] = answer["StackResources"]
    return rows


def _node_counts(cloud: Cloud, names: list[str]) -> Counter[str]:
    tags = ({t["Key"]: t["Value"] for t in i.get("Tags", [])} for i in instances(cloud, names, "Compute"))
    return Counter(tag.get(NAME_TAG, "") for tag in tags)


def _waits_for_head_node(resources: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        r["ResourceType"] == "AWS::CloudFormation::WaitCondition" and r["ResourceStatus"] == "CREATE_IN_PROGRESS"
        for r in resources
    )


def phase(stack: Stack, resources: Sequence[Mapping[str, Any]], nodes: int) -> str:
    """Return a short text for the display.

    pcluster, ``templates/cluster_stack.py``: everything is made by the stack, then the head node's instance, then a
    wait condition stands until that has configured itself and its static nodes are up.
    """
    if stack.condition is Condition.DELETING:
        left = sum(r["ResourceStatus"] != "DELETE_COMPLETE" for r in resources)
        return f"{left} resources left"
    if _waits_for_head_node(resources):
        return f"head node configures itself and starts the static nodes; {nodes} running"
    if any(r["ResourceType"] == "AWS::EC2::Instance" for r in resources):
        return "head node starts"
    made = sum(r["ResourceStatus"] == "CREATE_COMPLETE" for r in resources)
    return f"{made} resources made"
