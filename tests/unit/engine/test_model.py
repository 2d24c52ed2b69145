"""Plans as data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.engine import Plan
from pcinfra.engine.wait import LONGEST, SHORTEST, interval
from tests.unit.engine.simulation import action


def test_two_actions_with_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="share an id"):
        Plan((action("a"), action("a")))


def test_a_circle_is_refused_and_shown() -> None:
    with pytest.raises(ValueError, match=r"s/\w -> s/\w -> s/\w"):
        Plan((action("a", after="b"), action("b", after="a")))


def test_the_critical_path_is_the_longest_chain() -> None:
    plan = Plan((action("a", 10), action("b", 20), action("c", 5, after="a b"), action("d", 1)))
    assert plan.critical_path() == 25


def test_equal_plans_are_equal() -> None:
    assert Plan((action("a", 1),)) == Plan((action("a", 1),))
    assert Plan((action("a", 1),)) != Plan((action("a", 2),))


def test_without_an_action_its_followers_wait_for_what_it_waited_for() -> None:
    plan = Plan((action("a"), action("b", after="a"), action("c", after="b"))).without("s/b")
    assert [one.id for one in plan.actions] == ["s/a", "s/c"]
    assert plan.waits_for("s/c") == {"s/a"}


@given(st.floats(0, 1e6), st.floats(0, 1e5))
def test_the_poller_never_asks_too_often_nor_too_seldom(elapsed: float, expected: float) -> None:
    assert SHORTEST <= interval(elapsed, expected) <= LONGEST
