"""Following: no byte lost or doubled, whatever the pieces and whatever the connection does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcinfra.errors import CommandFailed, NotFound, Unreachable
from pcinfra.jobs.follow import CALM, PATIENCE, PATIENT, RHYTHM, SHORTEST, Follower, Merge
from pcinfra.jobs.launcher import (
    EVERYTHING,
    Attempt,
    Chunk,
    History,
    Launcher,
    Look,
    Query,
    State,
    Status,
    Wait,
    Wanted,
)
from pcinfra.jobs.manifest import Manifest

TEXTS = st.lists(st.sampled_from(["a", "한글 🙂", "\n", "\r\n", "\r", "\x00", " "]), max_size=30).map("".join)
RUNNING = Status("x-1", State.RUNNING, "5", nodes="n1")
DONE = Status("x-1", State.DONE, "5", exit_code=0)


@settings(deadline=None)
@given(text=TEXTS, cuts=st.lists(st.integers(0, 200), max_size=10))
def test_any_pieces_give_the_whole_text(text: str, cuts: list[int]) -> None:
    data = text.encode()
    merge, shown, start = Merge(), b"", 0
    for end in sorted({min(cut, len(data)) for cut in cuts} | {len(data)}):
        piece = merge.take(Chunk("node-0.0.log", start, data[start:end], "n1"))
        piece.decode()  # whole characters only
        shown, start = shown + piece, end
    rest = merge.rest()
    assert shown + rest.removesuffix(b"\n") == data if rest else shown == data


@settings(deadline=None)
@given(text=TEXTS, starts=st.lists(st.integers(0, 100), max_size=6))
def test_pieces_that_overlap_are_shown_once(text: str, starts: list[int]) -> None:
    data = text.encode()
    merge, shown = Merge(), b""
    for start in [*starts, 0]:
        shown += merge.take(Chunk("batch.log", start, data[start:], ""))
    shown += merge.rest()
    assert shown.removesuffix(b"\n") == data.removesuffix(b"\n")


def test_lines_of_many_nodes_stay_whole_and_carry_their_name() -> None:
    merge = Merge(prefixes=True)
    shown = merge.take(Chunk("node-0.0.log", 0, b"one\ntw", "n1")) + merge.take(
        Chunk("node-1.0.log", 0, b"eins\n", "n2")
    )
    shown += merge.take(Chunk("node-0.0.log", 6, b"o\n", "n1")) + merge.take(Chunk("batch.log", 0, b"slurm\n", ""))
    shown += merge.take(Chunk("node-1.0.log", 5, b"no end", "n2")) + merge.rest()
    assert shown == b"n1: one\nn2: eins\nn1: two\nslurm\nn2: no end\n"


def test_a_progress_bar_is_shown_as_it_goes() -> None:
    assert Merge().take(Chunk("node-0.0.log", 0, b"10%\r20%\r30%", "n1")) == b"10%\r20%\r"


def test_an_endless_line_is_not_held_for_ever() -> None:
    assert Merge().take(Chunk("node-0.0.log", 0, b"x" * 70_000, "n1")) == b"x" * 70_000


@dataclass
class Scripted:
    """A Launcher whose run has a log; each step says how much of it is there, or that nobody answers."""

    log: bytes
    steps: list[int | str | Exception]
    looks: int = 0
    seen: list[Mapping[str, int] | None] = field(default_factory=list)

    def look(
        self,
        run: str,
        offsets: Mapping[str, int] | None = None,
        wanted: Wanted = EVERYTHING,
        wait: Wait | None = None,
    ) -> Look:
        step = self.steps[min(self.looks, len(self.steps) - 1)]
        self.looks += 1
        self.seen.append(dict(offsets) if offsets is not None else None)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, str):
            raise Unreachable(step)
        ended = self.looks >= len(self.steps)
        start = (offsets or {}).get("node-0.0.log", 0)
        end = min(step, start + 5)
        chunk = Chunk("node-0.0.log", start, self.log[start:end], "n1")
        chunks = (chunk,) if chunk.data and offsets is not None else ()
        return Look(DONE if ended else RUNNING, 1, chunks, more=bool(chunks) and end < step)

    def submit(self, manifest: Manifest) -> str:
        raise NotImplementedError

    def cancel(self, run: str) -> Status:
        raise NotImplementedError

    def requeue(self, run: str) -> Status:
        raise NotImplementedError

    def rerun(self, run: str, new: str) -> str:
        raise NotImplementedError

    def runs(self, query: Query) -> list[Status]:
        raise NotImplementedError

    def history(self, run: str) -> History:
        raise NotImplementedError

    def shell(self, run: str, node: str = "") -> Sequence[str]:
        raise NotImplementedError


def follower(
    launcher: Scripted, shown: list[bytes], notes: list[str], pauses: list[float], renew: Launcher | None = None
) -> Follower:
    """A Follower whose clock is its pauses, and whom a look costs nothing."""
    made = Follower(launcher, shown.append, notes.append, pauses.append, clock=lambda: sum(pauses), cost=lambda: 0.0)
    if renew:
        made.renew = lambda: renew
    return made


def test_follows_to_the_end_over_lost_answers() -> None:
    log = b"first\nsecond\nthird, without an end"
    launcher = Scripted(log, [0, 3, "no route", "no route", 14, 14, len(log), len(log)])
    shown: list[bytes] = []
    notes: list[str] = []
    assert follower(launcher, shown, notes, []).follow("x") == DONE
    assert b"".join(shown) == log + b"\n"
    assert notes == ["running on n1", "no route; trying again", "running on n1"]


def test_looks_seldom_while_nothing_comes_and_at_once_while_there_is_more() -> None:
    log = b"x" * 20 + b"\n"
    launcher = Scripted(log, [*[0] * 12, *[21] * 6])
    pauses: list[float] = []
    follower(launcher, [], [], pauses).follow("x")
    assert pauses[0] < pauses[5] <= 5.0
    assert pauses == sorted(pauses[:12]) + pauses[12:]
    assert len(pauses) < launcher.looks - 1


def test_gives_up_after_long_silence() -> None:
    launcher = Scripted(b"", ["no route"])
    pauses: list[float] = []
    notes: list[str] = []
    with pytest.raises(Unreachable, match="no route"):
        follower(launcher, [], notes, pauses).follow("x")
    assert PATIENCE < sum(pauses) < PATIENCE + 10
    assert notes == ["no route; trying again"]


def test_waiting_reads_no_logs() -> None:
    launcher = Scripted(b"abc\n", [4, 4])
    assert Follower(launcher, lambda text: None, lambda text: None, lambda pause: None, logs=False).follow("x") == DONE
    assert launcher.seen == [None, None]


def test_goes_on_with_another_head_node_where_it_was() -> None:
    log = b"first\nsecond\n"
    gone, there = Scripted(log, [6, "no route"]), Scripted(log, [13, 13, 13])
    shown: list[bytes] = []
    notes: list[str] = []
    assert follower(gone, shown, notes, [], renew=there).follow("x") == DONE
    assert b"".join(shown) == log
    assert there.seen[0] == {"node-0.0.log": 5}


def test_a_command_that_was_cut_down_is_borne_later_but_not_at_first() -> None:
    cut = CommandFailed(["head node"], 143, "somebody cancelled the command")
    shown: list[bytes] = []
    assert follower(Scripted(b"one\n", [4, cut, 4, 4]), shown, [], []).follow("x") == DONE
    assert shown == [b"one\n", b""]
    with pytest.raises(CommandFailed):
        follower(Scripted(b"one\n", [cut, 4]), [], [], []).follow("x")


def test_a_run_that_does_not_exist_is_said_at_once() -> None:
    with pytest.raises(NotFound):
        follower(Scripted(b"", [NotFound("there is no such run")]), [], [], []).follow("x")


def test_a_look_that_costs_much_is_followed_by_a_long_pause_unless_it_is_the_first() -> None:
    spent = iter(range(100))
    pauses: list[float] = []
    launcher = Scripted(b"one\n", [0, 4, 4, 4])
    Follower(launcher, lambda _: None, lambda _: None, pauses.append, cost=lambda: float(next(spent))).follow("x")
    assert pauses[0] < CALM
    assert len(pauses) > 1
    assert all(pause >= CALM for pause in pauses[1:])


@settings(deadline=None)
@given(text=TEXTS, offset=st.integers(0, 80), cuts=st.lists(st.integers(0, 200), max_size=6))
def test_from_an_offset_on_only_whole_lines_are_shown(text: str, offset: int, cuts: list[int]) -> None:
    data = text.encode()
    offset = min(offset, len(data))
    merge, shown, start = Merge(), b"", offset
    merge.begin("node-0.0.log", offset)
    merge.begin("node-0.0.log", 0)  # the first word counts
    for end in sorted({max(offset, min(cut, len(data))) for cut in cuts} | {len(data)}):
        shown, start = shown + merge.take(Chunk("node-0.0.log", start, data[start:end], "n1")), end
    shown += merge.rest()
    wanted = data[offset:] if offset == 0 else data[offset:].partition(b"\n")[2]
    assert shown.removesuffix(b"\n") == wanted.removesuffix(b"\n")


def test_a_new_attempt_is_said() -> None:
    tries = (Attempt(0, "n1", ended=5.0), Attempt(1, "n2"))
    status = Status("x-1", State.RUNNING, "5", nodes="n2", attempts=tries)
    launcher = Scripted(b"", [0, 0])
    notes: list[str] = []
    first = launcher.look

    def look(
        run: str, offsets: Mapping[str, int] | None = None, wanted: Wanted = EVERYTHING, wait: Wait | None = None
    ) -> Look:
        seen = first(run, offsets, wanted)
        return seen if seen.status.state.ended else Look(status)

    launcher.look = look  # type: ignore[method-assign]
    follower(launcher, [], notes, []).follow("x")
    assert notes == ["running on n2 (attempt 2)"]


@dataclass
class Waiting(Scripted):
    """A Launcher whose looks wait, and take ``takes`` seconds on the clock that ``pauses`` are."""

    pauses: list[float] = field(default_factory=list)
    takes: float = 5.0
    waits: list[Wait] = field(default_factory=list)

    def look(
        self,
        run: str,
        offsets: Mapping[str, int] | None = None,
        wanted: Wanted = EVERYTHING,
        wait: Wait | None = None,
    ) -> Look:
        assert wait is not None
        self.waits.append(wait)
        look = super().look(run, offsets, wanted)
        self.pauses.append(self.takes)
        return replace(look, waited=self.takes)


def test_where_a_look_waits_no_pause_follows_it_and_it_hears_how_long_it_has_been_quiet() -> None:
    launcher = Waiting(b"one\n", [0, 0, 0, 4, 4, 4])
    follower(launcher, [], [], launcher.pauses).follow("x")
    assert launcher.pauses == [5.0] * 6
    assert [wait.quiet for wait in launcher.waits] == [
        0.0,
        RHYTHM,
        5.0,
        10.0,
        RHYTHM,
        5.0,
    ]  # the first says that it runs
    assert {wait.seconds for wait in launcher.waits} == {PATIENT}


def test_a_look_that_had_not_to_wait_long_is_followed_by_what_is_left_of_a_pause() -> None:
    log = b"one\ntwo\n"
    launcher = Waiting(log, [4, 8, 8], takes=0.125)
    follower(launcher, [], [], launcher.pauses).follow("x")
    assert launcher.pauses == [0.125, SHORTEST - 0.125] * 2 + [0.125]


def test_a_look_that_waited_may_cost_as_much_as_it_took() -> None:
    spent = iter(range(100))
    launcher = Waiting(b"", [0, 0, 0], takes=CALM - 8)
    made = follower(launcher, [], [], launcher.pauses)
    made.cost = lambda: float(next(spent))
    made.follow("x")
    assert launcher.pauses == [CALM - 8, CALM - 8, 8.0, CALM - 8]
