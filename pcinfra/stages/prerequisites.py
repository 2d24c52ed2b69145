"""Stage *prerequisites*: network and storage, one CloudFormation stack; ``recovery`` knows its conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pcinfra import cloudformation as cfn
from pcinfra.cloudformation import Condition, Stack
from pcinfra.engine import Action, Plan
from pcinfra.errors import Refused
from pcinfra.stacks.settings import NODE_POLICY
from pcinfra.stages import adopt, backups, file_systems, interfaces, node_policy, recovery, rules, zones
from pcinfra.stages.adopt import Adopted
from pcinfra.stages.backups import BackupFacts
from pcinfra.stages.base import Facts, Health, Resource
from pcinfra.stages.file_systems import FileSystem
from pcinfra.stages.node_policy import PolicyFacts
from pcinfra.stages.rules import RuleFacts
from pcinfra.stages.stack_operations import DIGEST_TAG, WantedStack
from pcinfra.stages.wanted import STAGE, wanted_stack

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors
    from pcinfra.project import Project

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
    policy: PolicyFacts = field(default_factory=PolicyFacts)

    @property
    def outputs(self) -> Mapping[str, str]:
        """The stack's outputs; empty while what they name is going, or was never finished."""
        gone = (Condition.DELETING, Condition.EMPTY, Condition.BROKEN)
        return {} if self.stack is None or self.stack.condition in gone else self.stack.outputs

    @property
    def lost(self) -> Mapping[str, str]:
        """What of the stack was deleted by hand, its file systems and its policy: logical ids, what to call each."""
        parameters = self.stack.parameters if self.stack else {}
        made = {k: v for k, v in self.outputs.items() if v not in map(parameters.get, adopt.PARAMETERS.values())}
        policy = {node_policy.LOGICAL_ID: recovery.POLICY} if self.policy.gone else {}
        return {**file_systems.lost(made, self.systems), **policy}

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
        found = replace(found, retained=retained, systems=systems)
        if stack is None or _adopted(stack) or stack.condition is not Condition.READY:
            return found
        made = rules.read(doors.cloud, _own_groups(found))
        return replace(found, rules=made)

    def up(self, project: Project, facts: Facts) -> Plan:
        found = _found(facts)
        wanted = _wanted(project, facts)
        if found.adopted.problems and (found.stack is None or not _adopted(found.stack)):
            raise found.adopted.problems[0]
        if found.stack is None:
            return Plan((recovery.creation(wanted, "does not exist"),), found.notes)
        if _adopted(found.stack):
            return Plan(notes=_used_as_it_is(project, found.stack))
        _refuse_foreign(project, found.stack)
        return recovery.RECOVERY[found.stack.condition](wanted, found)

    def down(self, project: Project, facts: Facts) -> Plan:
        stack = facts.of(StackFacts).stack
        if stack is None:
            return _left_backups(project, facts)
        if _adopted(stack):
            return Plan(notes=(f"stack {stack.name} was not made by pcinfra: it is kept",))
        _refuse_foreign(project, stack)
        waits = _waits(facts.of(StackFacts))
        gone = recovery.deletion(stack, f"is {stack.status}", loses=_files(project))
        gone = replace(gone, after=frozenset(wait.id for wait in waits))
        note = (
            f"goes: {recovery.DATABASE}; aws rds describe-db-cluster-snapshots"
            if "DatabaseUri" in stack.outputs
            else ""
        )
        notes = (note,) if note else ()
        openzfs = stack.outputs.get("FSxOpenZFSFilesystemId", "")
        kept = facts.values.get(BackupFacts, BackupFacts())
        may_be = openzfs or kept.count or stack.condition is Condition.DELETING
        if project.prerequisites.openzfs.final_backup or not may_be:
            return Plan((*waits, gone), notes)
        return Plan((*waits, gone, backups.deletion(project, openzfs, kept, after=recovery.STACK)), notes)

    def status(self, project: Project, facts: Facts) -> list[Resource]:
        found, what = _found(facts), f"stack {project.prerequisites.stack}"
        stack = found.stack
        if stack is None:
            return [Resource(self.name, what, "", Health.ABSENT)]
        health = _health(stack)
        if health is Health.OK and not _adopted(stack) and not _same(project, facts):
            health = Health.DIFFERS
            if not found.policy.gone:  # what it is compared with is what the stack will have
                found = replace(found, policy=PolicyFacts())
        rows = [Resource(self.name, what, stack.status, health, stack.reason, stack.created)]
        for text, key in (
            ("VPC", "VPC"),
            ("public subnet", "PublicSubnet"),
            ("private subnet", "PrimaryPrivateSubnet"),
        ):
            rows += _row(text, key, found, health)
        rows += _policy_row(found, health)
        wrong = found.rules.difference(rules.CLIENTS, rules.SERVER)
        rows += _row("accounting database", "DatabaseUri", found, health, wrong)
        rows += _row("security group", "SecurityGroup", found, health, found.rules.difference(rules.EFA))
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


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """Look at the policy of the nodes, after the stack was read. The result is :class:`PolicyFacts`."""

    def start(self, doors: Doors, results: Mapping[str, Any]) -> PolicyFacts:
        found: StackFacts = results[f"read/{STAGE}"]
        stack = found.stack
        if stack is None or _adopted(stack) or stack.condition is not Condition.READY:
            return PolicyFacts()
        return node_policy.read(doors.cloud, stack, found.outputs.get(NODE_POLICY, ""), doors.cloud.region)


def _found(facts: Facts) -> StackFacts:
    """Return what there is, with the policy of the nodes where somebody looked at it."""
    return replace(facts.of(StackFacts), policy=facts.values.get(PolicyFacts, PolicyFacts()))


def _own_groups(found: StackFacts) -> dict[str, str]:
    """Return the security groups that the stack made; the rules of one that is adopted are its owner's."""
    adopted = found.stack and found.stack.parameters.get(adopt.PARAMETERS["security_group"])
    names = [] if adopted else [rules.EFA]
    if rules.SERVER in found.outputs:
        names += [rules.CLIENTS, rules.SERVER]
    return {name: found.outputs[name] for name in names if name in found.outputs}


def _row(what: str, key: str, found: StackFacts, health: Health, wrong: str = "", only: str = "") -> list[Resource]:
    """Return the row of an output of the stack, ``wrong`` in words where it was changed by hand; none without it."""
    if key not in found.outputs:
        return []
    detail = f"{wrong}; pcinfra up{only} mends it" if wrong else ""
    return [Resource(STAGE, what, found.outputs[key], Health.DIFFERS if wrong else health, detail)]


_CLOSELY = f" --only {STAGE}"
"""Who asks for this stage alone has it looked at closely: a plan of everything stays within few calls."""


def _policy_row(found: StackFacts, health: Health) -> list[Resource]:
    if found.policy.gone:
        detail = f"was deleted by hand; pcinfra up{_CLOSELY} makes it anew"
        return [Resource(STAGE, "policy of the nodes", found.policy.arn, Health.FAILED, detail)]
    return _row("policy of the nodes", NODE_POLICY, found, health, found.policy.difference(), _CLOSELY)


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
