"""``pcinfra jobs``, ``logs``, ``wait`` and ``cancel``."""

from __future__ import annotations

import click

from pcinfra.cli import options
from pcinfra.cli.runs import cluster_option, follow_run, follower, launcher_for, named, say
from pcinfra.cli.session import Session


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="The newest N.", metavar="N")
@cluster_option
@options.output
@options.pass_session
def jobs(session: Session, /, limit: int, cluster: str | None, output: str) -> None:
    """List the runs of a cluster, newest first.

    \b
    pcinfra jobs
    pcinfra jobs --output json | jq -r '.[] | select(.state == "running").run'
    """
    from dataclasses import asdict

    from pcinfra import ui

    name = named(session, cluster)
    runs = launcher_for(session, name).runs(limit)
    if output == "json":
        ui.print_json([asdict(status) for status in runs])
        return
    if not runs:
        click.echo(f"No runs on {name} yet: pcinfra submit FILE")
        return
    rows = [(s.run, s.job, s.state, "" if s.exit_code is None else s.exit_code, s.nodes, s.why) for s in runs]
    ui.print_table(("RUN", "JOB", "STATE", "EXIT", "NODES", "WHY"), rows)


@click.command()
@click.argument("run")
@click.option("--follow", "-F", is_flag=True, help="Go on until it ends, and exit with the job's exit code.")
@cluster_option
@options.pass_session
@click.pass_context
def logs(ctx: click.Context, session: Session, /, run: str, follow: bool, cluster: str | None) -> None:
    """Print the log of RUN: a run's id, the beginning of one, or its Slurm job id."""
    launcher = launcher_for(session, named(session, cluster))
    if follow:
        ctx.exit(follow_run(launcher, run))
    say(follower(launcher).print_now(run))


@click.command()
@click.argument("run")
@cluster_option
@options.pass_session
@click.pass_context
def wait(ctx: click.Context, session: Session, /, run: str, cluster: str | None) -> None:
    """Wait until RUN has ended, and exit with the job's exit code."""
    ctx.exit(follow_run(launcher_for(session, named(session, cluster)), run, logs=False))


@click.command()
@click.argument("run")
@cluster_option
@options.pass_session
def cancel(session: Session, /, run: str, cluster: str | None) -> None:
    """Cancel RUN. One that has ended already is left as it is."""
    say(launcher_for(session, named(session, cluster)).cancel(run))
