"""Stage *prerequisites*: network and storage, one CloudFormation stack.

The stack's recovery from each status follows CloudFormation's user guide: what was rolled back after a failed
creation can only be deleted; a failed rollback of an update is continued; what is being changed is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from pcinfra import cloudformation as cfn
from pcinfra.cloudformation import Condition, Stack
from pcinfra.engine import Action, Change, Kind, Plan
from pcinfra.errors import Refused
from pcinfra.stacks.settings import NODE_POLICY
from pcinfra.stages import adopt, backups, file_systems, interfaces, rules, zones
from pcinfra.stages.adopt import Adopted
from pcinfra.stages.backups import BackupFacts
from pcinfra.stages.base import Facts, Health, Resource
from pcinfra.stages.file_systems import FileSystem
from pcinfra.stages.rules import RuleFacts
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
from pcinfra.stages.wanted import STAGE, wanted_stack

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors
    from pcinfra.project import Project

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

DATABASE = "the accounting database (its last snapshot stays, and costs)"

OUTPUT_VARIABLES = {
    "VPC": "VPC_ID",
    "PublicSubnet": "PUBLIC_SUBNET_ID",
    "PrimaryPrivateSubnet": "PRIVATE_SUBNET_ID",
    "SecurityGroup": "SECURITY_GROUP_ID",
    "FSxLustreFilesystemId": "FSX_LUSTRE_ID",
    "FSxLustreFilesystemMountname": "FSX_LUSTRE_MOUNT_NAME",
    "FSxLustreFilesystemDNSname": "FSX_LUSTRE_DNS",
    "FSxORootVolumeId": "FSX_OPENZFS_ROOT_VOLUME_ID",
}


@dataclass(frozen=True, slots=True)
class StackFacts:
    """The stack as it is (None: there is none), the zone that ``auto`` stands for, and what a deletion kept.

    ``systems`` are its file systems by id, as far as FSx knows them; ``notes`` say why a new stack gets what ``auto``
    stands for.
    """

    stack: Stack | None
    zone: str
    retained: tuple[str, ...] = ()
    systems: Mapping[str, FileSystem] = field(default_factory=dict)
    second_zone: str = ""
    notes: tuple[str, ...] = ()
    adopted: Adopted = field(default_factory=Adopted)
    rules: RuleFacts = field(default_factory=RuleFacts)

    @property
    def outputs(self) -> Mapping[str, str]:
        """The stack's outputs; empty while what they name is going, or was never finished."""
        gone = (Condition.DELETING, Condition.EMPTY, Condition.BROKEN)
        return {} if self.stack is None or self.stack.condition in gone else self.stack.outputs

    @property
    def lost(self) -> Mapping[str, str]:
        """The stack's file systems that were deleted by hand: logical ids, and what to call each."""
        parameters = self.stack.parameters if self.stack else {}
        made = {k: v for k, v in self.outputs.items() if v not in map(parameters.get, adopt.PARAMETERS.values())}
        return file_systems.lost(made, self.systems)

    @property
    def lustre(self) -> str:
        """The id of the Lustre file system; empty while there is none."""
        return "" if "FSxLFilesystem" in self.lost else self.outputs.get("FSxLustreFilesystemId", "")


class Prerequisites:
    """VPC, subnets, EFA security group, FSx for Lustre, FSx for OpenZFS and the policy of the nodes."""

    name: ClassVar[str] = STAGE
    needs: ClassVar[tuple[str, ...]] = ()

    def read(self, project: Project, doors: Doors, facts: Facts) -> StackFacts:
        stack = cfn.find(doors.cloud, project.prerequisites.stack)
        stands = stack is not None and stack.condition is not Condition.EMPTY
        standing = stack.parameters if stack and stands else {}
        adopted = adopt.read(project, doors.cloud, standing)
        placed = project.model_copy(update={"availability_zone": adopted.zone}) if adopted.zone else project
        chosen = zones.standing(placed, doors.cloud, standing) if standing else zones.choose(placed, doors.cloud)
        found = StackFacts(stack, chosen.first, second_zone=chosen.second, notes=chosen.notes, adopted=adopted)
        ids = [found.outputs[key] for key in file_systems.STORAGE if key in found.outputs]
        retained, systems = _retained(doors.cloud, stack), file_systems.read(doors.cloud, ids)
        return replace(found, retained=retained, systems=systems, rules=rules.read(doors.cloud, _own_group(found)))

    def up(self, project: Project, facts: Facts) -> Plan:
        found = facts.of(StackFacts)
        wanted = _wanted(project, facts)
        if found.adopted.problems and (found.stack is None or not _adopted(found.stack)):
            raise found.adopted.problems[0]
        if found.stack is None:
            return Plan((_create(wanted, "does not exist"),), found.notes)
        if _adopted(found.stack):
            return Plan(notes=_used_as_it_is(project, found.stack))
        _refuse_foreign(project, found.stack)
        return _RECOVERY[found.stack.condition](wanted, found)

    def down(self, project: Project, facts: Facts) -> Plan:
        stack = facts.of(StackFacts).stack
        if stack is None:
            return _left_backups(project, facts)
        if _adopted(stack):
            return Plan(notes=(f"stack {stack.name} was not made by pcinfra: it is kept",))
        _refuse_foreign(project, stack)
        waits = _waits(facts.of(StackFacts))
        gone = _delete(stack, f"is {stack.status}", loses=_files(project))
        gone = replace(gone, after=frozenset(wait.id for wait in waits))
        note = f"goes: {DATABASE}; aws rds describe-db-cluster-snapshots" if "DatabaseUri" in stack.outputs else ""
        notes = (note,) if note else ()
        openzfs = stack.outputs.get("FSxOpenZFSFilesystemId", "")
        kept = facts.values.get(BackupFacts, BackupFacts())
        may_be = openzfs or kept.count or stack.condition is Condition.DELETING
        if project.prerequisites.openzfs.final_backup or not may_be:
            return Plan((*waits, gone), notes)
        return Plan((*waits, gone, backups.deletion(project, openzfs, kept, after=STACK)), notes)

    def status(self, project: Project, facts: Facts) -> list[Resource]:
        found = facts.of(StackFacts)
        what = f"stack {project.prerequisites.stack}"
        if found.stack is None:
            return [Resource(self.name, what, "", Health.ABSENT)]
        health = _health(found.stack)
        if health is Health.OK and not _adopted(found.stack) and not _same(project, facts):
            health = Health.DIFFERS
        rows = [Resource(self.name, what, found.stack.status, health, found.stack.reason, found.stack.created)]
        named = (("VPC", "VPC"), ("public subnet", "PublicSubnet"), ("private subnet", "PrimaryPrivateSubnet"),
                 ("policy of the nodes", NODE_POLICY), ("accounting database", "DatabaseUri"))  # fmt: skip
        rows += [Resource(self.name, text, found.outputs[key], health) for text, key in named if key in found.outputs]
        rows += _group_rows(found, health)
        rows += [_system_row(text, found.outputs[key], found) for key, (_, text) in file_systems.STORAGE.items()
                 if key in found.outputs]  # fmt: skip
        return rows

    def env(self, project: Project, facts: Facts) -> dict[str, str]:
        found = facts.of(StackFacts)
        variables = {
            "AWS_REGION": facts.region,
            "STACK_NAME": project.prerequisites.stack,
            "PRIMARY_AZ": found.zone,
        }
        variables |= {name: found.outputs.get(key, "") for key, name in OUTPUT_VARIABLES.items()}
        return variables


def _own_group(found: StackFacts) -> str:
    """Return the security group that the stack made; the rules of one that is adopted are its owner's."""
    if found.stack is None or _adopted(found.stack) or found.stack.condition is not Condition.READY:
        return ""
    adopted = found.stack.parameters.get(adopt.PARAMETERS["security_group"])
    return "" if adopted else found.outputs.get("SecurityGroup", "")


def _group_rows(found: StackFacts, health: Health) -> list[Resource]:
    if "SecurityGroup" not in found.outputs:
        return []
    wrong = found.rules.difference()
    detail = f"{wrong}; pcinfra up mends it" if wrong else ""
    group = found.outputs["SecurityGroup"]
    return [Resource(Prerequisites.name, "security group", group, Health.DIFFERS if wrong else health, detail)]


def _system_row(what: str, identity: str, found: StackFacts) -> Resource:
    system = found.systems.get(identity)
    if system is None:
        mend = "pcinfra up makes it anew" if found.lost else "it was adopted: take it out of prerequisites.adopt"
        return Resource(Prerequisites.name, what, identity, Health.FAILED, f"was deleted by hand; {mend}")
    health = {"AVAILABLE": Health.OK, "UPDATING": Health.OK, "CREATING": Health.BUSY}.get(system.state, Health.FAILED)
    detail = " ".join(filter(None, (system.state, system.failure)))
    return Resource(Prerequisites.name, what, identity, health, detail, system.created)


def _left_backups(project: Project, facts: Facts) -> Plan:
    """Return the deletion of what a teardown that was cut short has left of the stack."""
    found = facts.values.get(BackupFacts, BackupFacts())
    if project.prerequisites.openzfs.final_backup or not found.count:
        return Plan()
    return Plan((backups.deletion(project, "", found),))


def _waits(found: StackFacts) -> tuple[Action, ...]:
    stays = found.stack is not None and found.stack.parameters.get(adopt.PARAMETERS["vpc"])
    if "VPC" not in found.outputs or stays:
        return ()
    return (interfaces.waiting(found.outputs["VPC"], found.systems),)


def _files(project: Project) -> str:
    """Return what goes with the file systems, in words. What is on Lustre cannot be listed from outside."""
    paths = [association.path for association in project.associations.values() if association.auto_export]
    exported = f" outside {', '.join(paths)}, which are exported first," if paths else ""
    adopted = project.prerequisites.adopt
    lost = {f"everything on Lustre{exported} that is not in S3": adopted.lustre}
    lost["everything on OpenZFS (/home)"] = adopted.openzfs_volume
    return "; ".join(words for words, kept in lost.items() if not kept)


def _used_as_it_is(project: Project, stack: Stack) -> tuple[str, ...]:
    notes = [f"stack {stack.name} was not made by pcinfra: it is used as it is"]
    if NODE_POLICY not in stack.outputs and project.nodes != type(project.nodes)():
        notes.append(
            f"it has no output {NODE_POLICY}: what `nodes` names must be granted to the clusters' roles by hand"
        )
    if "DatabaseUri" not in stack.outputs and project.has_database:
        notes.append("it has no accounting database: accounting.managed needs a stack that pcinfra makes")
    return tuple(notes)


def _wanted(project: Project, facts: Facts) -> WantedStack:
    found = facts.of(StackFacts)
    return wanted_stack(project, facts.account, found.zone, found.second_zone, found.adopted.mount_name)


def _adopted(stack: Stack) -> bool:
    """Whether the stack was made by hand: it carries no tag of ours."""
    return "pcinfra:project" not in stack.tags


def _refuse_foreign(project: Project, stack: Stack) -> None:
    owner = stack.tags["pcinfra:project"]
    if owner != project.project:
        raise Refused(
            f"belongs to the project {owner!r}",
            where=f"stack {stack.name}",
            hint="give this project a stack of its own: prerequisites.stack in pcinfra.yaml",
        )


def _same(project: Project, facts: Facts) -> bool:
    stack = facts.of(StackFacts).stack
    assert stack is not None
    return stack.tags.get(DIGEST_TAG) == _wanted(project, facts).digest


def _health(stack: Stack) -> Health:
    if stack.condition is Condition.READY:
        return Health.OK
    return Health.BUSY if stack.condition in (Condition.BUSY, Condition.DELETING) else Health.FAILED


def _retained(cloud: Cloud, stack: Stack | None) -> tuple[str, ...]:
    """Return the resources that a failed creation left behind on purpose or could not delete."""
    if stack is None or stack.condition not in (Condition.EMPTY, Condition.BROKEN):
        return ()
    rows = cloud.pages("cloudformation", "ListStackResources", "StackResourceSummaries", StackName=stack.name)
    return tuple(
        f"{row['LogicalResourceId']} ({row.get('PhysicalResourceId', '')})"
        for row in rows
        if row["ResourceStatus"] == "DELETE_SKIPPED"
    )


# --- one function for each condition that a stack can be in ------------------------------------------------------


def _when_ready(wanted: WantedStack, found: StackFacts) -> Plan:
    assert found.stack is not None
    if found.lost:
        return _heal(wanted, found)
    if found.stack.tags.get(DIGEST_TAG) == wanted.digest:
        return Plan(rules.mending(found.rules))
    return Plan((*_update(wanted, found.stack), *rules.mending(found.rules, after=[STACK])))


def _heal(wanted: WantedStack, found: StackFacts) -> Plan:
    """Return what makes file systems anew that were deleted by hand."""
    assert found.stack is not None
    leaving = tuple(i for i, system in found.systems.items() if system.state == "DELETING")
    forget = file_systems.forgetting(wanted, found.stack.id, found.lost, leaving)
    ask, change = _update(wanted, found.stack, after=file_systems.FORGET)
    names = ", ".join(found.lost.values())
    anew = replace(change, why=f"make anew, and empty: {names}")
    note = f"{names} was deleted by hand: what was only there is lost; make the clusters that mount it anew"
    return Plan((*forget, ask, anew), (note,))


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
    clear = _delete(found.stack, f"{found.stack.status}: a creation that failed can only be deleted", "clear")
    return Plan((clear, _create(wanted, "the last creation failed", after=clear.id)))


def _when_deleting(wanted: WantedStack, found: StackFacts) -> Plan:
    assert found.stack is not None
    clear = _delete(found.stack, "is being deleted", "clear")
    return Plan((clear, _create(wanted, "does not exist", after=clear.id)))


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


_RECOVERY = {
    Condition.READY: _when_ready,
    Condition.BUSY: _when_busy,
    Condition.EMPTY: _when_unusable,
    Condition.BROKEN: _when_unusable,
    Condition.DELETING: _when_deleting,
    Condition.STUCK: _when_stuck,
    Condition.UNDELETED: _when_undeleted,
}


# --- actions -----------------------------------------------------------------------------------------------------


def _create(wanted: WantedStack, why: str, after: str = "") -> Action:
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


def _delete(stack: Stack, why: str, thing: str = "stack", loses: str = "") -> Action:
    return Action(
        f"prerequisites/{thing}", Kind.DELETE, f"stack {stack.name}", why, DeleteStack(stack.id, stack.name),
        seconds=600, loses=loses,
    )  # fmt: skip
