"""``pcinfra logs``."""

from __future__ import annotations

import re
import time
from datetime import datetime

import click

from pcinfra.cli import options
from pcinfra.cli.runs import any_cluster_option, follow_run, follower, home_of, say
from pcinfra.cli.session import Session
from pcinfra.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command()
@click.argument("run")
@click.option("--follow", "-F", is_flag=True, help="Go on until it ends, and exit with the job's exit code.")
@click.option("--node", "-n", metavar="NODE", help="Only this node's: its name, or its number in the run from 0 on.")
@click.option("--attempt", "-a", type=click.IntRange(1, 100_000), metavar="K", help="Only the K-th attempt's.")
@click.option("--since", metavar="WHEN", help="Only what was written since: 30s, 10m, 2h, 1d ago, or 2026-01-31T12:00.")
@any_cluster_option
@options.pass_session
@click.pass_context
def logs(
    ctx: click.Context, session: Session, /, run: str, follow: bool, node: str | None, attempt: int | None,
    since: str | None, cluster: str | None,
) -> None:  # fmt: skip
    """Print the log of RUN: a run's id, the beginning of one, or its Slurm job id.

    Many nodes are merged line by line, each line behind its node's name. An attempt that follows another, after a node
    has failed for example, goes on in the same log. How far a log had grown is known minute by minute: --since may show
    up to a minute more.

    \b
    pcinfra logs hello-1m80k0n9v1brna4m --follow
    pcinfra logs 42 --node 0 --attempt 2
    pcinfra logs hello --since 10m
    """
    from pcinfra.jobs.launcher import Wanted

    moment = None if since is None else _moment(since, time.time())
    if node is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", node):
        raise UsageError("is not a node's name or number", where=f"--node {node!r}", hint=f"pcinfra show {run}")
    wanted = Wanted(node, None if attempt is None else attempt - 1, moment)
    home = home_of(session, cluster, run)
    if follow:
        ctx.exit(follow_run(session, home, run, wanted=wanted))
    say(follower(session, home, wanted=wanted).print_now(run))


def _moment(text: str, now: float) -> float:
    """Return the moment that ``10m`` or an ISO 8601 time means; without a zone it is this machine's.

    Raises:
        UsageError: it is neither.
    """
    ago = re.fullmatch(r"(\d{1,9})\s*([smhd])", text.strip())
    try:
        return now - int(ago[1]) * _UNITS[ago[2]] if ago else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        hint = "--since 30s, 10m, 2h or 1d, or --since 2026-01-31T12:00"
        raise UsageError("is not a time", where=f"--since {text!r}", hint=hint) from None
