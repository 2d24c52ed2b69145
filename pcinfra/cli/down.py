"""``pcinfra down``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pcinfra.cli import options, selection
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.cli.teardown import Teardown
    from pcinfra.project import Project
    from pcinfra.stages.sweep import Residue


@click.command()
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@click.option("--stage", metavar="STAGE", callback=selection.one_stage, help="Take away this stage only.")
@click.option("--with-data", is_flag=True, help="Also delete a bucket and images that hold data; asks for the name.")
@click.option("--confirm", metavar="PROJECT", default="", help="The project's name, for --with-data in a script.")
@click.option("--skip-export", is_flag=True, help="Do not export what is on Lustre to S3 first.")
@click.option("--discard", multiple=True, metavar="PATH", help="Lose what is on Lustre only below PATH. Repeatable.")
@click.option("--cancel-jobs", is_flag=True, help="Cancel jobs that run or wait.")
@click.option("--sweep", is_flag=True, help="Remove what the look at the end finds, unless it may hold data.")
@click.option("--timeout", type=click.IntRange(min=1), default=7200, show_default=True, help="Give up after SECONDS.")
@options.jobs
@options.yes
@options.pass_session
def down(
    session: Session, /, dry_run: bool, stage: str, with_data: bool, confirm: str, skip_export: bool,
    discard: tuple[str, ...], cancel_jobs: bool, sweep: bool, timeout: int, yes: bool,
) -> None:  # fmt: skip
    """Take everything away: jobs, clusters, associations, stack, repository, bucket; then look for what is left.

    What the associations export is brought to S3 first. A bucket with data in it, and images that cannot be built
    again from here, are kept unless you say --with-data. What pcinfra did not make is never touched. Killed, it goes
    on when it is run again.

    \b
    pcinfra down --dry-run             see what would go
    pcinfra down                       asks before it begins
    pcinfra down --yes                 does not ask; stops if jobs run
    pcinfra down --yes --cancel-jobs   does not ask about jobs either
    pcinfra down --discard /lustre/tmp what is there and not in S3 may be lost
    pcinfra down --with-data           asks for the project's name, and loses the data
    pcinfra down --stage image         one stage
    """
    from pcinfra import ui
    from pcinfra.cli import teardown

    _check_protection(session.project)
    found = (
        teardown.of_stage(session, stage, with_data, skip_export)
        if stage
        else teardown.whole(session, with_data, skip_export)
    )
    if not found.plan.actions and not found.plan.notes:
        ui.out().print("Nothing to take away.")
    else:
        ui.print_plan(found.plan)
    if dry_run:
        return
    if found.plan.actions:
        check_unsaved(found, discard)
        agree(session.project, found, with_data, confirm, cancel_jobs, yes)
        session.run(found.plan, limit=timeout)
    if not stage:
        _prove(session, found.kept, sweep, with_data)


def _check_protection(project: Project) -> None:
    from pcinfra.errors import Refused

    if project.protect:
        raise Refused(
            "is protected", where=f"project {project.project}", hint="protect: false in pcinfra.yaml, then pcinfra down"
        )


def check_unsaved(found: Teardown, discard: tuple[str, ...]) -> None:
    """What is on Lustre only goes when it is named, and not by any other yes.

    Raises:
        Refused: there is something that was not named.
    """
    import shlex

    from pcinfra.errors import Refused

    left = found.unsaved.without(discard) if found.unsaved else ()
    if found.unsaved and left:
        paths = ", ".join(each.path for each in left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
        named = ["/lustre"] if found.unsaved.partial else [each.path for each in left[:5]]
        words = " ".join(f"--discard {shlex.quote(path)}" for path in named)
        raise Refused(
            f"{sum(each.files for each in left)} file(s) are on Lustre only: {paths}", where="down",
            hint=f"copy them to a directory that is exported, or lose them: pcinfra down {words}",
        )  # fmt: skip


def agree(project: Project, found: Teardown, with_data: bool, typed: str, cancel_jobs: bool, yes: bool) -> None:
    """Ask for each yes that the teardown needs.

    Raises:
        Refused: one of them was not given.
    """
    from pcinfra.errors import Refused

    if found.jobs and not cancel_jobs:
        if yes or not sys.stdin.isatty():
            raise Refused(
                f"jobs run or wait: {'; '.join(found.jobs)}", where="down",
                hint="wait for them, or: pcinfra down --cancel-jobs",
            )  # fmt: skip
        options.confirm(f"Cancel {len(found.jobs)} job(s)? {'; '.join(found.jobs)}", sure=False)
    if with_data and any(action.loses and action.stage in ("bucket", "image") for action in found.plan.actions):
        _typed_name(project.project, typed)
    options.confirm(f"Take away {len(found.plan.actions)} thing(s) of project {project.project}?", yes)


def _typed_name(name: str, typed: str) -> None:
    from pcinfra.errors import Refused

    if not typed:
        if not sys.stdin.isatty():
            raise Refused("needs the project's name", where="--with-data", hint=f"--with-data --confirm {name}")
        typed = click.prompt(f"This loses data for good. Type the name of the project, {name}", err=True)
    if typed != name:
        raise Refused(f"{typed!r} is not the name of the project", where="--with-data", hint=f"--confirm {name}")


def _prove(session: Session, kept: tuple[str, ...], sweep: bool, with_data: bool) -> None:
    """Print what is left, having removed it first where ``sweep`` says so.

    Raises:
        ResourceFailed: something is left that should not be.
    """
    from pcinfra import ui
    from pcinfra.errors import ResourceFailed
    from pcinfra.stages.sweep import expected, removing

    left, looked = _look(session)
    unexpected = [row for row in left if not expected(row, session.project, kept)]
    if sweep and unexpected:
        plan = removing(unexpected, with_data)
        results = session.run(plan)
        for action in plan.actions:
            if results[action.id]:
                ui.err().print(f"{action.what}: {results[action.id]}", markup=False)
        left, looked = _look(session)
        unexpected = [row for row in left if not expected(row, session.project, kept)]
    if left:
        ui.print_table(("LEFT", "ID", "COSTS", "REMOVE WITH"), [_row(session.project, row) for row in left])
    if unexpected:
        raise ResourceFailed(
            f"{len(unexpected)} thing(s) are left", where="down", hint="the commands above, or: pcinfra down --sweep"
        )
    ui.out().print(f"[green]down[/] — nothing {'else ' if left else ''}is left. Looked for: {looked}.")


def _look(session: Session) -> tuple[list[Residue], str]:
    from pcinfra.stages.sweep import sweeping

    plan = sweeping(session.project)
    results = session.read(plan)
    return [row for action in plan.actions for row in results[action.id]], ", ".join(a.what for a in plan.actions)


def _row(project: Project, row: Residue) -> tuple[str, str, str, str]:
    from pcinfra.prices import bundled

    price = bundled().find(project.region, row.price) if row.price else None
    return row.what, row.id, f"{price.usd:g} USD per {price.unit}" if price else "", row.remove
