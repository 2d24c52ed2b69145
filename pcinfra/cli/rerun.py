"""``pcinfra rerun``."""

from __future__ import annotations

import click

from pcinfra.cli import options
from pcinfra.cli.backends import there
from pcinfra.cli.runs import any_cluster_option, follow_run, home_of, launcher_for
from pcinfra.cli.session import Session


@click.command()
@click.argument("run")
@click.option("--follow", "-F", is_flag=True, help="Stream its log, and exit with the job's exit code.")
@any_cluster_option
@options.pass_session
@click.pass_context
def rerun(ctx: click.Context, session: Session, /, run: str, follow: bool, cluster: str | None) -> None:
    """Submit what RUN was submitted with once more, as a new run; print the new run's id.

    It is the same to the last byte, its code included, whatever the job file says by now.

    \b
    pcinfra rerun hello-1m80k0n9v1brna4m --follow
    """
    from pcinfra.jobs.manifest import new_run_id

    home = home_of(session, cluster, run)
    launcher = launcher_for(session, home)
    old = launcher.look(run).status.run
    new = new_run_id(old[:-17] or "run")
    job = launcher.rerun(old, new)
    click.echo(f"submitted to {home} as job {job}", err=True)
    if follow:
        ctx.exit(follow_run(session, home, new))
    click.echo(new)
    click.echo(session.typed(f"  follow: pcinfra logs {new}{there(home)} --follow"), err=True)
