"""``pcinfra jobs``."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.runs import OTHERS, ask_each, meant
from pcinfra.cli.session import Session
from pcinfra.errors import NotFound

if TYPE_CHECKING:
    from rich.console import Group

    from pcinfra.cli.runcost import RunCosts
    from pcinfra.jobs.launcher import Query, Status

STATES = ("waiting", "starting", "running", "ending", "unknown", "done", "failed", "cancelled", "timeout", "lost")
ACTIVE = STATES[:5]


@dataclass(frozen=True)
class Row:
    """One run of one cluster."""

    cluster: str
    status: Status
    cost: float | None
    now: float


@click.command()
@click.argument("name", default="", metavar="[NAME]")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest N.", metavar="N"
)
@click.option(
    "--state",
    "-s",
    multiple=True,
    type=click.Choice([*STATES, "active"]),
    metavar="STATE",
    help=f"Only these: {', '.join(STATES)}; active: what has not ended. May be repeated.",
)
@click.option(
    "--watch",
    is_flag=False,
    flag_value=5,
    type=click.IntRange(2, 3600),
    metavar="[SECONDS]",
    help="Look again every SECONDS, 5 if not said, until Ctrl-C.",
)
@click.option(
    "--cluster", "--on", "-c", "cluster", metavar="NAME", help=f"Cluster, {OTHERS}.  [default: all of the project]"
)
@options.output
@options.pass_session
def jobs(
    session: Session,
    /,
    name: str,
    limit: int,
    state: tuple[str, ...],
    watch: int | None,
    cluster: str | None,
    output: str,
) -> None:
    """List the runs of all clusters, newest first; with NAME only those whose id begins with it.

    GPU-hours and costs count every attempt. Costs are the list prices of the nodes while the run had them.

    \b
    pcinfra jobs --state active --watch     what waits and runs, live
    pcinfra jobs llama --limit 5            the last five whose name begins with llama
    pcinfra jobs --output json | jq -r '.[] | select(.state == "failed").run'
    """
    from pcinfra.jobs.launcher import Query, State

    wanted = {each for word in state for each in (ACTIVE if word == "active" else (word,))}
    query = Query(limit, name, frozenset(map(State, wanted)))
    clusters = meant(session, cluster)
    if watch and output == "table" and sys.stdout.isatty():
        _watch(session, clusters, query, watch)
        return
    _show(session, clusters, query, output)
    if watch:
        from pcinfra.cli.status import again

        again(lambda: _show(session, clusters, query, output), watch)


def _show(session: Session, clusters: list[str], query: Query, output: str) -> None:
    from pcinfra import ui
    from pcinfra.cli.runcost import run_costs

    costs = run_costs(session)
    rows, problems = _rows(session, clusters, query, costs)
    for problem in problems:
        click.echo(session.typed(problem), err=True)
    if output == "json":
        ui.print_json([_as_json(row) for row in rows])
    elif rows:
        ui.out().print(_table(rows, costs, len(clusters) > 1))
    elif not problems:
        where = clusters[0] if len(clusters) == 1 else "any cluster"
        said = query.name or query.states
        click.echo(f"No such runs on {where}." if said else f"No runs on {where} yet: pcinfra submit FILE")


def _watch(session: Session, clusters: list[str], query: Query, seconds: int) -> None:
    """Show a table that is always of now, until Ctrl-C."""
    from rich.live import Live
    from rich.text import Text

    from pcinfra import ui
    from pcinfra.cli.runcost import run_costs
    from pcinfra.errors import PcinfraError

    console = ui.out()
    costs = run_costs(session)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            try:
                rows, problems = _rows(session, clusters, query, costs)
                view: Any = _table(rows, costs, len(clusters) > 1, problems) if rows else Text("No such runs now.")
            except KeyboardInterrupt:
                return
            except PcinfraError as error:
                view = Text(f"no answer: {error.why}")
            live.update(view, refresh=True)
            try:
                time.sleep(seconds)
            except KeyboardInterrupt:
                return


def _rows(session: Session, clusters: list[str], query: Query, costs: RunCosts) -> tuple[list[Row], list[str]]:
    """Return the newest runs of all clusters that are there, and what is to be said: of those that did not answer, of
    capacity that ends.

    Raises:
        PcinfraError: the only cluster did not answer.
    """
    found, errors = ask_each(session, clusters, lambda launcher: launcher.runs(query))
    absent = {name for name, error in errors.items() if isinstance(error, NotFound)}
    problems = [f"{name}: {error.why}" for name, error in errors.items() if name not in absent]
    if len(absent) == len(clusters) > 1:
        problems.append(f"none of {', '.join(clusters)} is there: pcinfra cluster create NAME")
    active = {name for name, statuses in found.items() if any(not status.state.ended for status in statuses)}
    problems += _endings(session, active)
    if errors and len(clusters) == 1:
        raise errors[clusters[0]]
    now = time.time()
    rows = [
        Row(name, status, costs.of(name, status, now), now) for name, statuses in found.items() for status in statuses
    ]
    rows.sort(key=lambda row: row.status.run[-16:], reverse=True)
    return rows[: query.limit], problems


def _endings(session: Session, clusters: set[str]) -> list[str]:
    """Return when the capacity of clusters with jobs ends, where somebody has set an end; what cannot be read is not
    said."""
    from datetime import UTC, datetime

    if not session.has_project:
        return []
    known = session.project.clusters
    queues = [queue for name in clusters if name in known for queue in known[name].queues]
    ids = {queue.capacity_reservation for queue in queues if queue.capacity_reservation}
    if not ids:
        return []
    from pcinfra.clusters import reservations
    from pcinfra.errors import PcinfraError

    try:
        held = reservations.read(session.cloud, ids)
    except PcinfraError:
        return []
    return [text for each in held.values() if (text := reservations.ending(each, datetime.now(UTC)))]


def _table(rows: list[Row], costs: RunCosts, with_cluster: bool, problems: list[str] | None = None) -> Group:
    from rich.console import Group
    from rich.text import Text

    from pcinfra import ui
    from pcinfra.cli.runcost import amount, together
    from pcinfra.jobs import usage

    columns = ["RUN", "JOB", "STATE", "NODES", "GPUS", "TIME", "TRIES", "GPU-HOURS", "COST", "WHY"]
    cells = []
    for row in rows:
        status = row.status
        tried = status.tasks.begun if status.tasks else len(status.attempts)
        cells.append([
            *([row.cluster] if with_cluster else []),
            status.run, status.job, _state(status), status.nodes or f"{status.wants} wanted",
            usage.gpus(status) or "", ui.duration(usage.elapsed(status, row.now)) if status.attempts else "",
            tried if tried > 1 else "", f"{hours:,.1f}" if (hours := usage.gpu_hours(status, row.now)) else "",
            amount(row.cost) if tried else "", status.why,
        ])  # fmt: skip
    counts = Counter(row.status.state for row in rows)
    hours = sum(usage.gpu_hours(row.status, row.now) for row in rows)
    sums = [f"{number} {state}" for state in STATES if (number := counts.get(state))]  # type: ignore[call-overload]
    total = f"{', '.join(sums)}; {hours:,.1f} GPU-hours, {together(row.cost for row in rows):,.2f} USD."
    lines = [total, *filter(None, [costs.explained()]), *(problems or [])]
    columns = [*(["CLUSTER"] if with_cluster else []), *columns]
    kept = _fitting(columns, cells, ui.out().width)
    narrow = [[row[index] for index in kept] for row in cells]
    shown = ui.table([columns[index] for index in kept], narrow, columns[:-1])
    return Group(shown, *(Text(line, "dim") for line in lines))


_FIRST_TO_GO = ("COST", "GPU-HOURS", "TRIES", "GPUS", "NODES", "TIME", "JOB")
"""Columns that a narrow terminal does without, so that a run's id is in one piece; `pcinfra show` has what they say."""

_WHY = 20  # characters of a line of the last column, which may have many


def _fitting(columns: list[str], cells: list[list[Any]], width: int) -> list[int]:
    """Return which columns are shown on a terminal of so many characters."""
    wide = {name: max(len(name), *(len(str(row[at])) for row in cells)) for at, name in enumerate(columns)}
    wide["WHY"] = min(wide["WHY"], _WHY)
    kept = list(columns)
    for name in _FIRST_TO_GO:
        if sum(wide[each] + 2 for each in kept) - 2 > width:
            kept.remove(name)
    return [columns.index(name) for name in kept]


def _state(status: Status) -> Any:
    from rich.text import Text

    colours = {"running": "green", "done": "dim", "waiting": "yellow", "starting": "cyan", "ending": "cyan"}
    code = "" if not status.exit_code else f" ({status.exit_code})"
    return Text(f"{status.state}{code}", colours.get(status.state, "red"))


def _as_json(row: Row) -> dict[str, Any]:
    from pcinfra.jobs import usage

    fields = asdict(row.status)
    return {
        "cluster": row.cluster,
        **{key: fields[key] for key in ("run", "state", "job", "why", "nodes", "exit_code", "wants")},
        "gpus": usage.gpus(row.status),
        "submitted": row.status.submitted or None,
        "elapsed_seconds": round(usage.elapsed(row.status, row.now)),
        "gpu_hours": round(usage.gpu_hours(row.status, row.now), 4),
        "cost_usd": None if row.cost is None else round(row.cost, 4),
        "attempts": fields["attempts"],
        "tasks_begun": row.status.tasks.begun if row.status.tasks else None,
    }
