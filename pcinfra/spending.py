"""What a project has cost so far: the age of each thing that stands, times its price. An estimate, and no bill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pcinfra.costs import STACK, Cost, cost_of, dates, unknown

if TYPE_CHECKING:
    from pcinfra.prices import Book
    from pcinfra.project import Project

EXPLAINED = (
    "an estimate: the age of each thing at list price, static nodes counted all the time; without traffic, S3, images, "
    "backups, nodes that come and go, and what was paid in advance"
)


@dataclass(frozen=True, slots=True)
class Spending:
    """USD so far by thing; what has no known price is in ``missing``.

    Args:
        dates: of the prices, in words.
    """

    amounts: Mapping[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    dates: str = ""

    @property
    def total(self) -> float:
        return sum(self.amounts.values())


def so_far(project: Project, book: Book, since: Mapping[str, str], now: datetime) -> Spending:
    """Return what the things in ``since`` have cost until ``now``.

    Args:
        since: when each was made, ISO 8601 with a zone, by its name: ``stack NAME``, ``FSx for Lustre``,
            ``FSx for OpenZFS``, ``cluster NAME``. What is not there, or has no date, has cost nothing that is known.
    """
    lines = [(cost, _thing(cost, project, since)) for cost in cost_of(project, book)]
    standing = [(cost, thing) for cost, thing in lines if since.get(thing)]
    amounts: dict[str, float] = {}
    for cost, thing in standing:
        if cost.per_hour is not None:
            amounts[thing] = amounts.get(thing, 0.0) + cost.per_hour * _hours(since[thing], now)
    counted: Sequence[Cost] = [cost for cost, _ in standing if cost.per_hour is not None]
    missing = unknown(cost for cost, _ in standing)
    return Spending(amounts, tuple(f"{cost.part} {cost.what}" for cost in missing), dates(counted))


def _thing(cost: Cost, project: Project, since: Mapping[str, str]) -> str:
    """Return the name of the thing whose age a line goes by: the network's is that of the stack."""
    if cost.part == STACK:
        return cost.what if cost.what in since else f"stack {project.prerequisites.stack}"
    return cost.part


def _hours(since: str, now: datetime) -> float:
    return max((now - datetime.fromisoformat(since)).total_seconds() / 3600, 0.0)
