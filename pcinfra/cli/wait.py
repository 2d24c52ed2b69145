"""``pcinfra wait``."""

from __future__ import annotations

import click

from pcinfra.cli import options
from pcinfra.cli.runs import any_cluster_option, follow_run, home_of
from pcinfra.cli.session import Session


@click.command()
@click.argument("run")
@any_cluster_option
@options.pass_session
@click.pass_context
def wait(ctx: click.Context, session: Session, /, run: str, cluster: str | None) -> None:
    """Wait until RUN has ended, and exit with the job's exit code.

    \b
    pcinfra wait 42 && pcinfra submit evaluate.yaml
    """
    ctx.exit(follow_run(session, home_of(session, cluster, run), run, logs=False))
