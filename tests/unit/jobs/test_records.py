"""What the scripts print of a run, as a Status with its attempts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcinfra.jobs.launcher import Attempt, State
from pcinfra.jobs.slurm.records import checkpoints, read

ENDED = "2027-01-15T08:00:{:02d}Z"
T = 1_800_000_000.0  # 2027-01-15T08:00:00Z


def attempt(number: int, started: int, nodes: str = "n[1-2]") -> str:
    fields = {"job": "5", "attempt": number, "nodes": nodes, "count": 2, "gpus": 8, "started": T + started}
    return f"attempt {json.dumps(fields)}"


def result(number: int, ended: int, code: int = 0, verdict: str = "done", **more: object) -> str:
    fields = {"job": "5", "attempt": number, "exit_code": code, "verdict": verdict, "nodes": "n[1-2]", **more}
    return f"result {json.dumps({**fields, 'ended': ENDED.format(ended)})}"


HEAD = ["asked 0", "run x-1", "job 5", "wants 2", f"time x-1/job.id {T:.0f}"]


def test_a_run_with_two_attempts() -> None:
    lines = [*HEAD, attempt(0, 1), result(0, 10, 143, "stopped"), attempt(1, 20, "n[3-4]"), result(1, 50)]
    [status] = read(lines).statuses()
    assert (status.state, status.exit_code, status.wants, status.submitted) == (State.DONE, 0, 2, T)
    assert status.attempts == (
        Attempt(0, "n[1-2]", 2, 8, T + 1, None, T + 10, "stopped", 143),
        Attempt(1, "n[3-4]", 2, 8, T + 20, None, T + 50, "done", 0),
    )


def test_a_result_of_an_earlier_attempt_is_not_the_end() -> None:
    lines = [*HEAD, attempt(0, 1), result(0, 10, 75, "stopped", requeued=True), attempt(1, 20)]
    silent = [line.replace("asked 0", "asked 124") for line in lines]
    assert read(silent).statuses()[0].state is State.UNKNOWN
    assert read([*lines, "slurm pci-x-1|RUNNING|None|n[1-2]"]).statuses()[0].state is State.RUNNING
    assert read(lines).statuses()[0].state is State.LOST


def test_an_attempt_without_a_result_lived_until_its_last_sign_or_the_next_one() -> None:
    lines = [*HEAD, attempt(0, 1), attempt(1, 100), "slurm pci-x-1|RUNNING|None|n[1-2]"]
    assert read([*lines, f"time x-1/signs.0 {T + 61:.0f}"]).statuses()[0].attempts[0].ended == T + 61
    assert read([*lines, f"time x-1/signs.0 {T + 999:.0f}"]).statuses()[0].attempts[0].ended == T + 100
    assert read(lines).statuses()[0].attempts[0].ended == T + 100
    assert read(lines).statuses()[0].attempts[1].ended is None
    said = [*lines, f"time x-1/signs.0 {T + 61:.0f}", f"time x-1/logs/node-0.0.log {T + 75:.0f}"]
    assert read(said).statuses()[0].attempts[0].ended == T + 75
    lost = [*HEAD, attempt(0, 1), f"time x-1/signs.0 {T + 61:.0f}", "slurm pci-x-1|NODE_FAIL|None|n[1-2]"]
    assert read(lost).statuses()[0].attempts[0].ended == T + 61


def test_each_run_gets_what_is_its_own() -> None:
    lines = [
        "asked 0",
        "run a",
        "job 1",
        "run b",
        "job 2",
        "slurm pci-b|RUNNING|None|n1",
        "slurm pci-c|RUNNING|None|n2",
    ]
    assert [(each.run, each.job, each.state) for each in read(lines).statuses()] == [
        ("a", "1", State.LOST),
        ("b", "2", State.RUNNING),
    ]


def test_a_requeued_job_says_what_it_waits_for() -> None:
    waits = "slurm pci-x-1|PENDING|BeginTime|"
    assert read([*HEAD, waits]).statuses()[0].why == "its start time has not come"
    assert "requeued" in read([*HEAD, attempt(0, 1), result(0, 9, 143, "stopped"), waits]).statuses()[0].why


def test_checkpoints_come_in_order_and_what_is_no_checkpoint_is_left_out() -> None:
    answer = read([
        'checkpoint {"attempt":1,"step":20,"time":1800000050}', 'checkpoint {"attempt":0,"step":10,"time":1800000010}',
        f'checkpoint {{"attempt":1,"step":"x","time":"{ENDED.format(59)}"}}', "checkpoint {}", "checkpoint nonsense",
        'checkpoint {"time":"yesterday"}', 'checkpoint {"time":NaN}', 'checkpoint {"time":1e999}',
    ])  # fmt: skip
    assert [(each.attempt, each.step, each.time - T) for each in checkpoints(answer)] == [
        (0, 10, 10),
        (1, 20, 50),
        (1, None, 59),
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
KEYS = st.sampled_from(["job", "attempt", "exit_code", "verdict", "nodes", "count", "gpus", "started", "ended", "time"])
WORDS = st.sampled_from(["attempt", "result", "checkpoint", "slurm", "time", "kept", "began", "wants", "asked", "x"])


@settings(deadline=None, max_examples=40)
@given(lines=st.lists(st.tuples(WORDS, st.text(max_size=20) | st.dictionaries(KEYS, VALUES).map(json.dumps))))
def test_whatever_a_job_writes_into_its_directory_breaks_nothing(lines: list[tuple[str, str]]) -> None:
    answer = read(["run x-1", *(f"{word} {rest}" for word, rest in lines)])
    [status] = answer.statuses()
    assert status.run == "x-1"
    checkpoints(answer)


@pytest.mark.parametrize("line", ["", "run", "slurm", "slurm |", "time", "time x 1", "time /signs. 5", "\x00"])
def test_odd_lines_are_passed_over(line: str) -> None:
    assert read(["run x-1", line]).records["x-1"].run == "x-1"


def test_what_is_wrong_with_nodes_is_said_while_the_run_waits_or_runs() -> None:
    away = result(0, 10, 75, "unhealthy", requeued=True, why="n1 GPU 3: Xid 79")
    waits = [*HEAD, attempt(0, 1), away, "slurm pci-x-1|PENDING|(BeginTime)|"]
    assert read(waits).statuses()[0].why == "unhealthy: n1 GPU 3: Xid 79; its start time has not come"
    waits[-1] = "slurm pci-x-1|PENDING|BeginTime|"
    two = "Slurm lets a requeued job wait for up to two minutes"
    assert read(waits).statuses()[0].why == f"unhealthy: n1 GPU 3: Xid 79; {two}"
    waits[-2] = result(0, 10, 75, "stopped", requeued=True, why="EC2 takes the node n1 away")
    assert read(waits).statuses()[0].why == "EC2 takes the node n1 away; it waits until that is over"
    runs = [*HEAD, attempt(0, 1), "rebalance 0 n2", "slurm pci-x-1|RUNNING|None|n[1-2]"]
    assert read(runs).statuses()[0].why == "EC2 may soon take n2 away, and says so before"
    assert read([*runs, attempt(1, 20)]).statuses()[0].why == ""
    ended = [*HEAD, attempt(3, 1), result(3, 10, 75, "failed", requeued=False, why="Unhealthy nodes, 4 times: n1 lost")]
    assert read(ended).statuses()[0].why == "Unhealthy nodes, 4 times: n1 lost"
