"""``pcinfra status``."""

from __future__ import annotations

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session


@click.command()
@options.output
@options.pass_session
def status(session: Session, output: str) -> None:
    """Show every part of the infrastructure and whether it is as pcinfra.yaml says.

    \b
    ok       as it should be
    busy     being made, changed or deleted
    differs  not as pcinfra.yaml says; `pcinfra up` mends it
    failed   cannot go on by itself; `pcinfra up` says what to do
    absent   does not exist

    \b
    pcinfra status
    pcinfra status --output json | jq '.[] | select(.health != "ok")'
    """
    from rich.text import Text

    from pcinfra import stages, ui
    from pcinfra.stages import Health

    facts = session.facts()
    rows = [row for stage in stages.REGISTRY for row in stage.status(session.project, facts)]
    if output == "json":
        fields = ("stage", "what", "id", "health", "detail")
        ui.print_json([{name: str(getattr(row, name)) for name in fields} for row in rows])
        return
    colours = {
        Health.OK: "green", Health.BUSY: "cyan", Health.DIFFERS: "yellow", Health.FAILED: "red", Health.ABSENT: "dim",
    }  # fmt: skip
    cells = [(r.stage, r.what, Text(r.health, colours[r.health]), r.id, r.detail) for r in rows]
    ui.print_table(("STAGE", "WHAT", "HEALTH", "ID", "DETAIL"), cells)
