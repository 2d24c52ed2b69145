"""What runs cost: the hours of their nodes at the list price of the nodes' instance type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcinfra.cli.session import Session
    from pcinfra.jobs.launcher import Attempt, Status
    from pcinfra.prices import Book


@dataclass
class RunCosts:
    """Costs in USD by on-demand list prices, whole nodes.

    Args:
        types: cluster's name -> queue's name -> instance type; a queue of several is left out.
        dates: of the prices that were used so far.
    """

    region: str
    book: Book
    types: Mapping[str, Mapping[str, str]]
    dates: set[str] = field(default_factory=set)

    def of(self, cluster: str, status: Status, now: float) -> float | None:
        """Return what a run has cost so far, all attempts together; None when a price is not known."""
        if status.tasks:
            return self._of_tasks(cluster, status, now)
        costs = [self.of_attempt(cluster, status, attempt, now) for attempt in status.attempts]
        return None if None in costs else sum(filter(None, costs))

    def of_attempt(self, cluster: str, status: Status, attempt: Attempt, now: float) -> float | None:
        """Return what one attempt has cost so far."""
        from pcinfra.jobs.slurm.hostlist import expand
        from pcinfra.jobs.usage import hours

        names = expand(attempt.nodes)
        prices = [self._hourly(cluster, name) for name in names]
        if not names or None in prices:
            return None
        return hours(status, attempt, now) * sum(filter(None, prices)) / len(names)

    def _of_tasks(self, cluster: str, status: Status, now: float) -> float | None:
        """The tasks of an array are on nodes of one queue."""
        from pcinfra.jobs.slurm.hostlist import expand
        from pcinfra.jobs.usage import task_hours

        names = expand(status.nodes)
        price = self._hourly(cluster, names[0]) if names else None
        return None if price is None else price * task_hours(status, now)

    def explained(self) -> str:
        """Return what the amounts are, with the dates of the prices; empty when none was used."""
        found = sorted(self.dates)
        when = found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}" if found else ""
        return (
            f"Costs are the nodes' on-demand list prices of {when} in USD, without tax and discounts." if when else ""
        )

    def _hourly(self, cluster: str, node: str) -> float | None:
        """ParallelCluster calls a node QUEUE-st-RESOURCE-N or QUEUE-dy-RESOURCE-N; no queue has such a part in it."""
        types = self.types.get(cluster, {})
        queue = next((name for name in types if node.startswith((f"{name}-st-", f"{name}-dy-"))), None)
        price = self.book.find(self.region, f"ec2/{types[queue]}") if queue else None
        if price is None:
            return None
        self.dates.add(price.date)
        return price.usd


def run_costs(session: Session) -> RunCosts:
    """Return the costs of runs on the clusters of a project, by the prices at hand."""
    from pcinfra.cli.cost import at_hand

    if not session.has_project:
        return RunCosts("", at_hand(), {})
    clusters = session.project.clusters.items()
    types = {
        name: {queue.name: queue.instance_type for queue in settings.queues if len(queue.instance_types) == 1}
        for name, settings in clusters
    }
    return RunCosts(session.project.region, at_hand(), types)


def amount(usd: float | None) -> str:
    """Return ``12.34``, or ``-`` for what is not known."""
    return "-" if usd is None else f"{usd:,.2f}"


def together(amounts: Iterable[float | None]) -> float:
    """Return the sum of what is known."""
    return sum(each for each in amounts if each is not None)
