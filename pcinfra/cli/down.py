"""``pcinfra down``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.engine import Plan
    from pcinfra.stages.sweep import Residue


@click.command()
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@click.option("--delete-data", is_flag=True, help="Delete the bucket even if there is data in it.")
@click.option("--skip-export", is_flag=True, help="Do not export what is on Lustre to S3 first.")
@click.option("--timeout", type=click.IntRange(min=1), default=7200, show_default=True, help="Give up after SECONDS.")
@options.yes
@options.pass_session
def down(session: Session, dry_run: bool, delete_data: bool, skip_export: bool, timeout: int, yes: bool) -> None:
    """Take everything away: jobs, clusters, associations, stack, repository, bucket; then look for what is left.

    What the associations export is brought to S3 first. A bucket with data in it is kept unless you say
    --delete-data. What pcinfra did not make is never touched.

    \b
    pcinfra down --dry-run      see what would go
    pcinfra down                asks before it begins
    pcinfra down --yes          does not ask
    """
    from pcinfra import stages, ui

    plan = teardown(session, delete_data)
    if skip_export:
        plan = plan.without(*(action.id for action in plan.actions if action.id.startswith(stages.EXPORT)))
    if not plan.actions and not plan.notes:
        ui.out().print("Nothing to take away.")
    else:
        ui.print_plan(plan)
    if dry_run:
        return
    if plan.actions:
        options.confirm(f"Take away {len(plan.actions)} thing(s) of project {session.project.project}?", yes)
        session.run(plan, limit=timeout)
    _prove(session, kept=bool([action for action in plan.notes if action.startswith("bucket ")]))


def teardown(session: Session, delete_data: bool) -> Plan:
    """Return the whole teardown: jobs and clusters first, then every stage once nothing uses it any more."""
    from pcinfra import stages
    from pcinfra.clusters.facts import find_all
    from pcinfra.clusters.lifecycle import delete_actions
    from pcinfra.engine import Plan
    from pcinfra.jobs.slurm.cancel import cancel_all

    facts = session.facts(contents=True)
    clusters = find_all(session.cloud, session.project.project)
    cancels = [cancel_all(stack.name) for stack in clusters]
    deletions = delete_actions(clusters, after=[action.id for action in cancels])
    plan = stages.down(session.project, facts, Plan((*cancels, *deletions)))
    bucket = next((action for action in plan.actions if action.id == stages.BUCKET), None)
    if bucket is None or not bucket.loses or delete_data:
        return plan
    note = f"{bucket.what} is kept: it holds {bucket.loses}. To delete it: pcinfra down --delete-data"
    kept = plan.without(stages.BUCKET)
    return Plan(kept.actions, (*kept.notes, note))


def _prove(session: Session, kept: bool) -> None:
    """Print what is left.

    Raises:
        Refused: something is left that should not be.
    """
    from pcinfra import ui
    from pcinfra.errors import ResourceFailed
    from pcinfra.stages.sweep import sweeping

    plan = sweeping(session.project)
    results = session.read(plan)
    left: list[Residue] = [row for action in plan.actions for row in results[action.id]]
    looked = ", ".join(action.what for action in plan.actions)
    unexpected = [row for row in left if not (kept and row.what == "bucket")]
    if left:
        ui.print_table(("LEFT", "ID", "REMOVE WITH"), [(row.what, row.id, row.remove) for row in left])
    if unexpected:
        raise ResourceFailed(f"{len(unexpected)} thing(s) are left", where="down", hint="the commands above")
    ui.out().print(f"[green]down[/] — nothing {'else ' if left else ''}is left. Looked for: {looked}.")
