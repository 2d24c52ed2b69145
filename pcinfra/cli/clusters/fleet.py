"""``pcinfra cluster start`` and ``stop``: the compute fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name, existing, slurm_view, told
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.jobs.slurm.view import Job


@click.command()
@cluster_name
@options.pass_session
def start(session: Session, name: str) -> None:
    """Start the compute fleet of cluster NAME, and let its queues go on if an update had held them.

    Static nodes start now, the others with the first job that needs them.
    """
    from pcinfra.clusters.fleet import fleet_of, starting
    from pcinfra.engine import Plan
    from pcinfra.jobs.slurm.pause import resuming

    existing(session, name)
    begin = starting(name, f"it is {fleet_of(session.cloud, name).lower()}")
    session.run(Plan((begin, resuming(name, frozenset({begin.id})))))
    click.echo(f"the compute fleet of {name} runs{_cost(session, name)}")


@click.command()
@cluster_name
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@click.option("--kill-jobs", is_flag=True, help="End the jobs that run now; without it they are waited for.")
@options.yes
@options.pass_session
def stop(session: Session, /, name: str, dry_run: bool, kill_jobs: bool, yes: bool) -> None:
    """Stop the compute fleet of cluster NAME: every compute node is terminated, and costs nothing any more.

    The head node and the file systems stay, and go on costing. Jobs that wait stay in the queue and start after
    `pcinfra cluster start`.

    \b
    pcinfra cluster stop train                     after the running jobs have ended
    pcinfra cluster stop train --kill-jobs --yes   now
    """
    from pcinfra.clusters.fleet import fleet_of, stopping
    from pcinfra.engine import Plan
    from pcinfra.jobs.slurm.pause import pausing
    from pcinfra.ui import print_plan

    existing(session, name)
    if fleet_of(session.cloud, name).stopped:
        click.echo(f"the compute fleet of {name} is stopped: nothing to do{_cost(session, name)}")
        return
    pause = pausing(name, _running(session, name), kill=kill_jobs)
    plan = Plan((*pause, stopping(name, "asked for", frozenset({pause[-1].id}))))
    print_plan(plan)
    if dry_run:
        return
    if plan.losses:
        options.confirm(f"End the jobs on {name}?", yes)
    with told(session, name, also=f"to let it go on as before: pcinfra cluster start {name}"):
        session.run(plan)
    click.echo(f"the compute fleet of {name} is stopped{_cost(session, name)}")


def _running(session: Session, name: str) -> tuple[Job, ...]:
    return slurm_view(session, name).running


def _cost(session: Session, name: str) -> str:
    """Return what goes on costing, as the rest of a sentence; empty when the cluster is not in the project file."""
    from pcinfra.cli.clusters.money import head_and_nodes

    head, nodes = head_and_nodes(session.project, name)
    if head is None:
        return ""
    rest = "" if nodes is None else f"; its static nodes cost {nodes:,.2f} per hour while they run"
    return f". Its head node costs {head:,.2f} USD per hour{rest}"
