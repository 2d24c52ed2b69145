"""What every check of the registry must do, whatever it is; and what is made of checks that cannot be made."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import pytest

from pcinfra import errors
from pcinfra.aws import Target
from pcinfra.doctor import REGISTRY, Check, Line, Verdict, examination, lines_of
from pcinfra.doctor.model import ok
from pcinfra.doors import Doors
from pcinfra.engine import Executor, Kind, Threads
from pcinfra.project import Cluster, Project, Queue
from tests.unit.clusters.fakes import FakeShell

CHECKS = pytest.mark.parametrize("check", REGISTRY, ids=lambda check: check.name)

RESERVED = Project(clusters={"c": Cluster(queues=(Queue(capacity_reservation="cr-0123456789abcdef0"),))})


class Broken:
    """A cloud that answers every call with the same error, or with something that makes no sense."""

    region = "us-east-1"
    account = "123456789012"

    def __init__(self, answer: Exception | dict[str, Any]) -> None:
        self.answer = answer

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def pages(self, service: str, operation: str, key: str, /, **parameters: Any) -> list[Any]:
        return [self.call(service, operation)]


def examine(checks: Sequence[Check], cloud: Any, project: Project | None = RESERVED, limit: float = 5) -> list[Line]:
    plan = examination(checks, project, limit)
    workers = Threads(8)
    try:
        doors = Doors(cloud, FakeShell(), Target("us-east-1"))
        return lines_of(plan, Executor(doors, workers).run(plan))
    finally:
        workers.close()


def test_names_are_unique_and_every_action_only_reads() -> None:
    plan = examination(REGISTRY, Project())
    assert [action.id for action in plan.actions] == [f"doctor/{check.name}" for check in REGISTRY]
    assert {action.kind for action in plan.actions} == {Kind.READ}
    assert not any(plan.waits_for(action.id) for action in plan.actions)


@CHECKS
@pytest.mark.parametrize(
    "error",
    [
        errors.AccessDenied("not authorized", where="ec2:DescribeX", code="AccessDenied"),
        errors.CredentialsError("expired", hint="aws sso login", code="ExpiredToken"),
        errors.Unreachable("no connection", code="ConnectTimeoutError"),
        errors.CloudError("not implemented by the local cloud: x.Y", code="NotImplemented"),
        errors.CommandFailed(["x"], 1, "broken"),
        ZeroDivisionError("a defect"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_check_that_cannot_be_made_says_so(check: Check, error: Exception) -> None:
    lines = examine([check], Broken(error))
    assert lines
    for line in lines:
        assert line.what
        assert line.found
        said_by_itself = not line.found.startswith("not checked: ")
        assert line.verdict is Verdict.WARNING or said_by_itself
        assert line.verdict is Verdict.OK or line.fix or not said_by_itself


@CHECKS
def test_an_answer_without_sense_is_no_crash(check: Check) -> None:
    for line in examine([check], Broken({})):
        assert line.verdict in Verdict


@CHECKS
def test_failures_say_what_mends_them(check: Check) -> None:
    for line in examine([check], Broken(errors.NotFound("nothing", code="NotFound"))):
        assert line.verdict is not Verdict.FAILURE or line.fix


def test_without_a_project_only_what_needs_none_is_checked() -> None:
    plan = examination(REGISTRY, None)
    assert {action.what for action in plan.actions} == {check.name for check in REGISTRY if not check.needs_project}


def test_a_check_that_hangs_keeps_nobody_waiting() -> None:
    def hang(project: Project, doors: Doors) -> Iterator[Line]:
        time.sleep(30)
        yield ok("never", "")

    def fine(project: Project, doors: Doors) -> Iterator[Line]:
        yield ok("fine", "is fine")

    lines = examine([Check("hangs", hang), Check("fine", fine)], Broken({}), limit=0.2)
    assert [(line.what, line.verdict) for line in lines] == [("hangs", Verdict.WARNING), ("fine", Verdict.OK)]
    assert lines[0].found == "not checked: no answer within 0.2 s"


def test_what_a_check_found_before_it_broke_is_not_half_told() -> None:
    def breaks(project: Project, doors: Doors) -> Iterator[Line]:
        yield ok("first", "")
        refuse()

    def refuse() -> NoReturn:
        raise errors.AccessDenied("no", where="ec2:DescribeVpcs")

    (line,) = examine([Check("breaks", breaks)], Broken({}))
    assert line.found == "not checked: you may not call ec2:DescribeVpcs"
    assert line.fix == "pcinfra iam-policy --for doctor"
