"""What is to be done about the prerequisites stack in each condition that a stack can be in.

Source: CloudFormation user guide: what was rolled back after a failed creation can only be deleted; a failed rollback
of an update is continued; what is being changed is waited for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pcinfra.cloudformation import Condition, Stack
from pcinfra.engine import Action, Change, Kind, Plan
from pcinfra.errors import Refused
from pcinfra.stages import file_systems, node_policy, rules
from pcinfra.stages.stack_operations import (
    CHANGES,
    DIGEST_TAG,
    ContinueRollback,
    CreateChangeSet,
    CreateStack,
    DeleteStack,
    UpdateStack,
    WaitForStack,
    WantedStack,
)

if TYPE_CHECKING:
    from pcinfra.stages.prerequisites import StackFacts

STACK = "prerequisites/stack"

# What a change of these parameters replaces, and with it loses. Source: CloudFormation resource reference,
# AWS::FSx::FileSystem and AWS::EC2::Subnet, "Update requires: Replacement". FSx itself could make a file system
# larger, but CloudFormation would make a new one instead.
_LUSTRE = "everything on the Lustre file system"
_OPENZFS = "everything on the OpenZFS file system"
_BOTH = "everything on both file systems"
REPLACES = {
    "Capacity": _LUSTRE,
    "LustreDeploymentType": _LUSTRE,
    "LustreStorageType": _LUSTRE,
    "LustreDriveCacheType": _LUSTRE,
    "LustreVersion": _LUSTRE,
    "LustreEfa": _LUSTRE,
    "OpenZFSCapacity": _OPENZFS,
    "OpenZFSDeploymentType": _OPENZFS,
    "KmsKeyArn": _BOTH,
    "PrimarySubnetAZ": _BOTH,
    "VpcCidr": _BOTH,
    "PublicSubnetCidr": "the public subnet",
    "PrivateCidr": _BOTH,
    "PrimaryPrivateSubnetCidr": _BOTH,
    "ExistingVpc": _BOTH,
    "ExistingPrivateSubnet": _BOTH,
    "ExistingSecurityGroup": _BOTH,
    "ExistingLustre": _LUSTRE,
    "ExistingOpenZFSVolume": _OPENZFS,
}

POLICY = "the policy of the nodes"
DATABASE = "the accounting database (its last snapshot stays, and costs)"


def _when_ready(wanted: WantedStack, found: StackFacts) -> Plan:
    assert found.stack is not None
    if found.lost:
        return _heal(wanted, found)
    if found.stack.tags.get(DIGEST_TAG) == wanted.digest:
        return Plan((*rules.mending(found.rules), *node_policy.mending(found.policy)))
    return Plan((*_update(wanted, found.stack), *rules.mending(found.rules, after=[STACK])))


def _heal(wanted: WantedStack, found: StackFacts) -> Plan:
    """Return what makes anew what was deleted by hand: file systems, the policy."""
    assert found.stack is not None
    leaving = tuple(i for i, system in found.systems.items() if system.state == "DELETING")
    forget = file_systems.forgetting(wanted, found.stack.id, found.lost, leaving)
    ask, change = _update(wanted, found.stack, after=file_systems.FORGET)
    names = ", ".join(found.lost.values())
    policy = f"{POLICY} was deleted by hand and gets another ARN: pcinfra cluster update NAME gives it to a cluster"
    files = ", ".join(words for words in found.lost.values() if words != POLICY)
    note = f"{files} was deleted by hand: what was only there is lost; make the clusters that mount it anew"
    notes = (*((note,) if files else ()), *((policy,) if POLICY in found.lost.values() else ()))
    return Plan((*forget, ask, replace(change, why=f"make anew, and empty: {names}")), notes)


def _when_busy(wanted: WantedStack, found: StackFacts) -> Plan:
    assert found.stack is not None
    same = found.stack.tags.get(DIGEST_TAG) == wanted.digest
    notes = () if same else ("the stack is being changed to something else: run `pcinfra up` again afterwards",)
    why = f"{found.stack.status}: another run is at it"
    wait = Action(STACK, Kind.RUN, f"wait for stack {wanted.name}", why, WaitForStack(found.stack.id), seconds=630)
    return Plan((wait,), notes)


def _when_unusable(wanted: WantedStack, found: StackFacts) -> Plan:
    assert found.stack is not None
    if found.retained:
        raise Refused(
            f"{found.stack.status}, and it still keeps {', '.join(found.retained)}",
            where=f"stack {wanted.name}",
            hint=f"look at what it keeps, then: aws cloudformation delete-stack --stack-name {wanted.name}",
        )
    clear = deletion(found.stack, f"{found.stack.status}: a creation that failed can only be deleted", "clear")
    return Plan((clear, creation(wanted, "the last creation failed", after=clear.id)))


def _when_deleting(wanted: WantedStack, found: StackFacts) -> Plan:
    assert found.stack is not None
    clear = deletion(found.stack, "is being deleted", "clear")
    return Plan((clear, creation(wanted, "does not exist", after=clear.id)))


def _when_stuck(wanted: WantedStack, found: StackFacts) -> Plan:
    assert found.stack is not None
    why = f"{found.stack.status}: the rollback of an update did not end"
    mend = Action(
        "prerequisites/mend", Kind.RUN, f"continue the rollback of stack {wanted.name}", why,
        ContinueRollback(found.stack.id), seconds=60,
    )  # fmt: skip
    if found.stack.tags.get(DIGEST_TAG) == wanted.digest:
        return Plan((mend,))
    return Plan((mend, *_update(wanted, found.stack, after=mend.id)))


def _when_undeleted(wanted: WantedStack, found: StackFacts) -> Plan:
    assert found.stack is not None
    raise Refused(
        f"{found.stack.status}: {found.stack.reason}", where=f"stack {wanted.name}",
        hint="pcinfra down   (it says what is in the way), then pcinfra up",
    )  # fmt: skip


RECOVERY = {
    Condition.READY: _when_ready,
    Condition.BUSY: _when_busy,
    Condition.EMPTY: _when_unusable,
    Condition.BROKEN: _when_unusable,
    Condition.DELETING: _when_deleting,
    Condition.STUCK: _when_stuck,
    Condition.UNDELETED: _when_undeleted,
}
"""One function for each condition."""


# --- actions -----------------------------------------------------------------------------------------------------


def creation(wanted: WantedStack, why: str, after: str = "") -> Action:
    changes = tuple(Change(key, None, value) for key, value in wanted.parameters)
    return Action(
        STACK, Kind.CREATE, f"stack {wanted.name}", why, CreateStack(wanted),
        after=frozenset({after} - {""}), seconds=630, changes=changes,
    )  # fmt: skip


def _update(wanted: WantedStack, stack: Stack, after: str = "") -> tuple[Action, Action]:
    new = dict(wanted.parameters)
    old = dict(stack.parameters)
    changes = tuple(Change(k, old.get(k), new.get(k)) for k in sorted(new | old) if old.get(k) != new.get(k))
    lost = dict.fromkeys(filter(None, map(_lost, changes)))
    why = "settings differ" if changes else "the template or the tags differ"
    ask = Action(
        CHANGES, Kind.RUN, f"ask what changes in stack {wanted.name}", why, CreateChangeSet(wanted),
        after=frozenset({after} - {""}), seconds=10,
    )  # fmt: skip
    change = Action(
        STACK, Kind.REPLACE if lost else Kind.UPDATE, f"stack {wanted.name}", why,
        UpdateStack(wanted, stack.id, may_replace=bool(lost)), after=frozenset({CHANGES}),
        seconds=600, changes=changes, loses=", ".join(lost),
    )  # fmt: skip
    return ask, change


def _lost(change: Change) -> str:
    """Return what a change of a parameter replaces or takes away; empty for nothing."""
    if change.key == "AccountingDatabase":
        return DATABASE if change.before == "true" else ""
    return REPLACES.get(change.key, "") if change.before is not None else ""


def deletion(stack: Stack, why: str, thing: str = "stack", loses: str = "") -> Action:
    return Action(
        f"prerequisites/{thing}", Kind.DELETE, f"stack {stack.name}", why, DeleteStack(stack.id, stack.name),
        seconds=600, loses=loses,
    )  # fmt: skip
