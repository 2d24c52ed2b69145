"""Cancelling what is left on a cluster never stands in the way of its deletion."""

from __future__ import annotations

from typing import Any

import pytest

from pcinfra.aws import Target
from pcinfra.doors import Doors
from pcinfra.engine import Kind, Pending
from pcinfra.errors import AccessDenied, CloudError
from pcinfra.jobs.slurm.cancel import BOUND, JobsLeft, cancel_all, until_gone
from pcinfra.shell import Subprocess
from tests.unit.jobs.test_headnode import INSTANCE, ScriptedCloud, ended

HEAD = {"Reservations": [{"Instances": [{"InstanceId": INSTANCE, "State": {"Name": "running"}}]}]}


def start(*answers: dict[str, Any] | Exception, sent: Exception | None = None) -> tuple[Any, Doors]:
    doors = Doors(ScriptedCloud(*answers, sent=sent), Subprocess(), Target("us-east-1"))
    return cancel_all("train", "ubuntu").operation.start(doors, {}), doors


def test_the_action_destroys_no_data_and_waits_for_what_it_is_told() -> None:
    action = cancel_all("train", after=["a/b"])
    assert (action.id, action.kind, action.loses, action.after) == ("jobs/train", Kind.RUN, "", frozenset({"a/b"}))


def test_it_waits_until_the_jobs_are_gone() -> None:
    pending, doors = start(HEAD, ended("Success", 0, "4\n7\n"), ended("Success", 0, "7\n"), ended("Success", 0, ""))
    assert isinstance(pending, Pending)
    keys = frozenset({pending.key})
    first = pending.probe.read(doors, keys)[pending.key]
    assert (first, pending.judge(first), pending.progress(first)) == (("7",), None, "1 still ending")
    assert pending.judge(pending.probe.read(doors, keys)[pending.key]) == ("2 cancelled",)


@pytest.mark.parametrize(
    ("answers", "sent", "why"),
    [
        ([{"Reservations": []}], None, "there is no such cluster"),
        ([HEAD], CloudError("InvalidInstanceId", code="InvalidInstanceId"), "the head node does not answer"),
        ([HEAD, ended("Undeliverable")], None, "the head node does not answer"),
        ([HEAD, ended("Failed", 1, "", "Unable to contact slurm controller")], None, "exit status 1"),
    ],
)
def test_a_head_node_that_does_not_answer_is_no_failure(answers: list[Any], sent: Exception | None, why: str) -> None:
    result, _ = start(*answers, sent=sent)
    assert result.startswith("not asked: ")
    assert why in result


def test_a_denied_call_is_a_failure() -> None:
    with pytest.raises(AccessDenied):
        start(HEAD, sent=AccessDenied("no ssm:SendCommand"))


def test_a_controller_that_falls_silent_is_waited_for_only_so_long() -> None:
    now = [0.0]
    judge = until_gone(2, lambda: now[0])
    doors = Doors(ScriptedCloud(ended("Failed", 1)), Subprocess(), Target("us-east-1"))
    left = JobsLeft("ubuntu").read(doors, frozenset({INSTANCE}))[INSTANCE]
    assert judge(left) is None
    now[0] = BOUND + 1
    assert judge(left) == ("2 cancelled, 1 of them still ending",)
