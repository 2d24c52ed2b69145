"""What the engine remembers about stacks: plain data that can be pickled."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

STACK_TYPE = "AWS::CloudFormation::Stack"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Event:
    """One line of DescribeStackEvents."""

    event_id: str
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str | None
    properties: str | None
    token: str | None
    timestamp: datetime = field(default_factory=now)


@dataclass
class Resource:
    """One resource of a stack as it is now.

    ``physical_id`` is None until the resource has been made, or at least begun. ``properties`` are the evaluated,
    coerced ones that it was last made or updated with, and ``needs`` the logical ids it depends on.
    """

    logical_id: str
    type: str
    physical_id: str | None = None
    attributes: Json = field(default_factory=dict)
    properties: Json = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    deletion_policy: str | None = None
    update_replace_policy: str | None = None
    metadata: Json = field(default_factory=dict)
    status: str = ""
    reason: str | None = None
    timestamp: datetime = field(default_factory=now)

    @property
    def exists(self) -> bool:
        """Whether there may be something in the account to delete."""
        return self.physical_id is not None and self.status not in ("DELETE_COMPLETE", "DELETE_SKIPPED")


@dataclass(frozen=True)
class Definition:
    """What a stack is asked to be: the input of a create or an update."""

    body: str
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    role_arn: str | None = None


@dataclass
class Journal:
    """What an update has done so far, so that it can be undone, even after a restart of the process.

    ``before`` maps each touched logical id to the resource as it was (None: it was not there), in order of first
    touch. ``replaced`` holds the old physical resources that the clean-up will delete.
    """

    previous: Definition
    before: dict[str, Resource | None] = field(default_factory=dict)
    replaced: list[Resource] = field(default_factory=list)
    skip: tuple[str, ...] = ()
    outputs: list[Json] = field(default_factory=list)
    resolved: dict[str, str | list[str]] = field(default_factory=dict)


@dataclass
class StackState:
    """Everything about a stack that outlives an operation."""

    name: str
    stack_id: str
    account: str
    region: str
    definition: Definition
    on_failure: str = "ROLLBACK"
    disable_rollback: bool = False
    retain_except_on_create: bool = False
    termination_protection: bool = False
    parent_id: str | None = None
    root_id: str | None = None
    status: str = "REVIEW_IN_PROGRESS"
    reason: str | None = None
    created: datetime = field(default_factory=now)
    updated: datetime | None = None
    deleted: datetime | None = None
    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: list[Json] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    journal: Journal | None = None
    token: str | None = None
    resolved: dict[str, str | list[str]] = field(default_factory=dict)
    retained: frozenset[str] = frozenset()

    @property
    def gone(self) -> bool:
        return self.status == "DELETE_COMPLETE"

    @property
    def exports(self) -> dict[str, str]:
        """Export name to value."""
        return {row["ExportName"]: row["OutputValue"] for row in self.outputs if row.get("ExportName")}

    def record(self, status: str, reason: str | None, resource: Resource | None = None) -> None:
        """Set a status, of a resource or of the stack itself, and append the event that says so."""
        event = Event(
            event_id=f"{resource.logical_id}-{status}-{uuid.uuid4()}" if resource else str(uuid.uuid4()),
            logical_id=resource.logical_id if resource else self.name,
            physical_id=(resource.physical_id or "") if resource else self.stack_id,
            type=resource.type if resource else STACK_TYPE,
            status=status,
            reason=reason,
            properties=json.dumps(resource.properties, default=str) if resource and resource.properties else None,
            token=self.token,
        )
        target: Resource | StackState = resource or self
        target.status, target.reason = status, reason
        if resource is not None:
            resource.timestamp = event.timestamp
        self.events.append(event)


@dataclass
class ChangeSet:
    """A change set and what it would do."""

    change_set_id: str
    name: str
    stack_id: str
    stack_name: str
    type: str
    definition: Definition
    changes: list[Json]
    status: str
    reason: str | None
    execution_status: str
    description: str | None = None
    on_failure: str | None = None
    created: datetime = field(default_factory=now)
    resolved: list[Json] = field(default_factory=list)
