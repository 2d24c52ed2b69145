"""``pcinfra cluster delete``."""

from __future__ import annotations

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name
from pcinfra.cli.session import Session


@click.command()
@cluster_name
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@options.yes
@options.pass_session
def delete(session: Session, name: str, dry_run: bool, yes: bool) -> None:
    """Delete cluster NAME and wait until it is gone. /home and /lustre stay."""
    from pcinfra.clusters.facts import find
    from pcinfra.clusters.lifecycle import delete_actions
    from pcinfra.engine import Plan
    from pcinfra.errors import Refused
    from pcinfra.ui import print_plan

    facts = find(session.cloud, name)
    if facts.stack is None:
        click.echo(f"cluster {name} does not exist: nothing to do")
        return
    if not facts.belongs_to(session.project.project):
        raise Refused("is not a cluster of this project", where=f"stack {name}", hint="pcinfra cluster list")
    plan = Plan(tuple(delete_actions([facts.stack])))
    print_plan(plan)
    if dry_run:
        return
    options.confirm(f"Delete cluster {name}?", yes)
    session.run(plan)
