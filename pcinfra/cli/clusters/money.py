"""What a cluster costs per hour, by the prices at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcinfra.costs import Cost
    from pcinfra.project import Project


def lines(project: Project, name: str) -> list[Cost]:
    """Return the lines of the bill of cluster ``name``; empty when it is not in the project file."""
    from pcinfra.cli.cost import at_hand
    from pcinfra.costs import cost_of

    return [cost for cost in cost_of(project, at_hand()) if cost.part == f"cluster {name}"]


def head_and_nodes(project: Project, name: str) -> tuple[float | None, float | None]:
    """Return USD per hour of what always runs (head node, login nodes), and of the static nodes together.

    None where a price is not known.
    """
    bill = lines(project, name)
    queues = [cost.per_hour for cost in bill if cost.what.startswith("queue ")]
    always = [cost.per_hour for cost in bill if not cost.what.startswith("queue ")]
    return _together(always), _together(queues)


def _together(amounts: list[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known and len(known) == len(amounts) else None


def per_hour(project: Project, name: str, *, nodes_run: bool) -> float | None:
    """Return USD per hour of the cluster as it stands; None when a price is not known."""
    head, nodes = head_and_nodes(project, name)
    if head is None or (nodes is None and nodes_run):
        return None
    return head + (nodes or 0.0 if nodes_run else 0.0)
