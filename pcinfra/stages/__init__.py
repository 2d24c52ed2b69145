"""The stages of the infrastructure. A new stage is one module and one line in REGISTRY."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pcinfra.engine import Action, Kind, Plan
from pcinfra.stages.associations import EXPORT, Associations
from pcinfra.stages.backups import ReadBackups
from pcinfra.stages.base import Facts, Health, Resource, Stage
from pcinfra.stages.bucket import BUCKET, Bucket, ReadContents
from pcinfra.stages.closely import ReadRepositoryPolicy
from pcinfra.stages.image import REPOSITORY, Image
from pcinfra.stages.prerequisites import Prerequisites, ReadPolicy
from pcinfra.stages.scripts import Scripts

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Project

__all__ = [
    "BUCKET",
    "EXPORT",
    "REGISTRY",
    "REPOSITORY",
    "Facts",
    "Health",
    "Resource",
    "Stage",
    "down",
    "facts_of",
    "reading",
    "up",
]

REGISTRY: tuple[Stage, ...] = (Prerequisites(), Image(), Bucket(), Scripts(), Associations())

_ACCOUNT = "read/account"
_CONTENTS = "read/contents"
_BACKUPS = "read/backups"
_POLICY = "read/repository policy"
_NODE_POLICY = "read/policy of the nodes"
_EXTRAS = (_CONTENTS, _BACKUPS, _POLICY, _NODE_POLICY)  # what only a teardown, or only `status`, needs to know


def reading(project: Project, contents: bool = False, closely: bool = False) -> Plan:
    """Return the Plan that reads the facts of every stage; a stage is read as soon as those it needs are.

    Args:
        contents: also count the objects of the bucket and look for backups, which only a teardown needs to know.
        closely: also look at policies, which somebody may have changed by hand: for `status`, and for who asks for the
            stage *prerequisites* alone.
    """
    account = Action(_ACCOUNT, Kind.READ, "account", "", ReadAccount())
    stages = [
        Action(
            f"read/{stage.name}", Kind.READ, stage.name, "", ReadStage(stage, project),
            frozenset({_ACCOUNT, *(f"read/{name}" for name in stage.needs)}),
        )
        for stage in REGISTRY
    ]  # fmt: skip
    count = Action(_CONTENTS, Kind.READ, "contents of the bucket", "", ReadContents(project), frozenset({_ACCOUNT}))
    backups = Action(_BACKUPS, Kind.READ, "backups", "", ReadBackups(project.project), frozenset({_ACCOUNT}))
    policy = Action(
        _POLICY, Kind.READ, "repository policies", "",
        ReadRepositoryPolicy(tuple(image.repository for image in project.images.values())), frozenset({_ACCOUNT}),
    )  # fmt: skip
    stack = frozenset({f"read/{Prerequisites.name}"})
    nodes = Action(_NODE_POLICY, Kind.READ, "policy of the nodes", "", ReadPolicy(), stack)
    extras = (*((count, backups) if contents else ()), *((policy, nodes) if closely else ()))
    return Plan((account, *stages, *extras))


def facts_of(results: Mapping[str, Any]) -> Facts:
    """Return the Facts from the results of :func:`reading`."""
    facts: Facts = results[_ACCOUNT]
    for stage in REGISTRY:
        if f"read/{stage.name}" in results:
            facts = facts.plus(results[f"read/{stage.name}"])
    for extra in _EXTRAS:
        if extra in results:
            facts = facts.plus(results[extra])
    return facts


def up(project: Project, facts: Facts) -> Plan:
    """Return the Plan that makes the account what ``project`` says."""
    plan = Plan()
    for stage in REGISTRY:
        plan += stage.up(project, facts)
    return plan


def down(project: Project, facts: Facts, first: Plan | None = None) -> Plan:
    """Return the Plan that leaves nothing.

    A stage goes when every stage that needs it has gone, and all of them after ``first`` (jobs and clusters).
    """
    plans = {stage.name: stage.down(project, facts) for stage in REGISTRY}
    ids = {name: frozenset(action.id for action in plan.actions) for name, plan in plans.items()}
    begin = first or Plan()
    total = begin
    for stage in reversed(REGISTRY):
        users = (other.name for other in REGISTRY if stage.name in other.needs)
        before = frozenset(action.id for action in begin.actions).union(*(ids[name] for name in users))
        plan = plans[stage.name]
        total += Plan(tuple(replace(action, after=action.after | before) for action in plan.actions), plan.notes)
    return total


@dataclass(frozen=True, slots=True)
class ReadAccount:
    """Find out who and where we are. The result is Facts without any stage."""

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Facts:
        return Facts(doors.cloud.account, doors.cloud.region)


@dataclass(frozen=True, slots=True)
class ReadStage:
    """Read one stage's facts."""

    stage: Stage
    project: Project

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Any:
        return self.stage.read(self.project, doors, facts_of(results))
