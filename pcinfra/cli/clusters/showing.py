"""What ``pcinfra cluster show`` shows, as a table and as JSON, whose fields stay as they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pcinfra.cli.session import Session
    from pcinfra.cloudformation import Stack
    from pcinfra.clusters.overview import Overview
    from pcinfra.clusters.pcluster import Description
    from pcinfra.jobs.slurm.view import Asked, Node

_MANY = 40  # nodes that are listed one by one in the table


@dataclass(frozen=True, slots=True)
class Shown:
    """One cluster. ``cost``: USD per hour as it stands, None when a price is not known."""

    description: Description
    overview: Overview
    asked: Asked | None
    cause: str
    cost: float | None


def read_shown(session: Session, stack: Stack, known: Mapping[str, Any]) -> Shown:
    """Ask pcluster, and the stack for its failure; ``known``: what was read of the cluster already."""
    from pcinfra.cli.clusters.money import per_hour
    from pcinfra.clusters.pcluster import Pcluster
    from pcinfra.clusters.probe import failure_cause

    description = Pcluster(session.shell, session.target).describe(stack.name)
    failed = "FAILED" in stack.status or "ROLLBACK" in stack.status
    overview: Overview = known[f"read/overview/{stack.name}"]
    cost = per_hour(session.project, stack.name, nodes_run=overview.nodes_run)
    cause = failure_cause(session.cloud, stack) if failed else ""
    return Shown(description, overview, known.get(f"read/slurm/{stack.name}"), cause, cost)


def as_json(shown: Shown) -> dict[str, Any]:
    """Return everything as plain data."""
    view = shown.asked.view if shown.asked else None
    return {
        **asdict(shown.description),
        "cause": shown.cause,
        "cost_per_hour": None if shown.cost is None else round(shown.cost, 4),
        "capacity": [
            {"queue": wanted.queue, "instances": wanted.most, **(asdict(held) if held else {"id": wanted.id})}
            for wanted, held in shown.overview.reserved
        ],
        "slurm": "" if view and shown.asked and not shown.asked.unknown else (shown.asked and shown.asked.unknown),
        "queues": [asdict(queue) for queue in view.queues] if view else [],
        "nodes": [_node(node) for node in view.nodes] if view else [],
        "jobs": [asdict(job) for job in view.jobs] if view else [],
    }


def _node(node: Node) -> dict[str, Any]:
    return {**asdict(node), "kind": node.kind, "static": node.static}


def print_shown(shown: Shown, session: Session) -> None:
    """Print the table."""
    from pcinfra.ui import out, print_table

    print_table(("CLUSTER", shown.description.name), _rows(shown, session))
    view = shown.asked.view if shown.asked else None
    if view and view.nodes:
        out().print()
        nodes = sorted(view.nodes, key=lambda node: (node.kind != "down", node.kind == "off"))
        print_table(("NODE", "QUEUE", "TYPE", "STATE", "REASON"), map(_node_row, nodes[:_MANY]))
        if len(nodes) > _MANY:
            out().print(f"and {len(nodes) - _MANY} more: --output json", style="dim")
    if shown.cause:
        hint = session.typed(f"pcinfra cluster diagnose {shown.description.name}")
        out().print(f"\nWhat its nodes say of it: {hint}", style="dim", markup=False)


def _rows(shown: Shown, session: Session) -> list[tuple[str, Any]]:
    from datetime import UTC, datetime

    from pcinfra.clusters.failure import unwrapped

    description, head = shown.description, shown.description.head_node
    rows: list[tuple[str, Any]] = [
        ("status", description.status),
        ("compute fleet", session.typed(shown.overview.fleet.in_words(description.name))),
        ("pcluster", description.version),
        ("created", description.created),
        ("head node", f"{head.instance_id} {head.instance_type} {head.state} {head.private_ip}" if head else "none"),
    ]
    if shown.cost is not None:
        paid = (
            ", without what was paid in advance for a capacity block"
            if any(wanted.block for wanted, _ in shown.overview.reserved)
            else ""
        )
        rows.append(("cost", f"{shown.cost:,.2f} USD per hour: head node and static nodes at list price{paid}"))
    rows += [("capacity", text) for text in shown.overview.endings(datetime.now(UTC))]
    if shown.asked:
        rows += _slurm_rows(shown.asked)
    rows += [("failure", f"{code}: {reason}") for code, reason in description.failures]
    return rows + ([("cause", unwrapped(shown.cause)[0])] if shown.cause else [])


def _slurm_rows(asked: Asked) -> list[tuple[str, Any]]:
    if asked.unknown:
        return [("Slurm", f"not asked: {asked.unknown}")]
    held = [queue.name for queue in asked.view.queues if queue.state != "up"]
    waiting = len(asked.view.jobs) - len(asked.view.running)
    rows: list[tuple[str, Any]] = [("jobs", f"{len(asked.view.running)} on nodes, {waiting} waiting")]
    return rows + ([("queues held", ", ".join(held))] if held else [])


def _node_row(node: Node) -> tuple[str, str, str, str, str]:
    since = f" (since {node.since})" if node.since else ""
    kind = f"{node.kind}, {node.state}" if node.kind not in node.state else node.state
    return node.name, node.queue, "static" if node.static else "dynamic", kind, f"{node.reason}{since}"
