"""Logs by offset from an API that knows whole seconds only: no line lost, none doubled, over restarts too."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pcinfra.jobs.follow import Merge
from pcinfra.jobs.kubernetes.kinds import KINDS
from pcinfra.jobs.kubernetes.logs import Logs
from pcinfra.jobs.launcher import Wanted
from tests.unit.jobs.kubernetes.fakes import FakeApi, pod

KIND = KINDS["TrainJob"]
Line = tuple[str, str]


def lines(*stamps: str) -> list[Line]:
    return [(f"2026-01-01T00:00:{stamp}Z", f"line {number}") for number, stamp in enumerate(stamps)]


def read(logs: Logs, pods: list[dict[str, Any]], offsets: dict[str, int], wanted: Wanted | None = None) -> bytes:
    """Take what is new, and move the offsets as a Follower does."""
    merge = Merge(offsets=offsets)
    found = b""
    for chunk, _ in logs.chunks(KIND, pods, offsets.copy(), wanted or Wanted()):
        found += merge.take(chunk)
    return found


def test_what_is_new_comes_once() -> None:
    api = FakeApi()
    logs, offsets = Logs(api), dict[str, int]()
    api.logs["a", False] = lines("01", "01.5", "01.5")
    assert read(logs, [pod("a")], offsets) == b"line 0\nline 1\nline 2\n"
    assert read(logs, [pod("a")], offsets) == b""
    api.logs["a", False] = lines("01", "01.5", "01.5", "01.5", "01.500000001", "02")
    assert read(logs, [pod("a")], offsets) == b"line 3\nline 4\nline 5\n"
    assert api.calls[-1] == ("LOG", "a 2026-01-01T00:00:01.5Z")  # not the whole log again


def test_a_reader_who_knows_an_offset_only_gets_the_rest() -> None:
    api = FakeApi()
    api.logs["a", False] = lines("01", "02", "03")
    assert read(Logs(api), [pod("a")], {"a": len(b"line 0\n")}) == b"line 1\nline 2\n"


def test_a_restart_is_another_log_and_the_one_before_is_read_to_its_end() -> None:
    api = FakeApi()
    logs, offsets = Logs(api), dict[str, int]()
    api.logs["a", False] = lines("01")
    assert read(logs, [pod("a")], offsets) == b"line 0\n"
    api.logs["a", True] = lines("01", "02")
    api.logs["a", False] = [("2026-01-01T00:00:09Z", "again")]
    assert read(logs, [pod("a", restarts=1)], offsets) == b"line 1\nagain\n"
    assert read(logs, [pod("a", restarts=1)], dict[str, int](), Wanted(attempt=1)) == b"again\n"


def test_what_has_not_started_has_no_log() -> None:
    api = FakeApi()
    assert read(Logs(api), [pod("a", "Pending", waiting={"reason": "ContainerCreating"})], {}) == b""


def test_only_what_was_written_since() -> None:
    api = FakeApi()
    api.logs["a", False] = lines("01", "02", "03")
    assert read(Logs(api), [pod("a")], {}, Wanted(since=1767225602.0)) == b"line 1\nline 2\n"


STAMPS = st.lists(st.integers(0, 30), max_size=12).map(
    lambda steps: [f"{sum(steps[: n + 1]) // 10 % 60:02d}.{sum(steps[: n + 1]) % 10}" for n in range(len(steps))]
)


@given(STAMPS, st.lists(st.integers(0, 12), max_size=5))
def test_however_it_grows_every_line_comes_once(stamps: list[str], looks: list[int]) -> None:
    api = FakeApi()
    logs, offsets, found = Logs(api), dict[str, int](), b""
    whole = lines(*stamps)
    for count in [*sorted(looks), len(whole)]:
        api.logs["a", False] = whole[:count]
        found += read(logs, [pod("a")], offsets)
    assert found == "".join(f"{line}\n" for _, line in whole).encode()
