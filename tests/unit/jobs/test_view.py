"""What Slurm says of a cluster, as read from one answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.jobs.slurm.pause import pausing
from pcinfra.jobs.slurm.report import sections
from pcinfra.jobs.slurm.view import Job, Node, parse

ANSWER = """\
queue|gpu|up
queue|cpu|down
node|gpu-st-p5-1|gpu|allocated|Unknown|none
node|gpu-dy-p5-1|gpu|idle~|Unknown|none
node|gpu-dy-p5-1|cpu|idle~|Unknown|none
node|gpu-st-p5-2|gpu|down*|2026-11-25T10:00:00|Kill task failed | root [x|y]
job|12|gpu|RUNNING|ubuntu|2|gpu-st-p5-[1-2]|1-02:03:04|my|job
job|13_[1-5]|gpu|PENDING|ubuntu|1||UNLIMITED|array
"""


def test_queues_nodes_and_jobs_are_read_and_free_text_stays_whole() -> None:
    found = parse(ANSWER.splitlines())
    assert [(queue.name, queue.state) for queue in found.queues] == [("gpu", "up"), ("cpu", "down")]
    assert [(n.name, n.kind, n.static) for n in found.nodes] == [
        ("gpu-st-p5-1", "alloc", True),
        ("gpu-dy-p5-1", "off", False),
        ("gpu-st-p5-2", "down", True),
    ]
    assert found.nodes[2].reason == "Kill task failed | root [x|y]"
    assert found.nodes[2].since == "2026-11-25T10:00:00"
    assert found.nodes[0].reason == found.nodes[0].since == ""
    assert [job.name for job in found.running] == ["my|job"]
    assert found.running[0].seconds_left == 86400 + 2 * 3600 + 3 * 60 + 4
    assert found.jobs[1].seconds_left is None


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("idle", "idle"), ("idle~", "off"), ("idle#", "starting"), ("idle%", "stopping"), ("idle!", "stopping"),
        ("idle*", "down"), ("allocated", "alloc"), ("mixed", "alloc"), ("completing", "alloc"), ("down", "down"),
        ("down*", "down"), ("down~", "off"), ("drained", "down"), ("draining", "draining"), ("drained*", "down"),
        ("fail", "down"), ("unknown", "down"), ("allocated#", "starting"), ("reserved", "idle"), ("planned", "idle"),
        ("inval", "down"), ("?", "down"), ("maint", "idle"), ("maint*", "down"), ("drained$", "down"),
        ("draining@", "draining"), ("down^", "starting"), ("reboot^", "starting"), ("reboot", "starting"),
        ("powering_up", "starting"), ("power_down", "stopping"), ("powering_down", "stopping"), ("powered_down", "off"),
        ("future", "off"), ("cloud", "off"), ("mixed-", "alloc"), ("allocated+", "alloc"), ("allocated$", "alloc"),
        ("perfctrs", "alloc"), ("blocked", "alloc"), ("resume", "idle"), ("error*", "down"),
    ],
)  # fmt: skip
def test_every_state_of_sinfo_has_a_plain_word(state: str, kind: str) -> None:
    assert Node("n-st-x-1", "q", state).kind == kind


def test_nodes_of_a_stopped_fleet_are_off_and_not_broken() -> None:
    assert Node("n-st-x-1", "q", "down", "stopping cluster").kind == "off"


@given(st.lists(st.text(max_size=60)))
def test_no_answer_breaks_the_reader(lines: list[str]) -> None:
    found = parse(lines)
    assert all(job.id is not None for job in found.jobs)


def test_waiting_for_jobs_takes_as_long_as_the_last_limit() -> None:
    jobs = [Job(str(n), "q", "RUNNING", "u", "1", "n", left, "j") for n, left in enumerate(("10:00", "1:00:00"))]
    hold, wait = pausing("train", jobs, kill=False)
    assert wait.after == {hold.id}
    assert wait.seconds == 3600
    assert not wait.loses


def test_the_report_is_split_into_files_with_harmless_names() -> None:
    found = sections("noise\n== sinfo\na\nb\n== file /var/log/x y.log\nc\n== ../../etc/passwd\nd\n")
    assert found == {"sinfo.txt": "a\nb\n", "file-var-log-x-y.log.txt": "c\n", "..-..-etc-passwd.txt": "d\n"}
