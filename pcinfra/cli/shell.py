"""``pcinfra shell``."""

from __future__ import annotations

import os

import click

from pcinfra.cli import options
from pcinfra.cli.runs import any_cluster_option, home_of, launcher_for
from pcinfra.cli.session import Session, hurried


@click.command()
@click.argument("run")
@click.option(
    "--node", "-n", metavar="NODE", default="", help="Name of a node, or its number in the run.  [default: 0]"
)
@any_cluster_option
@options.pass_session
@click.pass_context
def shell(ctx: click.Context, session: Session, /, run: str, node: str, cluster: str | None) -> None:
    """Open a shell on a node of RUN, beside its processes and with its GPUs; in its container, if it has one.

    On Slurm it goes through a session of AWS Systems Manager, which needs no open port and nothing installed here. The
    run ends when it would end anyway; the shell ends with it.

    \b
    pcinfra shell train-1m80k0n9v1brna4m
    pcinfra shell 42 --node 1
    """
    from pcinfra.sessions import Request, opening
    from pcinfra.shell import attach

    way = launcher_for(session, home_of(session, cluster, run)).shell(run, node)
    if isinstance(way, Request):
        ctx.exit(opening.run(hurried(session), session.target, session.shell, way, click.echo))
    ctx.exit(attach(way, {**os.environ, **session.target.environment()}))
