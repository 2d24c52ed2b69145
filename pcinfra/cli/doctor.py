"""``pcinfra doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pcinfra.cli import options
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.doctor import Line
    from pcinfra.project import Project


@click.command()
@options.output
@options.pass_session
def doctor(session: Session, output: str) -> None:
    """Check this machine, the account and its capacity, and say what mends what is wrong. Changes nothing.

    Tools of this machine; credentials and region; quotas (vCPUs of the queues' families, elastic addresses, VPCs,
    FSx capacity); where the instance types are offered; reservations and capacity blocks with start and end; whether
    bucket and repository are free or yours.

    \b
    ok       as it should be
    warning  worth a look, or could not be checked
    failure  stops what pcinfra.yaml asks for

    Exits with 1 when there is a failure.

    \b
    pcinfra doctor
    pcinfra --local doctor
    pcinfra doctor --output json | jq '.[] | select(.verdict != "ok")'
    """
    from dataclasses import asdict

    from pcinfra import ui
    from pcinfra.doctor import Verdict

    lines = _examine(session)
    if output == "json":
        ui.print_json([asdict(line) for line in lines])
    else:
        _print(lines)
    if any(line.verdict is Verdict.FAILURE for line in lines):
        raise click.exceptions.Exit(1)


def _examine(session: Session) -> list[Line]:
    """Return what every check finds, and what the project file itself is."""
    from dataclasses import replace

    from pcinfra.doctor import REGISTRY, examination, lines_of
    from pcinfra.engine import Executor, Threads

    project, first = _project(session)
    _open_doors(session, project)
    plan = examination(REGISTRY, project)
    workers = Threads(len(plan.actions))
    try:
        lines = [first, *lines_of(plan, Executor(session.doors, workers).run(plan))]
        return [replace(line, found=session.typed(line.found), fix=session.typed(line.fix)) for line in lines]
    finally:
        workers.close()


def _project(session: Session) -> tuple[Project | None, Line]:
    from pcinfra.doctor.model import failure, ok
    from pcinfra.errors import InputError

    try:
        project = session.project
    except InputError as error:
        problem = error.problems[0]
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        more = f", and {len(error.problems) - 1} more" if len(error.problems) > 1 else ""
        found = f"{place}: {problem.key + ': ' if problem.key else ''}{problem.why}{more}; only this machine is checked"
        return None, failure("project file", found, problem.hint or "mend it; pcinfra plan shows every problem")
    return project, ok("project file", f"project {project.project}, {project.region}")


def _open_doors(session: Session, project: Project | None) -> None:
    """Let the session's doors not wait long: a doctor must come back soon, whatever is out of order."""
    from pcinfra.aws import Aws, Patience, Target

    if project is None:
        session.target = Target("us-east-1", profile=session.profile)
    session.cloud = Aws(session.target, Patience(attempts=2, connect=5, read=15))


def _print(lines: list[Line]) -> None:
    from rich.text import Text

    from pcinfra import ui
    from pcinfra.doctor import Verdict

    colours = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILURE: "red"}
    rows = [(Text(line.verdict, colours[line.verdict]), line.what, line.found) for line in lines]
    ui.print_table(("", "WHAT", "FOUND"), rows)
    console = ui.out()
    for fix in dict.fromkeys(line.fix for line in lines if line.fix):
        what = ", ".join(line.what for line in lines if line.fix == fix)
        console.print(f"{what}\n  try: {fix}", markup=False)
    bad, odd = (sum(line.verdict is kind for line in lines) for kind in (Verdict.FAILURE, Verdict.WARNING))
    console.print(f"\n{bad} failure(s), {odd} warning(s), {len(lines) - bad - odd} ok", markup=False)
