"""``pcinfra plan`` and ``pcinfra up``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pcinfra.cli import options, planfile, selection
from pcinfra.cli.cost import plan_costs, print_costs
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.engine import Plan
    from pcinfra.stages import Facts


@click.command()
@selection.options
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Keep it for `up FILE`.")
@click.option("--exit-code", is_flag=True, help="Exit with 0 when there is nothing to change, with 2 when there is.")
@options.output
@options.pass_session
@click.pass_context
def plan(
    ctx: click.Context, session: Session, /, only: tuple[str, ...], skip: tuple[str, ...], out: Path | None,
    exit_code: bool, output: str,
) -> None:  # fmt: skip
    """Show what `pcinfra up` would do, and change nothing.

    Each line says what would happen and why, then each setting before and after; what would be lost is red.

    \b
    pcinfra plan
    pcinfra plan --only image,bucket
    pcinfra plan --out monday.plan    then: pcinfra up monday.plan
    pcinfra plan --exit-code          0 nothing to change, 2 something, 1 an error
    pcinfra plan --output json | jq '.actions[].what'
    """
    from pcinfra import ui

    wanted, facts = planned(session, selection.Selection(only, skip))
    if out:
        planfile.write(out, wanted, session.project, facts, selection.Selection(only, skip))
    if output == "json":
        ui.print_json({**planfile.as_json(wanted), "costs": plan_costs(wanted, session.project)})
    else:
        ui.print_plan(wanted)
        print_costs(wanted, session.project)
    if exit_code and wanted.actions:
        ctx.exit(2)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@selection.options
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@click.option("--allow-replace", is_flag=True, help="Allow changes that replace a file system and lose what is on it.")
@click.option("--timeout", type=click.IntRange(min=1), default=7200, show_default=True, help="Give up after SECONDS.")
@options.jobs
@options.yes
@options.pass_session
def up(
    session: Session, /, file: Path | None, only: tuple[str, ...], skip: tuple[str, ...], dry_run: bool,
    allow_replace: bool, timeout: int, yes: bool,
) -> None:  # fmt: skip
    """Bring the infrastructure to what pcinfra.yaml says.

    Everything that can run at the same time does. What is there already is left alone, so the same command goes
    on where an earlier one stopped, and a second run changes nothing. With FILE, which `pcinfra plan --out FILE`
    wrote, it does exactly that plan, or nothing if anything has changed since.

    \b
    pcinfra --local up          on this machine
    pcinfra up                  in the AWS account of your credentials
    pcinfra up --dry-run        only show the plan
    pcinfra up monday.plan      the plan that was looked at
    pcinfra up --only image     one stage
    """
    from pcinfra import ui

    wanted = _from_file(session, file, only + skip) if file else planned(session, selection.Selection(only, skip))[0]
    ui.print_plan(wanted)
    if dry_run or not wanted.actions:
        return
    _allow(wanted, allow_replace, yes)
    session.run(wanted, limit=timeout)
    ui.out().print(session.typed("[green]up[/] — next: pcinfra status, or pcinfra cluster create NAME"))


def planned(session: Session, chosen: selection.Selection) -> tuple[Plan, Facts]:
    """Return what `up` would do now, and the facts it follows from."""
    from pcinfra import stages
    from pcinfra.stages.wanted import STAGE

    facts = session.facts(closely=STAGE in chosen.only)
    return chosen.of(stages.up(session.project, facts)), facts


def _from_file(session: Session, file: Path, selected: tuple[str, ...]) -> Plan:
    """Return the plan in ``file``, if it is still what is to be done."""
    from pcinfra.errors import UsageError

    if selected:
        raise UsageError("a plan file says itself what was selected", hint=f"pcinfra up {file}")
    content = planfile.read(file)
    wanted, facts = planned(session, planfile.selection_of(content))
    planfile.compare(file, content, wanted, session.project, facts)
    return wanted


def _allow(wanted: Plan, allow_replace: bool, yes: bool) -> None:
    """Ask before data is lost, and refuse what needs a flag of its own."""
    from pcinfra.errors import Refused

    if not wanted.losses:
        return
    first = wanted.losses[0]
    if not allow_replace:
        raise Refused(f"would lose {first.loses}", where=first.what, hint="pcinfra up --allow-replace")
    options.confirm(f"{first.what}: lose {first.loses}?", yes)
