"""``pcinfra status``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.clusters.standing import Standing
    from pcinfra.project import Project
    from pcinfra.spending import Spending
    from pcinfra.stages import Resource

FIELDS = ("stage", "what", "id", "health", "detail", "since", "cost")


@click.command()
@click.option(
    "--watch", is_flag=False, flag_value=10, type=click.IntRange(2, 3600), metavar="[SECONDS]",
    help="Look again every SECONDS, 10 if not said, until Ctrl-C.",
)  # fmt: skip
@options.output
@options.pass_session
def status(session: Session, /, watch: int | None, output: str) -> None:
    """Show every part of the infrastructure, whether it is as pcinfra.yaml says, and what it has cost so far.

    The clusters that exist are shown too, with the nodes that run and the end of their capacity. It looks more closely
    than `up`: also at policies of the repositories.

    \b
    ok       as it should be
    busy     being made, changed or deleted
    differs  not as pcinfra.yaml says; `pcinfra up` mends it, or the detail says what does
    failed   cannot go on by itself; `pcinfra up` says what to do
    absent   does not exist

    \b
    pcinfra status
    pcinfra status --watch
    pcinfra status --output json | jq '.[] | select(.health != "ok")'
    """
    show = _as_json if output == "json" else _as_table
    show(look(session))
    if watch:
        again(lambda: show(look(session)), watch)


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is and should be, stage by stage, then the clusters; and what it has cost so far."""

    rows: list[Resource]
    spending: Spending

    def cost(self, row: Resource) -> str:
        """Return what ``row`` has cost, in USD; empty where that is not known or depends on use."""
        amount = self.spending.amounts.get(row.what)
        return "" if amount is None else f"{amount:.2f}"


def look(session: Session) -> Seen:
    """Read everything, the clusters at the same time as the stages."""
    from pcinfra import stages
    from pcinfra.cli.cost import at_hand
    from pcinfra.clusters import standing
    from pcinfra.engine import Plan
    from pcinfra.spending import so_far

    project = session.project
    reading = stages.reading(project, closely=True)
    results = session.read(Plan((*reading.actions, standing.reading(project.project))))
    facts = stages.facts_of(results)
    rows = [row for stage in stages.REGISTRY for row in stage.status(project, facts)]
    rows += [_cluster_row(found, project) for found in results[standing.STANDING]]
    since = {row.what: row.since for row in rows if row.since}
    return Seen(rows, so_far(project, at_hand(), since, datetime.now(UTC)))


def _cluster_row(found: Standing, project: Project) -> Resource:
    from pcinfra.cloudformation import Condition
    from pcinfra.clusters.fleet import Fleet
    from pcinfra.stages import Health, Resource

    stack = found.stack
    known = {Condition.READY: Health.OK, Condition.BUSY: Health.BUSY, Condition.DELETING: Health.BUSY}
    health = known.get(stack.condition, Health.FAILED)
    details = [f"{found.running} running"]
    details += found.endings(datetime.now(UTC))
    if found.fleet is Fleet.PROTECTED:
        health = Health.FAILED if health is Health.OK else health
        details.append(found.fleet.in_words(stack.name))
    if stack.name not in project.clusters:
        details.append("not in the project file")
    if health is Health.FAILED and found.fleet is not Fleet.PROTECTED:
        details.append(f"why: pcinfra cluster show {stack.name}")
    return Resource("cluster", f"cluster {stack.name}", stack.status, health, "; ".join(details), stack.created)


def again(show: Callable[[], None], seconds: int, sleep: Callable[[float], None] = time.sleep) -> None:
    """Call ``show`` every ``seconds`` until Ctrl-C; what cannot be read once is said, and asked for again."""
    from pcinfra.errors import Unreachable

    while True:
        try:
            sleep(seconds)
            click.echo(f"\n{time.strftime('%H:%M:%S')}", err=True)
            show()
        except KeyboardInterrupt:
            return
        except Unreachable as error:
            click.echo(f"no answer: {error}", err=True)


def _as_json(seen: Seen) -> None:
    from pcinfra import ui

    ui.print_json(
        [{name: str(getattr(row, name)) for name in FIELDS[:-1]} | {"cost": seen.cost(row)} for row in seen.rows]
    )


def _as_table(seen: Seen) -> None:
    from rich.text import Text

    from pcinfra import ui
    from pcinfra.spending import EXPLAINED
    from pcinfra.stages import Health

    colours = {
        Health.OK: "green", Health.BUSY: "cyan", Health.DIFFERS: "yellow", Health.FAILED: "red", Health.ABSENT: "dim",
    }  # fmt: skip
    cells = [
        (r.stage, r.what, Text(r.health, colours[r.health]), ui.age(r.since), seen.cost(r), r.id, r.detail)
        for r in seen.rows
    ]
    ui.print_table(("STAGE", "WHAT", "HEALTH", "AGE", "USD SO FAR", "ID", "DETAIL"), cells)
    if not seen.spending.amounts:
        return
    console, spent = ui.out(), seen.spending
    console.print(f"\nAbout {spent.total:,.2f} USD so far, by prices of {spent.dates}.", markup=False)
    if spent.missing:
        what = ", ".join(spent.missing)
        console.print(f"Not in it, because the price is not known: {what}.", style="yellow", markup=False)
    console.print(f"It is {EXPLAINED}.", style="dim", markup=False)
