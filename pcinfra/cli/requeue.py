"""``pcinfra requeue``."""

from __future__ import annotations

import click

from pcinfra.cli import options
from pcinfra.cli.runs import any_cluster_option, home_of, launcher_for, say
from pcinfra.cli.session import Session


@click.command()
@click.argument("run")
@any_cluster_option
@options.pass_session
def requeue(session: Session, /, run: str, cluster: str | None) -> None:
    """Let RUN begin another attempt: what runs of it is ended first.

    The id stays, and so do the logs of the attempts before. Slurm lets a requeued job wait for up to two minutes. A run
    that Slurm has forgotten cannot be requeued: pcinfra rerun RUN submits it as a new one.
    """
    say(launcher_for(session, home_of(session, cluster, run)).requeue(run))
