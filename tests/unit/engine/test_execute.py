"""The Executor on a virtual clock: order, overlap, failure, interruption."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.engine import Action, Event, Executor, Kind, Plan, Step, Threads
from pcinfra.engine.wait import CROWD
from pcinfra.errors import Interrupted, PlanFailed, ResourceFailed
from tests.unit.engine.simulation import World, action, run


def test_an_action_starts_the_moment_its_last_dependency_ends() -> None:
    world = World()
    run(world, action("slow", call=100), action("quick", call=1), action("next", call=1, after="quick"))
    assert world.clock.now() == 100  # `next` did not wait for `slow`


def test_results_reach_later_actions_and_the_caller() -> None:
    @dataclass(frozen=True)
    class Use:
        def start(self, context: Any, results: Mapping[str, Any]) -> str:
            return f"used {results['s/first']}"

    use = Action("s/use", Kind.RUN, "use", "", Use(), frozenset({"s/first"}))
    results, _ = run(World(), action("first"), use)
    assert results == {"s/first": "s/first", "s/use": "used s/first"}


def test_an_action_whose_dependency_is_not_in_the_plan_starts_at_once() -> None:
    results, _ = run(World(), action("only", after="done-long-ago"))
    assert results == {"s/only": "s/only"}


@given(st.data())
def test_any_graph_runs_in_an_order_that_respects_it(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    names = [f"a{i}" for i in range(count)]
    actions = [
        action(
            name, data.draw(st.floats(0, 500)), " ".join(data.draw(st.sets(st.sampled_from(names[:i])))) if i else ""
        )
        for i, name in enumerate(names)
    ]
    _, events = run(World(), *actions)
    ended: set[str] = set()
    for event in events:
        if event.step is Step.STARTED:
            assert event.action.after <= ended
        if event.step is Step.FINISHED:
            ended.add(event.action.id)
    assert ended == {one.id for one in actions}


@given(st.lists(st.floats(1, 1500), min_size=1, max_size=8), st.floats(0.7, 1.5))
def test_what_is_waited_for_is_noticed_soon_after_it_ends(durations: list[float], luck: float) -> None:
    """In a chain of waits, the time lost to polling stays small, whether the estimate was right or not."""
    world = World()
    chain = [
        action(f"w{i}", seconds, after=f"w{i - 1}" if i else "", expected=seconds * luck)
        for i, seconds in enumerate(durations)
    ]
    run(world, *chain)
    assert world.clock.now() - sum(durations) <= 0.15 * sum(durations) + len(durations)


def test_one_read_serves_everything_that_waits_on_the_same_probe() -> None:
    world = World()
    run(world, *(action(f"stack{i}", 600) for i in range(20)))
    assert len(world.reads) < 120  # of one thing alone it would be about the same; of twenty apart, twenty times that
    assert any(len(keys) == 20 for _, keys in world.reads)


def test_a_crowd_is_asked_seldom_and_its_ends_are_noticed_soon() -> None:
    """Twenty things, each with an end of its own: the ends of some must not hurry the reads of all."""
    world, noticed = World(), dict[str, float]()

    def observe(event: Event) -> None:
        if event.step is Step.FINISHED:
            noticed[event.action.id] = world.clock.now()

    actions = [action(f"stack{i}", 60.0 * (i + 1), expected=600) for i in range(20)]
    Executor(world, world.clock, observe).run(Plan(tuple(actions)))
    assert len(world.reads) <= 8 * 20
    lags = sorted(noticed[each] - world.ends[each] for each in noticed)
    assert lags[18] <= 10  # 95 % of them


@pytest.mark.parametrize(("count", "asked"), [(CROWD, {""}), (CROWD + 1, {"brief"})])
def test_a_crowd_is_asked_in_short_and_a_few_at_length(count: int, asked: set[str]) -> None:
    world = World()
    run(world, *(action(f"a{i}", 100.0 * (i + 1)) for i in range(count)))
    assert set(world.kinds) == asked


def test_on_a_failure_nothing_new_starts_and_what_runs_is_left_to_finish() -> None:
    world = World(broken={"s/bad": ResourceFailed("quota is 0", where="NAT gateway")})
    events: list[Event] = []
    plan = Plan((action("long", 300), action("bad", call=10), action("later", after="long"), action("x", after="bad")))
    with pytest.raises(PlanFailed) as caught:
        Executor(world, world.clock, events.append).run(plan)
    assert "NAT gateway: quota is 0" in str(caught.value)
    assert "not begun: later, x" in str(caught.value)
    ended = {event.action.what: event.step for event in events}
    assert ended == {"long": Step.FINISHED, "bad": Step.FAILED, "later": Step.SKIPPED, "x": Step.SKIPPED}


def test_a_second_failure_is_told_too() -> None:
    world = World(broken={"s/a": ResourceFailed("first"), "s/b:late": ResourceFailed("unused")})
    with pytest.raises(PlanFailed, match=r"also failed: b: .*ended badly"):
        run(world, action("b", 50), action("a", call=1))


def test_a_defect_is_raised_as_it_is() -> None:
    with pytest.raises(KeyError):
        run(World(broken={"s/a": KeyError("oops")}), action("a"))


def test_reads_without_an_answer_are_repeated_a_few_times() -> None:
    results, _ = run(World(unreachable=3), action("a", 10))
    assert results == {"s/a": "s/a"}


def test_reads_that_never_get_an_answer_end_the_wait() -> None:
    with pytest.raises(PlanFailed, match="no answer"):
        run(World(unreachable=1000), action("a", 10))


def test_the_limit_ends_a_run_and_names_what_was_running() -> None:
    with pytest.raises(PlanFailed, match=r"not finished after 60 s: endless"):
        run(World(), action("endless", 10_000), limit=60)


class Interrupting(Threads):
    """Threads whose wait is interrupted once, as by Ctrl-C, after ``after`` returns."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def wait(self, until: float | None) -> list[Any]:
        self.left -= 1
        if self.left == -1:
            raise KeyboardInterrupt
        return super().wait(until)


def test_ctrl_c_lets_the_calls_under_way_end_and_starts_nothing_new() -> None:
    ended = threading.Event()

    @dataclass(frozen=True)
    class Call:
        def start(self, context: Any, results: Mapping[str, Any]) -> None:
            time.sleep(0.05)
            ended.set()

    workers = Interrupting(after=0)
    plan = Plan(
        (
            Action("s/call", Kind.RUN, "call", "", Call()),
            Action("s/next", Kind.RUN, "n", "", Call(), frozenset({"s/call"})),
        )
    )
    with pytest.raises(Interrupted, match="1 not begun"):
        Executor(None, workers).run(plan)
    assert ended.is_set()
    workers.close()


def test_threads_run_at_most_so_many_calls_at_a_time() -> None:
    running, most, lock = 0, 0, threading.Lock()

    @dataclass(frozen=True)
    class Call:
        def start(self, context: Any, results: Mapping[str, Any]) -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1

    workers = Threads(3)
    Executor(None, workers).run(Plan(tuple(Action(f"s/{i}", Kind.RUN, str(i), "", Call()) for i in range(12))))
    workers.close()
    assert 1 <= most <= 3
