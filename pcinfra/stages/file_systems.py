"""The stack's file systems as FSx tells of them: CloudFormation does not notice when one is deleted or fails.

What is deleted by hand is made anew, empty: first an update of the stack that forgets it, then one that asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pcinfra import cloudformation as cfn
from pcinfra.cloudformation import StackProbe
from pcinfra.engine import Action, Kind, Pending
from pcinfra.errors import CloudError, NotFound, ResourceFailed
from pcinfra.stages.stack_operations import WantedStack

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors

# Output of the stack -> logical id of the file system in the template, and its name for people.
STORAGE = {
    "FSxLustreFilesystemId": ("FSxLFilesystem", "FSx for Lustre"),
    "FSxOpenZFSFilesystemId": ("OpenZFSFileSystem", "FSx for OpenZFS"),
}
GONE = "prerequisites/gone"
FORGET = "prerequisites/forget"


@dataclass(frozen=True, slots=True)
class FileSystem:
    """One file system: FSx's life cycle state, why it failed if it did, and when it was made (ISO 8601)."""

    id: str
    state: str
    failure: str = ""
    created: str = ""


def read(cloud: Cloud, ids: Iterable[str]) -> dict[str, FileSystem]:
    """Return the file systems by id, in one call while all of them exist; those that do not are left out."""
    wanted = sorted(ids)
    if not wanted:
        return {}
    try:
        rows = cloud.call("fsx", "DescribeFileSystems", FileSystemIds=wanted)["FileSystems"]
    except NotFound:
        return {} if len(wanted) == 1 else {k: v for one in wanted for k, v in read(cloud, [one]).items()}
    return {row["FileSystemId"]: _parse(row) for row in rows}


def _parse(row: Mapping[str, Any]) -> FileSystem:
    created = row.get("CreationTime")
    return FileSystem(
        row["FileSystemId"], row["Lifecycle"], (row.get("FailureDetails") or {}).get("Message", ""),
        created.isoformat() if created else "",
    )  # fmt: skip


def lost(outputs: Mapping[str, str], found: Mapping[str, FileSystem]) -> dict[str, str]:
    """Return which of the stack's file systems are gone, or going: logical ids, and what to call each."""
    return {
        logical: f"{words} ({outputs[key]})"
        for key, (logical, words) in STORAGE.items()
        if key in outputs and (outputs[key] not in found or found[outputs[key]].state == "DELETING")
    }


def forgetting(wanted: WantedStack, stack_id: str, gone: Mapping[str, str], leaving: tuple[str, ...]) -> list[Action]:
    """Return the Actions after which the stack knows nothing of the file systems ``gone``.

    Args:
        gone: logical ids, and what to call each.
        leaving: ids of those that FSx is still deleting.
    """
    from pcinfra.stacks.removal import without

    waits = [
        Action(f"{GONE}-{i}", Kind.RUN, f"wait for the deletion of {i}", "is DELETING", WaitGone(i), seconds=300)
        for i in leaving
    ]
    reduced = replace(wanted, template=without(wanted.template, gone))
    forget = Action(
        FORGET, Kind.UPDATE, f"stack {wanted.name} without {', '.join(gone.values())}",
        "was deleted by hand, and CloudFormation did not notice", Forget(reduced, stack_id),
        frozenset(wait.id for wait in waits), seconds=60,
    )  # fmt: skip
    return [*waits, forget]


@dataclass(frozen=True, slots=True)
class Forget:
    """Update the stack to a template without some of its resources. The result is the Stack."""

    wanted: WantedStack
    stack_id: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        name = self.wanted.name
        try:
            doors.cloud.call("cloudformation", "UpdateStack", **self.wanted.request())
        except CloudError as error:
            if "No updates are to be performed" not in error.why:  # an earlier run has come this far
                raise
        return Pending(StackProbe(), self.stack_id, cfn.until_ready(name, "pcinfra up"), cfn.progress)


@dataclass(frozen=True, slots=True)
class FileSystemProbe:
    """Reads file systems by id."""

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, FileSystem]:
        return read(doors.cloud, keys)


@dataclass(frozen=True, slots=True)
class WaitGone:
    """Wait until FSx has deleted a file system."""

    id: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        return Pending(FileSystemProbe(), self.id, self._gone, lambda system: system.state if system else "")

    def _gone(self, system: FileSystem | None) -> tuple[None] | None:
        if system is None:
            return (None,)
        if system.state == "DELETING":
            return None
        raise ResourceFailed(f"{system.state}: {system.failure}", where=f"file system {self.id}", hint="pcinfra up")
