"""What ``pcinfra down`` takes away: the whole of a project or one stage, without what was asked to stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pcinfra.errors import Refused

if TYPE_CHECKING:
    from pcinfra.cli.session import Session
    from pcinfra.cloudformation import Stack
    from pcinfra.engine import Plan
    from pcinfra.jobs.slurm.running import Running


@dataclass(frozen=True, slots=True)
class Teardown:
    """The Plan, the jobs that it would end, and what stays because there is data in it."""

    plan: Plan
    running: tuple[Running, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def jobs(self) -> tuple[str, ...]:
        """Each job that runs or waits, with its cluster."""
        return tuple(f"{found.cluster}: {job}" for found in self.running for job in found.jobs)


def whole(session: Session, with_data: bool, skip_export: bool) -> Teardown:
    """Return the whole teardown: jobs and clusters first, then every stage once nothing uses it any more."""
    from pcinfra import stages
    from pcinfra.clusters.facts import find_all
    from pcinfra.clusters.lifecycle import delete_actions
    from pcinfra.engine import Plan
    from pcinfra.jobs.slurm.cancel import cancel_all
    from pcinfra.jobs.slurm.running import asking

    facts = session.facts(contents=True)
    clusters = find_all(session.cloud, session.project.project)
    question = asking(stack.name for stack in clusters)
    answers = session.read(question)
    cancels = [cancel_all(stack.name) for stack in clusters]
    deletions = delete_actions(clusters, after=[action.id for action in cancels])
    plan = stages.down(session.project, facts, Plan((*cancels, *deletions)))
    plan, kept = _keeping(_exporting(plan, skip_export), with_data)
    return Teardown(plan, tuple(answers[action.id] for action in question.actions), kept)


def of_stage(session: Session, name: str, with_data: bool, skip_export: bool) -> Teardown:
    """Return the teardown of one stage.

    Raises:
        Refused: another stage or a cluster still needs it.
    """
    from pcinfra import stages
    from pcinfra.clusters.facts import find_all
    from pcinfra.engine import Plan

    plan = stages.down(session.project, session.facts(contents=True))
    own = Plan(tuple(action for action in plan.actions if action.stage == name), plan.notes)
    _refuse_needed(name, plan, find_all(session.cloud, session.project.project))
    plan, kept = _keeping(_exporting(own, skip_export), with_data)
    return Teardown(plan, kept=kept)


def _refuse_needed(name: str, plan: Plan, clusters: tuple[Stack, ...]) -> None:
    from pcinfra import stages

    there = {action.stage for action in plan.actions}
    users = [stage.name for stage in stages.REGISTRY if name in stage.needs and stage.name in there]
    if users:
        hint = f"pcinfra down --stage {users[-1]}, or all of it: pcinfra down"
        raise Refused(f"still needed by the stage {', '.join(users)}", where=f"stage {name}", hint=hint)
    if clusters and name in ("prerequisites", "bucket", "associations"):
        names = ", ".join(stack.name for stack in clusters)
        hint = f"pcinfra cluster delete {clusters[0].name}"
        raise Refused(f"still needed by the cluster {names}", where=f"stage {name}", hint=hint)


def _exporting(plan: Plan, skip_export: bool) -> Plan:
    from pcinfra import stages

    exports = [action.id for action in plan.actions if action.id.startswith(stages.EXPORT)]
    return plan.without(*exports) if skip_export else plan


def _keeping(plan: Plan, with_data: bool) -> tuple[Plan, tuple[str, ...]]:
    """Return ``plan`` without the bucket and the repositories where they hold data, and what is kept."""
    from pcinfra import stages
    from pcinfra.engine import Plan

    full = [a for a in plan.actions if (a.id == stages.BUCKET or a.id.startswith(stages.REPOSITORY)) and a.loses]
    if with_data or not full:
        return plan, ()
    rest = plan.without(*(action.id for action in full))
    notes = (f"{a.what} is kept: it holds {a.loses}. To delete it too: pcinfra down --with-data" for a in full)
    return Plan(rest.actions, (*rest.notes, *notes)), tuple(action.what for action in full)
