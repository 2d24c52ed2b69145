"""``pcinfra show``."""

from __future__ import annotations

import time

import click

from pcinfra.cli import options
from pcinfra.cli.runs import any_cluster_option, home_of, launcher_for
from pcinfra.cli.session import Session


@click.command()
@click.argument("run")
@any_cluster_option
@options.output
@options.pass_session
def show(session: Session, /, run: str, cluster: str | None, output: str) -> None:
    """Show all that is known of RUN: where it stands, what it was submitted with, every attempt.

    \b
    pcinfra show 42
    pcinfra show 42 --output json | jq .spec
    """
    from dataclasses import asdict

    from pcinfra import ui
    from pcinfra.cli.report import spec_in_words
    from pcinfra.jobs.follow import in_words
    from pcinfra.jobs.page import clock, words
    from pcinfra.jobs.report import report

    home = home_of(session, cluster, run)
    history = launcher_for(session, home).history(run)
    status = history.status
    if output == "json":
        ui.print_json({"cluster": home, **asdict(status), "spec": history.spec,
                       "checkpoints": [asdict(each) for each in history.checkpoints]})  # fmt: skip
        return
    facts = {"run": status.run, "cluster": home, "job": status.job, "state": in_words(status)}
    facts |= {"submitted": clock(status.submitted)} if status.submitted else {}
    facts |= {name.lower(): value for name, value in spec_in_words(history.spec).items()}
    if history.checkpoints:
        last = history.checkpoints[-1]
        step = "" if last.step is None else f" at step {last.step}"
        facts["checkpoint"] = f"{clock(last.time)}{step}, in attempt {last.attempt + 1}"
    for name, value in facts.items():
        ui.out().print(f"{name + ':':<14} {value}", markup=False)
    tries = report(history, time.time()).tries
    if tries:
        click.echo()
        rows = [(index, clock(t.attempt.started), words(t.attempt.seconds(time.time())), t.attempt.nodes,
                 t.attempt.gpus * t.attempt.count, t.ended) for index, t in enumerate(tries, start=1)]  # fmt: skip
        ui.print_table(("TRY", "STARTED", "TIME", "NODES", "GPUS", "ENDED"), rows)
