"""``pcinfra report``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.runs import any_cluster_option, home_of, launcher_for
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from pcinfra.cli.runcost import RunCosts
    from pcinfra.jobs.report import Report

_LOST = (
    "Lost is the training of an attempt that did not reach the end of the job, since its last complete checkpoint. "
    "Restarts inside an attempt, by torchrun, are not seen."
)
_ARRAY = "An array's tasks are told together: what each waited for and lost is not."
_BLIND = "No checkpoint was reported, so that everything counts as lost: pcinfra.resume, or checkpoints.jsonl, tells."


@click.command()
@click.argument("run")
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write a page with a timeline."
)
@any_cluster_option
@options.output
@options.pass_session
def report(session: Session, /, run: str, html: Path | None, cluster: str | None, output: str) -> None:
    """Tell where the time, the GPU-hours and the money of RUN went: waiting, starting, training, lost.

    The page of --html is one file that needs no network, for light and dark screens.

    \b
    pcinfra report 42
    pcinfra report 42 --html report.html
    pcinfra report 42 --output json | jq .lost_gpu_hours
    """
    from pcinfra import ui
    from pcinfra.cli.runcost import run_costs
    from pcinfra.jobs.report import report as made_of

    home = home_of(session, cluster, run)
    found = made_of(launcher_for(session, home).history(run), time.time())
    costs = run_costs(session)
    each = [costs.of_attempt(home, found.status, t.attempt, found.until) for t in found.tries]
    if output == "json":
        ui.print_json(_as_json(home, found, each, costs.of(home, found.status, found.until)))
    else:
        _print(home, found, each, costs)
    if html:
        _write(html, _page(home, found, each, costs))
        click.echo(f"written to {html}", err=True)


def _print(home: str, found: Report, costs: list[float | None], prices: RunCosts) -> None:
    from pcinfra import ui
    from pcinfra.cli.runcost import amount
    from pcinfra.jobs.page import words
    from pcinfra.jobs.report import Kind

    columns = ("TRY", "NODES", "GPUS", "WAITING", "STARTING", "TRAINING", "LOST", "GPU-HOURS", "USD", "ENDED")
    rows = [
        (
            index, t.attempt.nodes, t.attempt.gpus * t.attempt.count, *(words(t.seconds(kind)) for kind in Kind),
            f"{t.gpu_hours:,.2f}", amount(cost), t.ended,
        )
        for index, (t, cost) in enumerate(zip(found.tries, costs, strict=True), start=1)
    ]  # fmt: skip
    console = ui.out()
    console.print(f"{found.status.run} on {home}: {found.status.state}", markup=False)
    if rows:
        console.print(ui.table(columns, rows))
    for name, value in _sums(found, prices.of(home, found.status, found.until)).items():
        console.print(f"{name + ':':<15} {value}", markup=False)
    for line in _notes(found, prices):
        console.print(line, style="dim", markup=False)


def _sums(found: Report, cost: float | None) -> dict[str, str]:
    from pcinfra.cli.runcost import amount
    from pcinfra.jobs import usage
    from pcinfra.jobs.page import words
    from pcinfra.jobs.report import Kind

    status = found.status
    if status.tasks:
        return {
            "Tasks begun": str(status.tasks.begun),
            "Node-hours": f"{usage.task_hours(status, found.until):,.2f}",
            "GPU-hours": f"{found.gpu_hours:,.2f}",
            "Cost (USD)": amount(cost),
        }
    return {
        "Attempts": str(len(found.tries)),
        **{str(kind).capitalize(): words(found.seconds(kind)) for kind in Kind},
        "GPU-hours": f"{found.gpu_hours:,.2f}",
        "Lost GPU-hours": f"{found.lost_gpu_hours:,.2f}",
        "Cost (USD)": amount(cost),
    }


def _notes(found: Report, prices: RunCosts) -> list[str]:
    from pcinfra.jobs.report import Kind

    if found.status.tasks:
        return [_ARRAY, *filter(None, [prices.explained()])]
    blind = found.seconds(Kind.LOST) and not found.history.checkpoints
    return [_LOST, *([_BLIND] if blind else []), *filter(None, [prices.explained()])]


def _page(home: str, found: Report, costs: list[float | None], prices: RunCosts) -> str:
    from pcinfra.cli.runcost import amount
    from pcinfra.jobs.page import clock, page

    status = found.status
    facts = {"Cluster": home, "Job": status.job, "Submitted": clock(found.start), **spec_in_words(found.history.spec)}
    words = [amount(cost) for cost in costs]
    sums = _sums(found, prices.of(home, status, found.until))
    return page(found, words, facts=facts, sums=sums, notes=_notes(found, prices))


def spec_in_words(spec: Mapping[str, object]) -> dict[str, str]:
    """Return what a job file says that it need not say, without its environment, which may tell too much."""
    from pcinfra.jobs.spec import JobSpec

    usual = JobSpec().model_dump(mode="json")
    said = {key: value for key, value in spec.items() if key == "nodes" or value != usual.get(key)}
    for hidden in ("environment", "secrets"):
        said.pop(hidden, None)
    return {key.replace("_", " ").capitalize(): _in_words(value) for key, value in said.items()}


def _in_words(value: object) -> str:
    import json
    import shlex

    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return shlex.join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="replace")


def _as_json(home: str, found: Report, costs: list[float | None], cost: float | None) -> dict[str, Any]:
    from pcinfra.jobs import usage
    from pcinfra.jobs.report import Kind

    status = found.status
    used = (
        {"begun": status.tasks.begun, "node_hours": round(usage.task_hours(status, found.until), 4)}
        if status.tasks
        else None
    )
    of_tasks = {"tasks": used} if used else {}
    return {
        "run": status.run,
        "cluster": home,
        "job": status.job,
        "state": status.state,
        "exit_code": status.exit_code,
        "submitted": found.start,
        "until": found.until,
        **{f"{kind}_seconds": round(found.seconds(kind), 1) for kind in Kind},
        "gpu_hours": round(found.gpu_hours, 4),
        "lost_gpu_hours": round(found.lost_gpu_hours, 4),
        "cost_usd": None if cost is None else round(cost, 4),
        **of_tasks,
        "attempts": [
            {
                "nodes": t.attempt.nodes,
                "gpus": t.attempt.gpus * t.attempt.count,
                "started": t.attempt.started,
                "began": t.attempt.began,
                "ended": t.attempt.ended,
                "exit_code": t.attempt.exit_code,
                "how": t.ended,
                **{f"{kind}_seconds": round(t.seconds(kind), 1) for kind in Kind},
                "gpu_hours": round(t.gpu_hours, 4),
                "cost_usd": None if cost is None else round(cost, 4),
                "checkpoints": len(t.checkpoints),
            }
            for t, cost in zip(found.tries, costs, strict=True)
        ],
    }
