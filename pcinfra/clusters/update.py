"""Changing a cluster that exists: what each change needs by pcluster's own policies, and the Actions in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import yaml

from pcinfra import cloudformation
from pcinfra.cloudformation import Condition
from pcinfra.clusters.facts import ClusterFacts
from pcinfra.clusters.fleet import Fleet, starting, stopping
from pcinfra.clusters.lifecycle import not_ours, waiting
from pcinfra.clusters.logins import stopping_logins
from pcinfra.clusters.pcluster import Pcluster
from pcinfra.clusters.policies import Needs, Verdict
from pcinfra.clusters.probe import ClusterProbe
from pcinfra.engine import Action, Change, Kind, Pending, Plan
from pcinfra.errors import NotFound, Refused

if TYPE_CHECKING:
    from pcinfra.doors import Doors

UPDATE_SECONDS = 300.0

IN_WORDS = {
    Needs.NOTHING: "applied while everything runs",
    Needs.DRAINED_NODES: "applied to each node once its jobs have ended",
    Needs.STOPPED_FLEET: "needs the compute fleet stopped",
    Needs.STOPPED_LOGIN_NODES: "needs the login nodes stopped",
    Needs.STOPPED_BOTH: "needs the compute fleet and the login nodes stopped",
    Needs.NEW_CLUSTER: "needs a new cluster",
}
_TERMINATE = "applied at once: its nodes are terminated, and jobs on them end (QueueUpdateStrategy: TERMINATE)"
_LONG = 60  # characters of a value that are shown; a whole queue is longer


@dataclass(frozen=True, slots=True)
class UpdateCluster:
    """Runs pcluster's validators and starts the update; the result is the Stack."""

    name: str
    config: str
    held: bool

    def start(self, context: Doors, results: Mapping[str, Any]) -> Pending:
        stack_id = Pcluster(context.shell, context.target).update(self.name, self.config)
        hint = f"pcinfra cluster events {self.name}; pcinfra cluster diagnose {self.name}"
        if self.held:
            hint += f"; the compute fleet is stopped: pcinfra cluster start {self.name}"
        judge = cloudformation.until_ready(self.name, hint)
        return Pending(ClusterProbe(), stack_id, judge, cloudformation.progress)


@dataclass(frozen=True, slots=True)
class Update:
    """What stands between a cluster and its new configuration."""

    verdicts: tuple[Verdict, ...]
    fleet: Fleet
    strategy: str

    @property
    def stops(self) -> bool:
        """Whether the compute fleet must be stopped for it, and runs."""
        wanting = (Needs.STOPPED_FLEET, Needs.STOPPED_BOTH)
        return not self.fleet.stopped and any(v.needs in wanting for v in self.verdicts)

    @property
    def stops_logins(self) -> bool:
        """Whether the login nodes must be stopped for it."""
        return any(v.needs in (Needs.STOPPED_LOGIN_NODES, Needs.STOPPED_BOTH) for v in self.verdicts)

    @property
    def ends_jobs(self) -> bool:
        """Whether pcluster itself would end jobs."""
        return self.strategy == "TERMINATE" and any(v.needs is Needs.DRAINED_NODES for v in self.verdicts)

    def in_words(self, verdict: Verdict) -> str:
        """Return what a change needs, in a short sentence."""
        if verdict.needs is Needs.DRAINED_NODES and self.strategy == "TERMINATE":
            return _TERMINATE
        if verdict.needs in (Needs.STOPPED_FLEET, Needs.DRAINED_NODES) and self.fleet.stopped:
            return "applied: the compute fleet is stopped"
        return IN_WORDS[verdict.needs]


def strategy_of(config: str) -> str:
    """Return the QueueUpdateStrategy of a configuration; pcluster's default where it says none."""
    scheduling = (yaml.safe_load(config) or {}).get("Scheduling") or {}
    return str((scheduling.get("SlurmSettings") or {}).get("QueueUpdateStrategy") or "COMPUTE_FLEET_STOP")


def check_updatable(facts: ClusterFacts, project: str) -> None:
    """Refuse what cannot be updated whatever the change.

    Raises:
        NotFound: there is no such cluster.
        Refused: it is not this project's, or its creation failed, or its configuration is lost.
    """
    stack, where = facts.stack, f"cluster {facts.name}"
    if stack is None:
        raise NotFound("does not exist", where=where, hint=f"pcinfra cluster create {facts.name}")
    if not facts.belongs_to(project):
        raise not_ours(facts)
    if stack.condition not in (Condition.READY, Condition.BUSY):
        hint = f"pcinfra cluster diagnose {facts.name}; then pcinfra cluster delete {facts.name} and create it again"
        raise Refused(f"is {stack.status}", where=where, hint=hint)
    if not facts.config:
        raise Refused("the configuration that it was made from is lost", where=where,
                      hint=f"pcinfra cluster delete {facts.name}, then create it again")  # fmt: skip


def update_plan(facts: ClusterFacts, config: str, update: Update, pause: Sequence[Action], resume: Action) -> Plan:
    """Return what brings the cluster to ``config``, in order: log-ins end; hold, wait, stop, update, start, let go.

    Args:
        pause: the Actions after which no job holds a node; used where the fleet must be stopped.
        resume: what lets jobs start again after it.

    Raises:
        Refused: pcluster never makes one of the changes.
    """
    stack = facts.stack
    assert stack
    if stack.condition is Condition.BUSY:
        return Plan((waiting(stack),))
    if not update.verdicts:
        return Plan(notes=(f"cluster {facts.name} has this configuration: nothing to do",))
    _refuse_impossible(facts.name, update)
    logins = stopping_logins(facts.name, facts.config, frozenset()) if update.stops_logins else ()
    gone = frozenset({logins[-1].id}) if logins else frozenset[str]()
    if not update.stops:
        return Plan((*logins, _updating(facts.name, config, update, gone)), _notes(update))
    stop = stopping(facts.name, "a change needs it", frozenset({pause[-1].id}))
    change = _updating(facts.name, config, update, gone | {stop.id})
    start = starting(facts.name, "it ran before", frozenset({change.id}))
    after = replace(resume, after=frozenset({start.id}))
    return Plan((*logins, *pause, stop, change, start, after), _notes(update))


def _updating(name: str, config: str, update: Update, after: frozenset[str]) -> Action:
    changes = tuple(_change(verdict, update) for verdict in update.verdicts)
    loses = "jobs on the nodes of the queues that change" if update.ends_jobs else ""
    operation = UpdateCluster(name, config, held=update.stops)
    why = "its configuration has changed"
    return Action(
        f"cluster/{name}", Kind.UPDATE, f"cluster {name}", why, operation, after, loses, UPDATE_SECONDS, changes
    )


def _change(verdict: Verdict, update: Update) -> Change:
    after = f"{_short(verdict.after) or '(none)'}   [{update.in_words(verdict)}]"
    return Change(verdict.path, _short(verdict.before) or None, after)


def _short(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def _notes(update: Update) -> tuple[str, ...]:
    if any(v.needs is Needs.DRAINED_NODES for v in update.verdicts) and update.strategy == "DRAIN":
        return ("nodes that change are drained: jobs on them go on, and they are replaced when those have ended",)
    return ()


def _refuse_impossible(name: str, update: Update) -> None:
    never = [v for v in update.verdicts if v.needs is Needs.NEW_CLUSTER]
    if never:
        told = "".join(f"\n    {v.path}: {_short(v.before) or '(none)'} → {_short(v.after) or '(none)'}" for v in never)
        raise Refused(
            f"a cluster that exists cannot be changed so; it needs a new one:{told}", where=f"cluster {name}",
            hint=f"take this change back; or another name for it under clusters: and later "
            f"pcinfra cluster delete {name} (/home and /lustre stay)",
        )  # fmt: skip
