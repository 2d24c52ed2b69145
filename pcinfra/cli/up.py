"""``pcinfra plan`` and ``pcinfra up``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.cost import plan_costs, print_costs
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.engine import Plan


@click.command()
@options.output
@options.pass_session
def plan(session: Session, output: str) -> None:
    """Show what `pcinfra up` would do, and change nothing.

    \b
    pcinfra plan
    pcinfra plan --output json | jq '.actions[].what'
    """
    from pcinfra import stages, ui

    wanted = stages.up(session.project, session.facts())
    if output == "json":
        ui.print_json({**as_json(wanted), "costs": plan_costs(wanted, session.project)})
    else:
        ui.print_plan(wanted)
        print_costs(wanted, session.project)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@click.option("--allow-replace", is_flag=True, help="Allow changes that replace a file system and lose what is on it.")
@click.option("--timeout", type=click.IntRange(min=1), default=7200, show_default=True, help="Give up after SECONDS.")
@options.yes
@options.pass_session
def up(session: Session, dry_run: bool, allow_replace: bool, timeout: int, yes: bool) -> None:
    """Bring the infrastructure to what pcinfra.yaml says.

    Everything that can run at the same time does. What is there already is left alone, so the same command goes
    on where an earlier one stopped, and a second run changes nothing.

    \b
    pcinfra --local up          on this machine
    pcinfra up                  in the AWS account of your credentials
    pcinfra up --dry-run        only show the plan
    """
    from pcinfra import stages, ui

    wanted = stages.up(session.project, session.facts())
    ui.print_plan(wanted)
    if dry_run or not wanted.actions:
        return
    _allow(wanted, allow_replace, yes)
    session.run(wanted, limit=timeout)
    ui.out().print("[green]up[/] — next: pcinfra status, or pcinfra cluster create NAME")


def _allow(wanted: Plan, allow_replace: bool, yes: bool) -> None:
    """Ask before data is lost, and refuse what needs a flag of its own."""
    from pcinfra.errors import Refused

    if not wanted.losses:
        return
    first = wanted.losses[0]
    if not allow_replace:
        raise Refused(f"would lose {first.loses}", where=first.what, hint="pcinfra up --allow-replace")
    options.confirm(f"{first.what}: lose {first.loses}?", yes)


def as_json(wanted: Plan) -> dict[str, Any]:
    """Return ``wanted`` as plain data: actions (id, kind, what, why, after, loses, seconds, changes) and notes."""
    return {
        "actions": [
            {
                "id": action.id,
                "kind": action.kind.value,
                "what": action.what,
                "why": action.why,
                "after": sorted(wanted.waits_for(action.id)),
                "loses": action.loses,
                "seconds": action.seconds,
                "changes": [{"key": c.key, "before": c.before, "after": c.after} for c in action.changes],
            }
            for action in wanted.actions
        ],
        "notes": list(wanted.notes),
        "seconds": wanted.critical_path(),
    }
