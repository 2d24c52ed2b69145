"""``pcinfra cluster logs`` and ``events``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name, existing
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pcinfra.clusters.events import StackEvent
    from pcinfra.clusters.streams import Line, Stream

PAUSE = 2.0  # seconds between two looks; the agent ships what a node writes every 5


@click.command()
@cluster_name
@click.argument("log", required=False)
@click.option("--node", default="head", show_default=True, help="head, all, an instance id, a node of Slurm or ip-….")
@click.option("--follow", "-F", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--lines", "-n", type=click.IntRange(1, 1000), default=100, show_default=True, help="The last N of each.")
@options.output
@options.pass_session
def logs(session: Session, /, name: str, log: str | None, node: str, follow: bool, lines: int, output: str) -> None:
    """Print a LOG of cluster NAME's nodes from CloudWatch; without LOG, list what there is.

    LOG is, among others, cfn-init (how the head node was set up), slurmctld, clustermgtd, slurm_resume, and on compute
    nodes cloud-init-output and slurmd. custom-actions is what all of them say of the scripts that nodes run.

    \b
    pcinfra cluster logs train                              what there is
    pcinfra cluster logs train slurmctld --follow
    pcinfra cluster logs train custom-actions --node all
    pcinfra cluster logs train slurmd --node gpu-st-p5-48xlarge-1
    """
    from pcinfra.clusters.streams import log_group, streams, tail
    from pcinfra.errors import NotFound
    from pcinfra.ui import print_json

    stack = existing(session, name).stack
    assert stack
    group, wanted = log_group(stack), _wanted(session, name, log, node)
    found = streams(session.cloud, group)
    if log is None:
        _list(found, output)
        return
    chosen = [stream for stream in found if wanted(stream)]
    if not chosen and not follow:
        raise NotFound(f"no log {log!r} of {node}", where=f"cluster {name}", hint=f"pcinfra cluster logs {name}")
    if follow:
        _follow(session, group, wanted, lines)
        return
    rows = [(stream, line) for stream in chosen for line in tail(session.cloud, group, stream, lines)]
    if output == "json":
        print_json([{"node": s.host, "log": s.log, "time": line.time, "text": line.text} for s, line in rows])
    else:
        _print(rows, several=len(chosen) > 1)


def _wanted(session: Session, name: str, log: str | None, node: str) -> Callable[[Stream], bool]:
    from pcinfra.clusters.streams import CUSTOM_ACTIONS

    names = CUSTOM_ACTIONS if log == "custom-actions" else (log,)
    instance = _instance(session, name, node)
    return lambda stream: stream.log in names and (not instance or instance in (stream.instance, stream.host))


def _instance(session: Session, name: str, node: str) -> str:
    """Return the instance id or host name that ``node`` means; empty for all."""
    from pcinfra.clusters.facts import any_instance, instance_of_node

    if node == "all":
        return ""
    if node == "head":
        return any_instance(session.cloud, name, "HeadNode") or "none"
    if node.startswith(("i-", "ip-")):
        return node
    return instance_of_node(session.cloud, name, node) or node


def _list(found: Sequence[Stream], output: str) -> None:
    from datetime import UTC, datetime

    from pcinfra.ui import age, print_json, print_table

    def when(stream: Stream) -> str:
        return datetime.fromtimestamp(stream.last / 1000, UTC).isoformat() if stream.last else ""

    if output == "json":
        print_json([{"node": s.host, "instance": s.instance, "log": s.log, "last": when(s)} for s in found])
        return
    rows = [(s.log, s.host, s.instance, f"{age(when(s))} ago" if s.last else "") for s in found]
    print_table(("LOG", "HOST", "INSTANCE", "LAST LINE"), rows)


def _print(rows: Sequence[tuple[Stream, Line]], *, several: bool) -> None:
    for stream, line in rows:
        click.echo(f"{stream.host} {stream.log}: {line.text}" if several else line.text)


def _follow(session: Session, group: str, wanted: Callable[[Stream], bool], lines: int) -> None:
    from pcinfra.clusters.streams import Follower

    follower, several = Follower(session.cloud, group, wanted, lines), set[str]()
    while True:
        rows = follower.look()
        several.update(stream.name for stream, _ in rows)
        _print(rows, several=len(several) > 1)
        time.sleep(PAUSE)


@click.command()
@cluster_name
@click.option("--follow", "-F", is_flag=True, help="Go on until the stack is still.")
@click.option("--failed", is_flag=True, help="Only failures.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="The newest N.")
@options.output
@options.pass_session
def events(session: Session, /, name: str, follow: bool, failed: bool, limit: int, output: str) -> None:
    """Print what CloudFormation did for cluster NAME, oldest first, nested stacks included.

    \b
    pcinfra cluster events train --follow
    pcinfra cluster events train --failed
    """
    from dataclasses import asdict

    from pcinfra.clusters.events import EventFollower
    from pcinfra.ui import print_json, print_table

    stack = existing(session, name).stack
    assert stack
    follower = EventFollower(session.cloud, stack.id)
    found, moving = follower.look()
    shown = [event for event in found if event.failed or not failed][-limit:]
    if output == "json":
        print_json([asdict(event) for event in shown])
        return
    if not shown and not follow:
        click.echo("nothing has failed" if failed else "no events")
        return
    print_table(("TIME", "RESOURCE", "STATUS", "REASON"), map(_row, shown))
    while follow and moving:
        time.sleep(PAUSE)
        found, moving = follower.look()
        for event in found:
            if event.failed or not failed:
                click.echo("  ".join(_row(event)).rstrip())


def _row(event: StackEvent) -> tuple[str, str, str, str]:
    return f"{event.time[:19]}Z", event.resource, event.status, event.reason
