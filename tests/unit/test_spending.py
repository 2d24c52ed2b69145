"""What a project has cost so far."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pcinfra.costs import cost_of
from pcinfra.prices import bundled
from pcinfra.project import Project
from pcinfra.spending import so_far

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
STACK = f"stack {Project().prerequisites.stack}"


def ago(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat()


def per_hour(part: str, *whats: str) -> float:
    lines = [c for c in cost_of(Project(), bundled()) if c.part == part and (not whats or c.what in whats)]
    return sum(cost.per_hour or 0 for cost in lines)


def test_each_thing_counts_by_its_own_age() -> None:
    since = {STACK: ago(10), "FSx for Lustre": ago(4), "FSx for OpenZFS": ago(2), "cluster train": ago(1)}
    spent = so_far(Project(), bundled(), since, NOW)
    network = per_hour("prerequisites") - per_hour("prerequisites", "FSx for Lustre", "FSx for OpenZFS")
    assert spent.amounts == pytest.approx(
        {
            STACK: 10 * network,
            "FSx for Lustre": 4 * per_hour("prerequisites", "FSx for Lustre"),
            "FSx for OpenZFS": 2 * per_hour("prerequisites", "FSx for OpenZFS"),
            "cluster train": per_hour("cluster train"),
        }
    )
    assert spent.total == pytest.approx(sum(spent.amounts.values()))
    assert spent.dates.startswith("2026-")
    assert spent.missing == ()


def test_what_does_not_stand_costs_nothing() -> None:
    assert so_far(Project(), bundled(), {}, NOW).amounts == {}
    assert so_far(Project(), bundled(), {"bucket x": ago(5), "FSx for Lustre": ""}, NOW).amounts == {}


def test_a_clock_that_is_behind_makes_no_money() -> None:
    assert so_far(Project(), bundled(), {"FSx for Lustre": ago(-3)}, NOW).total == 0


def test_what_has_no_known_price_is_named() -> None:
    spent = so_far(Project(region="ap-southeast-7"), bundled(), {STACK: ago(1)}, NOW)
    assert spent.amounts == {}
    assert "prerequisites NAT gateway" in spent.missing
