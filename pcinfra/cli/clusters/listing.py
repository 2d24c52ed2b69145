"""``pcinfra cluster list`` and ``show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pcinfra.cli import options
from pcinfra.cli.clusters.lookup import cluster_name, existing
from pcinfra.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pcinfra.cloudformation import Stack
    from pcinfra.clusters.overview import Overview
    from pcinfra.jobs.slurm.view import Asked


@click.command(name="list")
@options.output
@options.pass_session
def list_(session: Session, output: str) -> None:
    """List this project's clusters: those that exist and those of pcinfra.yaml that do not."""
    from pcinfra.clusters.facts import find_all
    from pcinfra.ui import print_json, print_table

    stacks = {stack.name: stack for stack in find_all(session.cloud, session.project.project)}
    known = _read(session, list(stacks.values()))
    names = [*session.project.clusters, *(name for name in stacks if name not in session.project.clusters)]
    found = [_entry(session, name, stacks.get(name), known) for name in names]
    if output == "json":
        print_json(found)
    else:
        print_table(
            ("CLUSTER", "STATUS", "FLEET", "NODES", "USD PER HOUR", "CAPACITY ENDS", "QUEUES"), map(_row, found)
        )


def _read(session: Session, stacks: Sequence[Stack]) -> Mapping[str, Any]:
    """Ask every cluster at once; one that is being made or has failed has no Slurm to ask."""
    from pcinfra.cloudformation import Condition
    from pcinfra.clusters import overview
    from pcinfra.engine import Plan
    from pcinfra.jobs.slurm import view

    asked = [view.reading(s.name) for s in stacks if s.condition in (Condition.READY, Condition.BUSY)]
    return session.read(Plan((*map(overview.reading, stacks), *asked)))


def _entry(session: Session, name: str, stack: Stack | None, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return one cluster as ``list --output json`` prints it."""
    from pcinfra.cli.clusters.money import per_hour

    overview: Overview | None = known.get(f"read/overview/{name}")
    asked: Asked | None = known.get(f"read/slurm/{name}")
    cost = per_hour(session.project, name, nodes_run=overview.nodes_run) if overview else None
    return {
        "name": name,
        "status": stack.status if stack else "not created",
        "fleet": overview.fleet if overview else None,
        "nodes": _counts(asked) if asked and not asked.unknown else None,
        "cost_per_hour": None if cost is None else round(cost, 4),
        "capacity_end": overview.capacity_end.isoformat() if overview and overview.capacity_end else None,
        "queues": _queues(session, name),
    }


def _counts(asked: Asked) -> dict[str, int]:
    """Return how many nodes there are of each kind, those that are off (and cost nothing) too."""
    from collections import Counter

    return dict(sorted(Counter(node.kind for node in asked.view.nodes).items()))


def _row(entry: Mapping[str, Any]) -> tuple[object, ...]:
    from pcinfra.clusters.reservations import moment

    nodes = ", ".join(f"{count} {kind}" for kind, count in (entry["nodes"] or {}).items())
    cost = "-" if entry["cost_per_hour"] is None else f"{entry['cost_per_hour']:,.2f}"
    end = moment(_time(entry["capacity_end"])) if entry["capacity_end"] else "-"
    return entry["name"], entry["status"], entry["fleet"] or "-", nodes or "-", cost, end, entry["queues"]


def _time(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text)


def _queues(session: Session, name: str) -> str:
    found = session.project.clusters.get(name)
    if found is None:
        return "not in the project file"
    return ", ".join(f"{q.name}: {q.min_nodes}-{q.max_nodes} {q.instance_type}" for q in found.queues)


@click.command()
@cluster_name
@options.output
@options.pass_session
def show(session: Session, name: str, output: str) -> None:
    """Show cluster NAME: its state, its nodes and their state in Slurm with the reason, what it costs, when its
    capacity ends, and why it failed if it did.

    \b
    pcinfra cluster show train
    pcinfra cluster show train --output json | jq -r '.nodes[] | select(.kind == "down") | .name'
    """
    from pcinfra.cli.clusters.showing import as_json, print_shown, read_shown
    from pcinfra.ui import print_json

    stack = existing(session, name).stack
    assert stack
    shown = read_shown(session, stack, _read(session, [stack]))
    if output == "json":
        print_json(as_json(shown))
    else:
        print_shown(shown, session)
