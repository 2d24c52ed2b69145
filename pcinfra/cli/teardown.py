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
    from pcinfra.jobs.unsaved import Unsaved
    from pcinfra.project import Project


@dataclass(frozen=True, slots=True)
class Teardown:
    """The Plan, the jobs that it would end, what stays because there is data in it, and what is on Lustre only."""

    plan: Plan
    running: tuple[Running, ...] = ()
    kept: tuple[str, ...] = ()
    unsaved: Unsaved | None = None

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
    from pcinfra.jobs.unsaved import UNSAVED

    facts = session.facts(contents=True)
    clusters = find_all(session.cloud, session.project.project)
    question = asking(stack.name for stack in clusters)
    answers = session.read(question + _looking(session.project, clusters))
    cancels = [cancel_all(stack.name) for stack in clusters]
    deletions = delete_actions(clusters, after=[action.id for action in cancels])
    plan = stages.down(session.project, facts, Plan((*cancels, *deletions)))
    plan, kept = _keeping(_exporting(plan, skip_export), with_data)
    unsaved = answers.get(UNSAVED)
    running = tuple(answers[action.id] for action in question.actions)
    return Teardown(plan + _told(unsaved), running, kept, unsaved)


def _looking(project: Project, clusters: tuple[Stack, ...]) -> Plan:
    """Return the Plan that looks for what is on Lustre only, where Lustre goes and a node can look.

    What S3 is only imported from counts as S3's.
    """
    from pcinfra.engine import Plan
    from pcinfra.jobs.unsaved import asking

    if not clusters or project.prerequisites.adopt.lustre:
        return Plan()
    tied = (a.path for a in project.associations.values() if a.auto_export or a.auto_import or a.batch_import)
    return asking((stack.name for stack in clusters), tied)


def _told(unsaved: Unsaved | None) -> Plan:
    """Return the notes about what is on Lustre only."""
    from pcinfra.cli.meter import size
    from pcinfra.engine import Plan

    if unsaved is None:
        return Plan()
    notes = [f"on Lustre only: {each.path}, {each.files} file(s), {size(each.size)}" for each in unsaved.entries]
    notes += [f"what else is on Lustre only: {unsaved.unknown}"] if unsaved.unknown else []
    notes += ["more is on Lustre only than could be listed"] if unsaved.partial else []
    return Plan(notes=tuple(notes))


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
