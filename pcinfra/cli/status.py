"""``pcinfra status``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.stages import Resource

FIELDS = ("stage", "what", "id", "health", "detail", "since")


@click.command()
@click.option(
    "--watch", is_flag=False, flag_value=10, type=click.IntRange(2, 3600), metavar="[SECONDS]",
    help="Look again every SECONDS, 10 if not said, until Ctrl-C.",
)  # fmt: skip
@options.output
@options.pass_session
def status(session: Session, /, watch: int | None, output: str) -> None:
    """Show every part of the infrastructure and whether it is as pcinfra.yaml says.

    It looks more closely than `up`: also at policies of the repositories.

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


def look(session: Session) -> list[Resource]:
    """Return what there is and should be, stage by stage."""
    from pcinfra import stages

    facts = session.facts(closely=True)
    return [row for stage in stages.REGISTRY for row in stage.status(session.project, facts)]


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


def _as_json(rows: list[Resource]) -> None:
    from pcinfra import ui

    ui.print_json([{name: str(getattr(row, name)) for name in FIELDS} for row in rows])


def _as_table(rows: list[Resource]) -> None:
    from rich.text import Text

    from pcinfra import ui
    from pcinfra.stages import Health

    colours = {
        Health.OK: "green", Health.BUSY: "cyan", Health.DIFFERS: "yellow", Health.FAILED: "red", Health.ABSENT: "dim",
    }  # fmt: skip
    cells = [(r.stage, r.what, Text(r.health, colours[r.health]), ui.age(r.since), r.id, r.detail) for r in rows]
    ui.print_table(("STAGE", "WHAT", "HEALTH", "AGE", "ID", "DETAIL"), cells)
