"""Following: no byte lost or doubled, whatever the pieces and whatever the connection does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.errors import Unreachable
from pcinfra.jobs.follow import PATIENCE, Follower, Merge
from pcinfra.jobs.launcher import Chunk, Look, State, Status
from pcinfra.jobs.manifest import Manifest

TEXTS = st.lists(st.sampled_from(["a", "한글 🙂", "\n", "\r\n", "\r", "\x00", " "]), max_size=30).map("".join)
RUNNING = Status("x-1", State.RUNNING, "5", nodes="n1")
DONE = Status("x-1", State.DONE, "5", exit_code=0)


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
    steps: list[int | str]
    looks: int = 0
    seen: list[Mapping[str, int] | None] = field(default_factory=list)

    def look(self, run: str, offsets: Mapping[str, int] | None = None) -> Look:
        step = self.steps[min(self.looks, len(self.steps) - 1)]
        self.looks += 1
        self.seen.append(dict(offsets) if offsets is not None else None)
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

    def runs(self, limit: int) -> list[Status]:
        raise NotImplementedError


def follower(launcher: Scripted, shown: list[bytes], notes: list[str], pauses: list[float]) -> Follower:
    return Follower(launcher, shown.append, notes.append, pauses.append)


def test_follows_to_the_end_over_lost_answers() -> None:
    log = b"first\nsecond\nthird, without an end"
    launcher = Scripted(log, [0, 3, "no route", "no route", 14, 14, len(log), len(log)])
    shown: list[bytes] = []
    notes: list[str] = []
    assert follower(launcher, shown, notes, []).follow("x") == DONE
    assert b"".join(shown) == log + b"\n"
    assert notes == ["running on n1", "no route; trying again"]


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
    with pytest.raises(Unreachable, match="no route"):
        follower(launcher, [], [], []).follow("x")
    assert launcher.looks == PATIENCE


def test_waiting_reads_no_logs() -> None:
    launcher = Scripted(b"abc\n", [4, 4])
    assert Follower(launcher, lambda text: None, lambda text: None, lambda pause: None, logs=False).follow("x") == DONE
    assert launcher.seen == [None, None]
