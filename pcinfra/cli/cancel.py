"""``pcinfra cancel``."""

from __future__ import annotations

import click

from pcinfra.cli import options
from pcinfra.cli.runs import any_cluster_option, home_of, launcher_for, say
from pcinfra.cli.session import Session


@click.command()
@click.argument("run")
@any_cluster_option
@options.pass_session
def cancel(session: Session, /, run: str, cluster: str | None) -> None:
    """Cancel RUN. One that has ended already is left as it is."""
    say(launcher_for(session, home_of(session, cluster, run)).cancel(run))
