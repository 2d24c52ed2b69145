"""Where the time of a run went, and the page that shows it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcinfra.jobs.launcher import Attempt, Checkpoint, History, State, Status, Tasks
from pcinfra.jobs.page import Scale, page, words
from pcinfra.jobs.report import Kind, Report, report
from pcinfra.jobs.usage import elapsed, gpu_hours, gpus

T = 1_800_000_000.0
HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>'\"&{{ 7*7 }}한글\x00"

# Submitted at 0; waits 60 s, starts for 40 s, trains until its node dies at 700; checkpoints at 400 and 600.
FIRST = Attempt(0, "gpu-st-p5-[1-2]", 2, 8, T + 60, T + 100, T + 700)
# Waits until 800, starts for 50 s, trains until 1000 and is requeued, having saved at 999.
SECOND = Attempt(1, "gpu-st-p5-[3-4]", 2, 8, T + 800, T + 850, T + 1000, "stopped", 75)
THIRD = Attempt(2, "gpu-st-p5-[3-4]", 2, 8, T + 1010, T + 1060, T + 1360, "done", 0)
SAVED = tuple(Checkpoint(a, T + t, int(t)) for a, t in ((0, 400), (0, 600), (1, 999), (2, 1300)))
DONE = Status("x-1", State.DONE, "5", exit_code=0, submitted=T, attempts=(FIRST, SECOND, THIRD))
HISTORY = History(DONE, {"command": ["python3", "train.py"]}, SAVED)


def running(*attempts: Attempt, state: State = State.RUNNING, why: str = "") -> History:
    return History(Status("x-1", state, "5", why, submitted=T, attempts=attempts), {}, SAVED)


def test_every_second_is_somewhere() -> None:
    found = report(HISTORY, T + 99_999)
    assert [found.seconds(kind) for kind in (Kind.WAITING, Kind.STARTING, Kind.TRAINING)] == [170, 140, 1050]
    assert found.until - found.start == 170 + 140 + 1050


def test_lost_is_what_no_checkpoint_holds() -> None:
    found = report(HISTORY, T + 99_999)
    assert [each.seconds(Kind.LOST) for each in found.tries] == [100, 1, 0]
    assert found.lost_gpu_hours == pytest.approx(101 * 16 / 3600)
    assert [each.ended for each in found.tries] == [
        "no result: its node failed, or it was killed",
        "stopped, exit code 75",
        "done",
    ]


def test_without_checkpoints_all_training_of_a_failed_attempt_is_lost() -> None:
    found = report(replace(HISTORY, checkpoints=()), T + 99_999)
    assert [each.seconds(Kind.LOST) for each in found.tries] == [600, 150, 0]
    failed = Status("x-1", State.FAILED, exit_code=7, submitted=T, attempts=(replace(THIRD, exit_code=7),))
    last = report(History(failed, {}), T + 99_999).tries[-1]
    assert (last.seconds(Kind.LOST), last.ended) == (300, "failed, exit code 7")


def test_what_runs_now_has_lost_nothing_and_counts_until_now() -> None:
    now = T + 1100
    found = report(running(FIRST, SECOND, replace(THIRD, ended=None, verdict="", exit_code=None)), now)
    assert (found.until, found.tries[-1].seconds(Kind.TRAINING), found.tries[-1].seconds(Kind.LOST)) == (now, 40, 0)
    assert found.tries[-1].ended == "running"


def test_a_wait_for_the_next_attempt_is_a_wait() -> None:
    found = report(running(FIRST, state=State.WAITING, why="no free nodes for it yet"), T + 730)
    assert found.waiting is not None
    assert found.seconds(Kind.WAITING) == 60 + 30
    assert report(running(state=State.WAITING), T + 5).seconds(Kind.WAITING) == 5


def test_a_command_that_never_began_was_starting() -> None:
    found = report(running(replace(FIRST, began=None), state=State.LOST), T + 99_999)
    assert (found.seconds(Kind.STARTING), found.seconds(Kind.TRAINING), found.seconds(Kind.LOST)) == (640, 0, 0)


def test_gpu_hours_count_every_attempt() -> None:
    assert gpu_hours(DONE, T + 99_999) == pytest.approx((640 + 200 + 350) * 16 / 3600)
    assert elapsed(DONE, T + 99_999) == 640 + 200 + 350
    assert gpus(DONE) == 16
    goes_on = replace(DONE, state=State.RUNNING, attempts=(FIRST, replace(SECOND, ended=None)))
    assert elapsed(goes_on, T + 900) == 640 + 100
    nobody_knows = replace(DONE, state=State.LOST, attempts=(replace(FIRST, ended=None),))
    assert elapsed(nobody_knows, T + 99_999) == 0
    assert (gpus(Status("x", State.WAITING)), elapsed(Status("x", State.WAITING), T)) == (0, 0)


def test_gpu_hours_count_every_task_of_an_array() -> None:
    """Two tasks of a node with 8 GPUs have had an hour each, and one goes on since T."""
    tasks = Tasks(3, 2 * 3600, 16 * 3600, 1, 8, T, 8 * T)
    alive = History(Status("x-1", State.RUNNING, "5", submitted=T - 3600, tasks=tasks), {})
    assert report(alive, T + 1800).gpu_hours == pytest.approx(16 + 4)
    ended = Status("x-1", State.FAILED, "5", submitted=T - 3600, tasks=Tasks(2, 7200, 16 * 3600))
    assert report(History(ended, {}), T + 99_999).gpu_hours == pytest.approx(16)


MOMENTS = st.floats(-1e10, 1e11) | st.none()


@settings(deadline=None, max_examples=40)
@given(
    attempts=st.lists(st.tuples(MOMENTS, MOMENTS, MOMENTS), max_size=4),
    saved=st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1e11)), max_size=4),
    state=st.sampled_from(State),
    submitted=st.floats(0, 1e10),
)
def test_clocks_that_disagree_make_no_negative_times(
    attempts: list[tuple[float | None, float | None, float | None]],
    saved: list[tuple[int, float]],
    state: State,
    submitted: float,
) -> None:
    tries = tuple(Attempt(n, "n1", 1, 1, abs(s or 0), b, e) for n, (s, b, e) in enumerate(attempts))
    history = History(
        Status("x", state, submitted=submitted, attempts=tries), {}, tuple(Checkpoint(a, t) for a, t in saved)
    )
    found = report(history, T)
    assert all(found.seconds(kind) >= 0 for kind in Kind)
    assert found.gpu_hours >= 0
    assert rendered(found)


def rendered(found: Report, **facts: str) -> str:
    return page(found, ["1.00"] * len(found.tries), facts=facts, sums={"Cost (USD)": "3.00"}, notes=["A note."])


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


def test_the_page_escapes_everything_and_needs_nothing_else() -> None:
    status = replace(
        DONE, run=HOSTILE, why=HOSTILE, attempts=(replace(FIRST, nodes=HOSTILE, verdict=HOSTILE), SECOND, THIRD)
    )
    html = rendered(report(History(status, {}, SAVED), T), **{HOSTILE: HOSTILE})
    reader = read(html)
    assert not {tag for tag, _ in reader.tags} & {"script", "img", "link", "iframe", "object", "form", "base"}
    for _, attributes in reader.tags:
        assert not {"src", "href", "onerror"} & attributes.keys()
    assert reader.text.count("alert(1)") >= 5
    assert "{{ 7*7 }}" in reader.text
    assert not re.search(r"https?:|url\(|@import", html)
    assert "default-src 'none'" in html
    assert "prefers-color-scheme: dark" in html


def test_the_page_shows_every_span_and_checkpoint_where_it_was() -> None:
    html = rendered(report(HISTORY, T))
    reader = read(html)
    spans = [attributes for tag, attributes in reader.tags if tag == "span" and "title" in attributes]
    kinds = [attributes["class"] for attributes in spans]
    assert kinds.count("waiting") == kinds.count("starting") == kinds.count("training") == 3
    assert (kinds.count("lost"), kinds.count("checkpoint")) == (2, 4)
    first = next(each for each in spans if each["class"] == "training")
    for cell in ("1 min 40 s", "10 min", "2.84", "no result: its node failed, or it was killed"):  # of the table
        assert re.search(rf"<td[^>]*>{cell}</td>", html)
    assert first["style"] == f"left:{100 * 100 / 1360:.3f}%;width:{100 * 600 / 1360:.3f}%"


@pytest.mark.parametrize("length", [0.5, 7, 100, 5000, 90_000, 1e6, 4e7, 1e9])
def test_an_axis_has_a_few_round_times(length: float) -> None:
    ticks = Scale(T + 0.3, T + 0.3 + length).ticks()
    assert len(ticks) <= 9
    assert len({name for _, name in ticks}) == len(ticks)


def test_times_in_words() -> None:
    assert [words(each) for each in (0, 12.4, 185, 3600, 7440, 93600)] == [
        "0 s", "12 s", "3 min 5 s", "1 h", "2 h 4 min", "1 d 2 h",
    ]  # fmt: skip
