"""``pcinfra cluster create``."""

from __future__ import annotations

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name, rendered
from pcinfra.cli.session import Session


@click.command()
@cluster_name
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@options.pass_session
def create(session: Session, name: str, dry_run: bool) -> None:
    """Create cluster NAME of pcinfra.yaml and wait until its head node and static nodes are up."""
    from pcinfra.clusters.facts import find
    from pcinfra.clusters.findings import errors, refusal
    from pcinfra.clusters.lifecycle import create_plan
    from pcinfra.clusters.validate import validate as check
    from pcinfra.ui import print_plan

    config = rendered(session, name)
    findings = check(name, config, session.project.region)
    if errors(findings):
        raise refusal(name, findings)
    plan = create_plan(find(session.cloud, name, with_config=True), session.project.project, config)
    if dry_run or not plan.actions:
        print_plan(plan)
        return
    session.run(plan)
    click.echo(session.typed(f"cluster {name} is ready; a first job: pcinfra submit examples/hello.yaml --follow"))
