"""CloudFormation stacks as facts and as things to wait for.

Sources: CloudFormation API reference (stack status codes, ``DescribeStacks``, ``DescribeStackEvents``) and the user
guide's "Stack failure options" and "Continue rolling back an update".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pcinfra.errors import CloudError, ResourceFailed

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors


class Condition(StrEnum):
    """What can be done with a stack in its present status."""

    READY = "ready"  # an update may start
    BUSY = "busy"  # an operation is under way
    DELETING = "deleting"
    EMPTY = "empty"  # a creation that was rolled back, or a change set never executed: only deletion is possible
    BROKEN = "broken"  # a creation that failed and was not rolled back: only deletion is possible
    STUCK = "stuck"  # an update whose rollback failed: continue the rollback
    UNDELETED = "undeleted"  # a deletion that failed


_CONDITIONS = {
    "CREATE_COMPLETE": Condition.READY,
    "UPDATE_COMPLETE": Condition.READY,
    "UPDATE_ROLLBACK_COMPLETE": Condition.READY,
    "IMPORT_COMPLETE": Condition.READY,
    "IMPORT_ROLLBACK_COMPLETE": Condition.READY,
    "ROLLBACK_COMPLETE": Condition.EMPTY,
    "REVIEW_IN_PROGRESS": Condition.EMPTY,
    "CREATE_FAILED": Condition.BROKEN,
    "ROLLBACK_FAILED": Condition.BROKEN,
    "UPDATE_FAILED": Condition.STUCK,
    "UPDATE_ROLLBACK_FAILED": Condition.STUCK,
    "DELETE_FAILED": Condition.UNDELETED,
    "DELETE_IN_PROGRESS": Condition.DELETING,
}


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack as DescribeStacks tells of it."""

    name: str
    id: str
    status: str
    reason: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    protected: bool = False
    created: str = ""  # ISO 8601

    @property
    def condition(self) -> Condition:
        return _CONDITIONS.get(self.status, Condition.BUSY)

    @property
    def moving(self) -> bool:
        """Whether an operation is under way."""
        return self.condition in (Condition.BUSY, Condition.DELETING)


@dataclass(frozen=True, slots=True)
class StackState:
    """A stack on its way: ``cause`` is the first failure, ``latest`` the newest event, both in words or empty."""

    stack: Stack
    cause: str = ""
    latest: str = ""


def parse(answer: Mapping[str, Any]) -> Stack:
    """Return the Stack of one element of DescribeStacks' ``Stacks``."""
    return Stack(
        name=answer["StackName"],
        id=answer["StackId"],
        status=answer["StackStatus"],
        reason=answer.get("StackStatusReason") or "",
        outputs={o["OutputKey"]: o["OutputValue"] for o in answer.get("Outputs", [])},
        parameters={p["ParameterKey"]: p.get("ParameterValue", "") for p in answer.get("Parameters", [])},
        tags={t["Key"]: t["Value"] for t in answer.get("Tags", [])},
        protected=bool(answer.get("EnableTerminationProtection")),
        created=answer["CreationTime"].isoformat() if "CreationTime" in answer else "",
    )


def find(cloud: Cloud, name: str) -> Stack | None:
    """Return the stack called ``name`` (or with this id), or None when there is none."""
    try:
        return parse(cloud.call("cloudformation", "DescribeStacks", StackName=name)["Stacks"][0])
    except CloudError as error:
        if error.code == "ValidationError" and "does not exist" in error.why:
            return None
        raise


def events(cloud: Cloud, stack_id: str) -> list[dict[str, Any]]:
    """Return the newest events of a stack, newest first (one page: up to 100)."""
    page: list[dict[str, Any]] = cloud.call("cloudformation", "DescribeStackEvents", StackName=stack_id)["StackEvents"]
    return page


_SECONDARY = ("Resource creation cancelled", "Resource update cancelled", "The following resource(s) failed")


def root_cause(stack_events: list[dict[str, Any]]) -> str:
    """Return the first failure of the latest operation: ``LogicalId (type): reason``; empty when there is none.

    What CloudFormation cancels because something else failed, and the stack's own summary, are not causes.
    """
    cause = ""
    for event in stack_events:
        reason = event.get("ResourceStatusReason") or ""
        if event["ResourceStatus"].endswith("_FAILED") and not reason.startswith(_SECONDARY):
            cause = f"{event['LogicalResourceId']} ({event['ResourceType']}): {reason}"
        if reason == "User Initiated":
            break
    return cause


@dataclass(frozen=True, slots=True)
class StackProbe:
    """Reads stacks by id, with their newest event, and the root cause once they have failed.

    ``detailed`` False leaves out the newest event: one listing then answers for all that are on their way.
    """

    detailed: bool = True

    @property
    def brief(self) -> StackProbe:
        """The same, for a crowd."""
        return StackProbe(detailed=False)

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, StackState]:
        """Return the state of each stack id in ``keys``; deleted stacks are left out."""
        stacks = several(doors.cloud, keys)
        return {s.id: _state(doors.cloud, s) if self.detailed or not s.moving else StackState(s) for s in stacks}


def several(cloud: Cloud, ids: Iterable[str]) -> list[Stack]:
    """Return the stacks with some ids, in one listing; deleted ones are left out."""
    wanted = frozenset(ids)
    if len(wanted) == 1:
        found = [find(cloud, stack_id) for stack_id in wanted]
    else:
        answers = cloud.pages("cloudformation", "DescribeStacks", "Stacks")
        found = [parse(answer) for answer in answers if answer["StackId"] in wanted]
    return [stack for stack in found if stack and stack.status != "DELETE_COMPLETE"]


def _state(cloud: Cloud, stack: Stack) -> StackState:
    if stack.condition is Condition.READY and "ROLLBACK" not in stack.status:
        return StackState(stack)
    history = events(cloud, stack.id)
    newest = next((e for e in history if e["LogicalResourceId"] != stack.name), None)
    latest = f"{newest['LogicalResourceId']} {newest['ResourceStatus']}" if newest else ""
    return StackState(stack, root_cause(history) or stack.reason, latest)


def progress(state: StackState | None) -> str:
    """Return what a stack is doing, for the display."""
    return state.latest if state else ""


def until_ready(name: str, hint: str) -> Callable[[StackState | None], tuple[Stack] | None]:
    """Return the judge of a stack that is being created or updated; its result is the Stack."""

    def judge(state: StackState | None) -> tuple[Stack] | None:
        if state is None:
            raise ResourceFailed("was deleted while it was being made", where=f"stack {name}", hint=hint)
        stack = state.stack
        if stack.condition is Condition.BUSY:
            return None
        if stack.condition is Condition.READY and "ROLLBACK" not in stack.status:
            return (stack,)
        raise ResourceFailed(f"{stack.status}: {state.cause}", where=f"stack {name}", hint=hint)

    return judge


def until_gone(name: str, hint: str) -> Callable[[StackState | None], tuple[None] | None]:
    """Return the judge of a stack that is being deleted."""

    def judge(state: StackState | None) -> tuple[None] | None:
        if state is None:
            return (None,)
        if state.stack.condition is Condition.DELETING:
            return None
        raise ResourceFailed(f"{state.stack.status}: {state.cause}", where=f"stack {name}", hint=hint)

    return judge


def until_still(name: str, hint: str) -> Callable[[StackState | None], tuple[Stack | None] | None]:
    """Return the judge of a stack that somebody else is changing: waits for the end, whichever it is."""

    def judge(state: StackState | None) -> tuple[Stack | None] | None:
        if state is None:
            return (None,)
        return None if state.stack.condition in (Condition.BUSY, Condition.DELETING) else (state.stack,)

    return judge
