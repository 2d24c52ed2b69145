"""How far a creation or deletion has come, for many clusters at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from pcinfra import cloudformation
from pcinfra.cloudformation import Condition, Stack, StackState
from pcinfra.clusters.facts import NAME_TAG, instances

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors

_NESTED = "AWS::CloudFormation::Stack"
_WAIT = "AWS::CloudFormation::WaitCondition"


class Phase(IntEnum):
    """How far a creation is.

    pcluster, ``templates/cluster_stack.py``: everything is made by the stack, then the head node's instance, then a
    wait condition stands until that has configured itself and its static nodes are up.
    """

    RESOURCES = 0
    HEAD_NODE = 1
    STATIC_NODES = 2
    DONE = 3


@dataclass(frozen=True, slots=True)
class ClusterState(StackState):
    """A cluster's stack on its way, and the phase that it is in. ``nodes``: compute instances that run."""

    phase: Phase = Phase.DONE
    nodes: int = 0


@dataclass(frozen=True, slots=True)
class ClusterProbe:
    """Reads clusters by stack id: all stacks in one listing, then each unfinished one's resources.

    ``detailed`` False is the listing alone: no phase is told, and a cluster is done when it is done.
    """

    detailed: bool = True

    @property
    def brief(self) -> ClusterProbe:
        """The same, for a crowd."""
        return ClusterProbe(detailed=False)

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, ClusterState]:
        """Return the state of each stack id in ``keys``; deleted stacks are left out."""
        stacks = cloudformation.several(doors.cloud, keys)
        moving = _moving_states(doors.cloud, [stack for stack in stacks if stack.moving and self.detailed])
        if not self.detailed:
            moving |= {s.id: ClusterState(s, phase=Phase.RESOURCES) for s in stacks if s.moving}
        return {stack.id: moving.get(stack.id) or _still(doors.cloud, stack) for stack in stacks}


def _still(cloud: Cloud, stack: Stack) -> ClusterState:
    failed = not (stack.condition is Condition.READY and "ROLLBACK" not in stack.status)
    return ClusterState(stack, failure_cause(cloud, stack) if failed else "")


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


def _moving_states(cloud: Cloud, stacks: Sequence[Stack]) -> dict[str, ClusterState]:
    """Return what each cluster is doing, by stack id; the nodes of all of them are counted in one call."""
    resources = {stack.id: _resources(cloud, stack) for stack in stacks}
    booting = [stack.name for stack in stacks if _waits_for_head_node(resources[stack.id])]
    nodes = _node_counts(cloud, booting) if booting else Counter()
    return {stack.id: _moving_state(stack, resources[stack.id], nodes[stack.name]) for stack in stacks}


def _moving_state(stack: Stack, resources: Sequence[Mapping[str, Any]], nodes: int) -> ClusterState:
    return ClusterState(stack, "", in_words(stack, resources, nodes), phase_of(stack, resources, nodes), nodes)


def _resources(cloud: Cloud, stack: Stack) -> list[dict[str, Any]]:
    answer = cloud.call("cloudformation", "DescribeStackResources", StackName=stack.id)
    rows: list[dict[str, Any]] = answer["StackResources"]
    return rows


def _node_counts(cloud: Cloud, names: list[str]) -> Counter[str]:
    tags = ({t["Key"]: t["Value"] for t in i.get("Tags", [])} for i in instances(cloud, names, "Compute"))
    return Counter(tag.get(NAME_TAG, "") for tag in tags)


def _waits_for_head_node(resources: Sequence[Mapping[str, Any]]) -> bool:
    return any(r["ResourceType"] == _WAIT and r["ResourceStatus"] == "CREATE_IN_PROGRESS" for r in resources)


def phase_of(stack: Stack, resources: Sequence[Mapping[str, Any]], nodes: int) -> Phase:
    """Return the phase of a creation that is under way; of anything else, the first or the last."""
    if stack.condition is Condition.DELETING or stack.status != "CREATE_IN_PROGRESS":
        return Phase.RESOURCES
    if not _waits_for_head_node(resources):
        return Phase.RESOURCES
    return Phase.STATIC_NODES if nodes else Phase.HEAD_NODE


def in_words(stack: Stack, resources: Sequence[Mapping[str, Any]], nodes: int) -> str:
    """Return a short text for the display."""
    if stack.condition is Condition.DELETING:
        left = sum(r["ResourceStatus"] != "DELETE_COMPLETE" for r in resources)
        return f"{left} resources left"
    if _waits_for_head_node(resources):
        return f"{nodes} compute nodes run" if nodes else "head node configures itself"
    made = sum(r["ResourceStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE") for r in resources)
    now = [r["LogicalResourceId"] for r in resources if r["ResourceStatus"].endswith("_IN_PROGRESS")]
    return f"{made} resources made" + (f"; {now[-1]}" if now else "")


def until_phase(
    wanted: Phase, ready: Callable[[StackState | None], tuple[Stack] | None]
) -> Callable[[ClusterState | None], tuple[Stack] | None]:
    """Return the judge of a creation that is to come as far as ``wanted``; ``ready`` judges its end and failures."""

    def judge(state: ClusterState | None) -> tuple[Stack] | None:
        done = ready(state)
        if done or state is None:
            return done
        return (state.stack,) if state.phase >= wanted else None

    return judge
