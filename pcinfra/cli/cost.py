"""``pcinfra cost``, and the section about costs of ``pcinfra plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.costs import Cost
    from pcinfra.engine import Plan
    from pcinfra.prices import Book
    from pcinfra.project import Project

FETCHED = Path(".pcinfra") / "prices.jsonl"
"""What `pcinfra cost` has asked the Price List API for. A cache: deleting it costs nothing."""

_EXPLAINED = "List prices in USD without tax and discounts"


@click.command()
@click.option("--offline", is_flag=True, help="Do not ask the Price List API; use the prices at hand.")
@options.output
@options.pass_session
def cost(session: Session, offline: bool, output: str) -> None:
    """Show what the project costs while it is up: every part per hour and per month, with the date of its prices.

    Prices of instances, disks, NAT gateways, endpoints, addresses and persistent Lustre on SSD come from the AWS Price
    List API where your credentials allow it, and are kept in .pcinfra/prices.jsonl; the others, and all of them without
    credentials, from a dated table that comes along and knows us-east-1.
    Nothing is made, and nothing needs to be up.

    \b
    pcinfra cost
    pcinfra cost --offline --output json | jq .per_month
    """
    from pcinfra import costs, ui

    book, why = _book(session, offline)
    lines = costs.cost_of(session.project, book)
    if output == "json":
        ui.print_json({**costs.as_json(lines), "note": why})
        return
    _print(lines)
    if why and not offline:
        ui.out().print(f"Prices were not brought up to date: {why}", style="dim", markup=False)


def print_costs(wanted: Plan, project: Project) -> None:
    """Print what the things that ``wanted`` makes will cost; nothing when it makes none."""
    from pcinfra import costs, ui

    lines = costs.of_plan(wanted, project, at_hand())
    if not lines:
        return
    console = ui.out()
    console.print("\nWhat it costs while it is up:", style="bold")
    ui.print_table(("WHAT", "PER HOUR", "PER MONTH", ""), [_row(cost)[1:] for cost in lines])
    _print_total(lines)
    console.print("Clusters come on top when they are created: pcinfra cost", style="dim", markup=False)


def plan_costs(wanted: Plan, project: Project) -> dict[str, Any]:
    """Return what the things that ``wanted`` makes will cost, as plain data."""
    from pcinfra import costs

    return costs.as_json(costs.of_plan(wanted, project, at_hand()))


def at_hand() -> Book:
    """Return the bundled book with what was fetched last in place of its own."""
    from pcinfra.prices import bundled, from_lines

    try:
        return bundled().plus(from_lines(FETCHED.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return bundled()


def _book(session: Session, offline: bool) -> tuple[Book, str]:
    """Return the best prices to be had, and why they are not of today."""
    from dataclasses import replace
    from datetime import UTC, datetime

    from pcinfra.aws import Aws, Patience
    from pcinfra.costs import items_of
    from pcinfra.errors import CloudError
    from pcinfra.prices import API_REGION, LIVE, refreshed

    if offline:
        return at_hand(), "--offline"
    today = datetime.now(UTC).date().isoformat()
    cloud = Aws(replace(session.target, region=API_REGION), Patience(attempts=2, connect=3, read=15))
    try:
        wanted = items_of(session.project)
        book, why = refreshed(at_hand(), cloud, session.project.region, wanted, today)
    except CloudError as error:
        return at_hand(), error.why
    _keep([price for price in book.prices.values() if price.source == LIVE])
    return book, why


def _keep(prices: list[Any]) -> None:
    from pcinfra.prices import as_lines

    if not prices:
        return
    FETCHED.parent.mkdir(exist_ok=True)
    FETCHED.write_text(as_lines(prices), encoding="utf-8")


def _print(lines: list[Cost]) -> None:
    from pcinfra import ui

    ui.print_table(("PART", "WHAT", "PER HOUR", "PER MONTH", ""), map(_row, lines))
    _print_total(lines)


def _print_total(lines: list[Cost]) -> None:
    from pcinfra import costs, ui
    from pcinfra.prices import MONTH

    console = ui.out()
    hour = costs.total(lines)
    console.print(f"Together {hour:,.2f} per hour, {hour * MONTH:,.2f} per month.", markup=False)
    if missing := costs.unknown(lines):
        what = ", ".join(f"{cost.part} {cost.what}" for cost in missing)
        console.print(f"Not in it, because the price is not known: {what}.", style="yellow", markup=False)
    console.print(f"{_EXPLAINED}; prices of {costs.dates(lines)}.", style="dim", markup=False)


def _row(cost: Cost) -> tuple[str, str, str, str, str]:
    return cost.part, cost.what, _amount(cost.per_hour, 4), _amount(cost.per_month, 2), cost.note


def _amount(amount: float | None, digits: int) -> str:
    return "-" if amount is None else f"{amount:,.{digits}f}"
