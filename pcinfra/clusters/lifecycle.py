"""Creating and deleting clusters, as Actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from pcinfra import cloudformation
from pcinfra.cloudformation import Condition, Stack
from pcinfra.clusters.facts import ClusterFacts, differences, find, is_cluster
from pcinfra.clusters.fleet import Fleet, FleetProbe, until
from pcinfra.clusters.pcluster import Pcluster
from pcinfra.clusters.probe import ClusterProbe, Phase, until_phase
from pcinfra.engine import Action, Kind, Operation, Pending, Plan
from pcinfra.errors import Conflict, NotFound, Refused, Unreachable

if TYPE_CHECKING:
    from pcinfra.doors import Doors

# Published: about 10 min for a plain cluster, 15 to 20 with GPU nodes and both file systems.
RESOURCES_SECONDS = 120.0
HEAD_NODE_SECONDS = 300.0
STATIC_NODES_SECONDS = 480.0
FLEET_SECONDS = 5.0
CREATE_SECONDS = RESOURCES_SECONDS + HEAD_NODE_SECONDS + STATIC_NODES_SECONDS
DELETE_SECONDS = 300.0
LOSES = "running jobs, the disks of its nodes and their logs in CloudWatch; /home and /lustre stay"


@dataclass(frozen=True, slots=True)
class CreateCluster:
    """Runs pcluster's validators and starts the creation; the result is the Stack, once its head node starts.

    Args:
        rollback: what was made is removed when the creation fails, and its logs with it.
    """

    name: str
    project: str
    config: str
    rollback: bool = False

    def start(self, context: Doors, results: Mapping[str, Any]) -> Pending:
        try:
            program = Pcluster(context.shell, context.target)
            stack_id = program.create(self.name, self.config, rollback=self.rollback)
        except Conflict:
            stack_id = self._made_meanwhile(context)
        return _until(Phase.HEAD_NODE, self.name, stack_id)

    def _made_meanwhile(self, context: Doors) -> str:
        """Somebody made it between the plan and now: that is as good, if it is this very cluster."""
        facts = find(context.cloud, self.name, with_config=True)
        if facts.stack is None or not facts.belongs_to(self.project) or differences(facts.config, self.config):
            raise Refused("another stack has taken the name", where=f"cluster {self.name}", hint="pcinfra cluster list")
        return facts.stack.id


@dataclass(frozen=True, slots=True)
class WaitForCluster:
    """Waits until a creation or update that is under way has come as far as ``phase``; the result is the Stack.

    Args:
        stack_id: empty for that of the Stack which the Action ``after`` has returned.
    """

    name: str
    stack_id: str = ""
    after: str = ""
    phase: Phase = Phase.DONE

    def start(self, context: Doors, results: Mapping[str, Any]) -> Any:
        return _now_or(_until(self.phase, self.name, self.stack_id or results[self.after].id), context)


@dataclass(frozen=True, slots=True)
class WaitForFleet:
    """Waits until the compute fleet runs; the result is its status."""

    name: str

    def start(self, context: Doors, results: Mapping[str, Any]) -> Any:
        return _now_or(Pending(FleetProbe(), self.name, until(Fleet.RUNNING, self.name), str), context)


@dataclass(frozen=True, slots=True)
class DeleteCluster:
    """Starts the deletion, unless it is under way."""

    name: str
    stack_id: str

    def start(self, context: Doors, results: Mapping[str, Any]) -> Pending | None:
        try:
            Pcluster(context.shell, context.target).delete(self.name)
        except NotFound:
            return None
        hint = f"the same command again; what holds it: pcinfra cluster show {self.name}"
        judge = cloudformation.until_gone(self.name, hint)
        return Pending(ClusterProbe(), self.stack_id, judge, cloudformation.progress)


def _now_or(pending: Pending, context: Doors) -> Any:
    """Return the result where it is there already, so that no tick of the poller is waited for; else ``pending``."""
    try:
        state = pending.probe.read(context, frozenset({pending.key})).get(pending.key)
    except Unreachable:  # the poller bears some of these
        return pending
    done = pending.judge(state)
    return done[0] if done else pending


def _until(phase: Phase, name: str, stack_id: str) -> Pending:
    hint = f"pcinfra cluster show {name}; then change what is wrong and pcinfra cluster create {name}"
    judge = until_phase(phase, cloudformation.until_ready(name, hint))
    return Pending(ClusterProbe(), stack_id, judge, cloudformation.progress)


def create_plan(facts: ClusterFacts, project: str, config: str, *, rollback: bool = False) -> Plan:
    """Return what brings the cluster ``facts.name`` to ``config``.

    A creation that failed earlier is deleted first. A cluster that runs with this configuration is left alone.

    Raises:
        Refused: the name belongs to something else, or the cluster runs with another configuration.
    """
    name, stack = facts.name, facts.stack
    if stack is None:
        return _creation(CreateCluster(name, project, config, rollback), "does not exist")
    if not facts.belongs_to(project):
        raise not_ours(facts)
    if stack.condition is Condition.BUSY:
        return Plan((waiting(stack),))
    if stack.condition is Condition.READY:
        return _keep(facts, config)
    if stack.condition is Condition.STUCK:
        raise Refused(f"its update is stuck in {stack.status}: {stack.reason}", where=f"cluster {name}",
                      hint=f"pcinfra cluster delete {name}, then create it again")  # fmt: skip
    removal = _deletion(stack, f"left over in {stack.status}", "")
    operation = CreateCluster(name, project, config, rollback)
    return Plan((removal,)) + _creation(operation, "after what is left of it", removal.id)


def delete_actions(stacks: Iterable[Stack], after: Iterable[str] = ()) -> list[Action]:
    """Return the deletion of each cluster, whatever state it is in; they wait for the Actions ``after``."""
    return [_deletion(stack, f"is {stack.status}", LOSES, frozenset(after)) for stack in stacks]


def _creation(operation: CreateCluster, why: str, *after: str) -> Plan:
    """Return the phases of a creation, each an Action, so that each has its usual time and its own line."""
    name = operation.name
    first, head, last = f"cluster/{name}/resources", f"cluster/{name}/head-node", f"cluster/{name}"
    making = Action(
        first, Kind.CREATE, f"cluster {name}: network rules, roles, head node", why, operation, frozenset(after), "",
        RESOURCES_SECONDS,
    )  # fmt: skip
    steps = [making]
    before, seconds = first, HEAD_NODE_SECONDS
    if static_nodes(operation.config):
        wait = WaitForCluster(name, after=first, phase=Phase.STATIC_NODES)
        steps.append(_step(head, f"head node of {name}: set up", "by its own recipes", wait, first, HEAD_NODE_SECONDS))
        before, seconds = head, STATIC_NODES_SECONDS
    ready = WaitForCluster(name, after=first)
    what, because = f"cluster {name}: ready", "static nodes are up, or there are none"
    steps.append(_step(last, what, because, ready, before, seconds))
    steps.append(_step(f"cluster/{name}/fleet", f"compute fleet of {name}: runs", "jobs can start", WaitForFleet(name),
                       last, FLEET_SECONDS))  # fmt: skip
    return Plan(tuple(steps))


def _step(action_id: str, what: str, why: str, operation: Operation, after: str, seconds: float) -> Action:
    return Action(action_id, Kind.RUN, what, why, operation, frozenset({after}), "", seconds)


def static_nodes(config: str) -> int:
    """Return how many nodes of a configuration (pcluster YAML) always run."""
    scheduling = (yaml.safe_load(config) or {}).get("Scheduling") or {}
    resources = [each for queue in scheduling.get("SlurmQueues") or [] for each in queue.get("ComputeResources") or []]
    return sum(int(each.get("MinCount") or 0) for each in resources)


def waiting(stack: Stack) -> Action:
    """Return the Action that waits for what is under way."""
    operation = WaitForCluster(stack.name, stack.id)
    why = f"is {stack.status}"
    return Action(
        f"cluster/{stack.name}", Kind.RUN, f"wait for cluster {stack.name}", why, operation, seconds=CREATE_SECONDS
    )


def _deletion(stack: Stack, why: str, loses: str, after: frozenset[str] = frozenset()) -> Action:
    operation = DeleteCluster(stack.name, stack.id)
    action_id = f"cluster/{stack.name}/delete"
    return Action(action_id, Kind.DELETE, f"cluster {stack.name}", why, operation, after, loses, DELETE_SECONDS)


def _keep(facts: ClusterFacts, config: str) -> Plan:
    changes = differences(facts.config, config)
    if not changes:
        return Plan(notes=(f"cluster {facts.name} exists with this configuration: nothing to do",))
    told = "".join(f"\n    {c.key}: {c.before or '(none)'} → {c.after or '(none)'}" for c in changes)
    change = f"pcinfra cluster update {facts.name} --dry-run   (shows what the change needs)"
    again = f"pcinfra cluster delete {facts.name}, then create it again: what it was made from is lost"
    raise Refused(
        f"exists with another configuration:{told}",
        where=f"cluster {facts.name}",
        hint=change if facts.config else again,
    )


def not_ours(facts: ClusterFacts) -> Refused:
    """Return the refusal to touch a cluster or stack of somebody else."""
    assert facts.stack
    kind = "cluster" if is_cluster(facts.stack) else "stack"
    owner = facts.stack.tags.get("pcinfra:project")
    whose = f"project {owner}" if owner else "somebody else"
    return Refused(
        f"the name belongs to a {kind} of {whose} in this account", where=f"cluster {facts.name}",
        hint="another name for it under clusters: in pcinfra.yaml",
    )  # fmt: skip
