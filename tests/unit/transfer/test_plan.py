"""What is moved and what is deleted, from what is on both sides."""

from __future__ import annotations

import pytest

from pcinfra.transfer import Local, Problem, Remote, StepKind, plan_pull, plan_push
from pcinfra.transfer.compare import Verdict, compare
from pcinfra.transfer.model import LocalFile, RemoteFile

NOON = 1_700_000_000.0


def here(size: int = 1, modified: float = NOON, touched: float | None = None) -> LocalFile:
    return LocalFile(size, modified, modified if touched is None else touched)


def there(size: int = 1, modified: float = NOON) -> RemoteFile:
    return RemoteFile(size, "etag", modified)


@pytest.mark.parametrize(
    ("local", "remote", "skew", "pushing", "thorough", "verdict"),
    [
        (here(1), there(2), 0, True, False, Verdict.DIFFERENT),
        (here(touched=NOON - 60), there(), 0, True, False, Verdict.SAME),
        (here(modified=NOON - 60, touched=NOON + 60), there(), 0, True, False, Verdict.DOUBTFUL),  # cp -p over it
        (here(modified=NOON + 60), there(), 0, True, False, Verdict.DOUBTFUL),
        (here(modified=NOON - 0.5), there(), 0, True, False, Verdict.DOUBTFUL),  # within the same second
        (here(modified=NOON - 60), there(), -300, True, False, Verdict.DOUBTFUL),  # our clock is 5 minutes behind
        (here(modified=NOON + 60), there(), 300, True, False, Verdict.SAME),  # and 5 minutes ahead
        (here(modified=NOON, touched=NOON + 60), there(), 0, True, False, Verdict.SAME),  # as pulled
        (here(modified=NOON, touched=NOON + 60), there(), 0, False, False, Verdict.SAME),
        (here(modified=NOON - 60), there(), 0, False, False, Verdict.DOUBTFUL),  # the object is newer
        (here(modified=NOON), there(), 0, False, True, Verdict.DOUBTFUL),
        (here(1), there(2), 0, False, True, Verdict.DIFFERENT),
    ],
)
def test_compare(
    local: LocalFile, remote: RemoteFile, skew: float, pushing: bool, thorough: bool, verdict: Verdict
) -> None:
    assert compare(local, remote, skew, pushing, thorough) is verdict


def test_push_sends_what_is_missing_and_deletes_nothing_by_itself() -> None:
    local = Local({"new": here(), "old": here(5, NOON - 60)})
    remote = Remote({"old": there(5), "gone": there()})
    plan = plan_push(local, remote, "data/")
    assert [(s.kind, s.name, s.why) for s in plan.steps] == [(StepKind.SEND, "new", "is not in S3")]
    assert (plan.same, plan.size) == (1, 1)
    deleting = plan_push(local, remote, "data/", delete=True)
    assert [(s.kind, s.name) for s in deleting.deletions] == [(StepKind.DELETE_REMOTE, "gone")]


def test_push_deletes_nothing_when_something_could_not_be_read() -> None:
    local = Local({}, (Problem("private", "Permission denied"),))
    plan = plan_push(local, Remote({"private/a": there()}), "data/", delete=True)
    assert not plan.deletions
    assert any("nothing is deleted" in problem.why for problem in plan.problems)
    harmless = Local({}, (Problem("socket", "is a socket", True),))
    assert plan_push(harmless, Remote({"a": there()}), "data/", delete=True).deletions


def test_pull_refuses_keys_that_leave_the_directory() -> None:
    remote = Remote({name: there() for name in ("../../etc/cron.d/x", "/etc/passwd", "a//b", "fine", "..")})
    plan = plan_pull(Local(), remote)
    assert [step.name for step in plan.steps] == ["fine"]
    assert {problem.name for problem in plan.problems} == {"../../etc/cron.d/x", "/etc/passwd", "a//b", ".."}
    assert not any(problem.harmless for problem in plan.problems)


def test_pull_of_an_object_that_is_also_a_directory() -> None:
    plan = plan_pull(Local(), Remote({"run": there(), "run/a": there()}))
    assert [step.name for step in plan.steps] == ["run/a"]
    assert [problem.name for problem in plan.problems] == ["run"]


def test_pull_deletes_only_when_told() -> None:
    local, remote = Local({"mine": here()}), Remote({"theirs": there()})
    assert not plan_pull(local, remote).deletions
    plan = plan_pull(local, remote, delete=True)
    assert [(s.kind, s.name) for s in plan.deletions] == [(StepKind.DELETE_LOCAL, "mine")]
