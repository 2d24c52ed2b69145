"""What CloudFormation did for a cluster, its nested stacks included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pcinfra import cloudformation

if TYPE_CHECKING:
    from pcinfra.aws import Cloud

_NESTED = "AWS::CloudFormation::Stack"


@dataclass(frozen=True, slots=True)
class StackEvent:
    """One event. ``stack`` is the stack's name; ``time`` ISO 8601."""

    id: str
    time: str
    stack: str
    resource: str
    type: str
    status: str
    reason: str

    @property
    def failed(self) -> bool:
        return self.status.endswith("_FAILED")


def all_events(cloud: Cloud, stack_id: str) -> list[StackEvent]:
    """Return every event of a stack and of the stacks within it, oldest first."""
    return sorted(_gathered(cloud, stack_id, set()), key=lambda event: event.time)


def _gathered(cloud: Cloud, stack_id: str, seen: set[str]) -> Iterator[StackEvent]:
    seen.add(stack_id)
    rows = cloud.pages("cloudformation", "DescribeStackEvents", "StackEvents", StackName=stack_id)
    for row in rows:
        yield _event(row)
    below = {str(row.get("PhysicalResourceId") or "") for row in rows if row["ResourceType"] == _NESTED}
    for nested in sorted(below - seen - {""}):
        if nested.startswith("arn:"):
            yield from _gathered(cloud, nested, seen)


def _event(row: dict[str, Any]) -> StackEvent:
    moment = row["Timestamp"]
    return StackEvent(
        id=row["EventId"],
        time=moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if hasattr(moment, "strftime") else str(moment),
        stack=row["StackName"],
        resource=row["LogicalResourceId"],
        type=row["ResourceType"],
        status=row["ResourceStatus"],
        reason=row.get("ResourceStatusReason") or "",
    )


@dataclass(slots=True)
class EventFollower:
    """Follows the events of a stack until nothing happens to it any more."""

    cloud: Cloud
    stack_id: str
    _seen: set[str] = field(default_factory=set)

    def look(self) -> tuple[list[StackEvent], bool]:
        """Return the events that are new, oldest first, and whether more can come."""
        stack = cloudformation.find(self.cloud, self.stack_id)
        moving = stack is not None and stack.status.endswith("_IN_PROGRESS")
        found = [event for event in all_events(self.cloud, self.stack_id) if event.id not in self._seen]
        self._seen.update(event.id for event in found)
        return found, moving
