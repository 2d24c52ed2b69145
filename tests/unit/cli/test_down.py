"""``pcinfra down``: what must be said before anything goes. What goes is in tests/local/test_down.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pcinfra.aws import Target
from pcinfra.cli.down import agree, check_unsaved, down
from pcinfra.cli.teardown import Teardown
from pcinfra.doors import Doors
from pcinfra.engine import Action, Kind, Plan
from pcinfra.errors import Refused, ResourceFailed, UsageError
from pcinfra.jobs.slurm.running import Running
from pcinfra.jobs.unsaved import Entry, Unsaved
from pcinfra.project import Project
from pcinfra.shell import Subprocess
from pcinfra.stages.association_operations import ExportPaths
from pcinfra.stages.interfaces import BOUND, Interface, until_left
from tests.account import Account
from tests.commands import run
from tests.conftest import new_project

NOWHERE = Target("us-east-1", endpoint="http://127.0.0.1:9", credentials=("a", "b"))


class Nothing:
    """An operation that is never carried out."""

    def start(self, context: Any, results: Any) -> None:
        raise AssertionError("carried out")


def teardown(*jobs: str, loses: str = "") -> Teardown:
    bucket = Action("bucket/bucket", Kind.DELETE, "bucket b", "and everything in it", Nothing(), loses=loses)
    return Teardown(Plan((bucket,)), (Running("train", jobs),))


def said(found: Teardown, **answers: Any) -> None:
    given: dict[str, Any] = {"with_data": False, "typed": "", "cancel_jobs": False, "yes": True} | answers
    agree(Project(project="mine"), found, **given)


def test_a_protected_project_is_refused_before_anything_is_asked() -> None:
    account = Account(NOWHERE, new_project(protect=True))
    for arguments in (["--yes"], ["--dry-run"], ["--stage", "image"]):
        with pytest.raises(Refused, match="is protected"):
            run(down, account, *arguments)


def test_running_jobs_stop_it_even_with_a_yes() -> None:
    said(teardown())
    with pytest.raises(Refused, match=r"train: 12 llama \(RUNNING\)") as caught:
        said(teardown("12 llama (RUNNING)"))
    assert "--cancel-jobs" in caught.value.hint
    said(teardown("12 llama (RUNNING)"), cancel_jobs=True)


def test_a_cluster_that_cannot_be_asked_for_its_jobs_is_no_obstacle() -> None:
    said(Teardown(Plan(), (Running("train", unknown="there is no head node"),)))


def test_what_is_on_lustre_only_goes_when_it_is_named() -> None:
    entries = (Entry("/lustre/my data", 2, 10), Entry("/lustre/runs/a-1", 1, 5))
    found = Teardown(Plan(), unsaved=Unsaved(entries))
    with pytest.raises(Refused, match=r"3 file\(s\) are on Lustre only: /lustre/my data, /lustre/runs/a-1") as caught:
        check_unsaved(found, ())
    assert "pcinfra down --discard '/lustre/my data' --discard /lustre/runs/a-1" in caught.value.hint
    with pytest.raises(Refused, match=r"1 file\(s\) are on Lustre only: /lustre/runs/a-1"):
        check_unsaved(found, ("/lustre/my data",))
    for discard in (("/lustre",), ("/lustre/my data/", "/lustre/runs")):
        check_unsaved(found, discard)
    check_unsaved(Teardown(Plan()), ())
    check_unsaved(Teardown(Plan(), unsaved=Unsaved(unknown="nobody could look")), ())


def test_what_could_not_be_listed_goes_only_with_everything() -> None:
    for entries in ((), (Entry("/lustre/a", 2, 10),)):
        found = Teardown(Plan(), unsaved=Unsaved(entries, partial=True))
        for discard in ((), ("/lustre/a",)):
            with pytest.raises(Refused, match="are on Lustre only") as caught:
                check_unsaved(found, discard)
            assert caught.value.hint.endswith("pcinfra down --discard /lustre")
        check_unsaved(found, ("/lustre",))


def test_data_goes_only_with_the_projects_name() -> None:
    full = teardown(loses="7 object(s)")
    with pytest.raises(Refused, match="needs the project's name"):
        said(full, with_data=True)
    with pytest.raises(Refused, match="'yes' is not the name"):
        said(full, with_data=True, typed="yes")
    said(full, with_data=True, typed="mine")
    said(teardown(), with_data=True)


def test_no_terminal_is_no_yes() -> None:
    with pytest.raises(Refused, match="--yes"):
        said(teardown(), yes=False)


def test_a_stage_that_there_is_not_is_named() -> None:
    with pytest.raises(UsageError, match="no stage 'buckets'"):
        run(down, Account(NOWHERE, new_project()), "--stage", "buckets")


# --- interfaces ----------------------------------------------------------------------------------------------------

USED = Interface("eni-1", "subnet-1", True, "AWS Lambda VPC ENI")
FREE = Interface("eni-2", "subnet-1", False, "")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_interface_in_use_is_waited_for_and_named_in_the_end() -> None:
    clock = Clock()
    judge: Callable[[Any], Any] = until_left(clock)
    assert judge((USED,)) is None
    clock.now = BOUND
    assert judge((USED,)) is None
    assert judge(()) == (None,)
    assert judge(None) == (None,)
    clock.now = BOUND + 1
    with pytest.raises(ResourceFailed, match=r"in use after 25 minutes.*eni-1 in subnet-1 \(AWS Lambda VPC ENI\)"):
        judge((USED,))


def test_an_interface_that_nobody_uses_is_not_waited_for() -> None:
    with pytest.raises(ResourceFailed, match=r"belong to nothing.*eni-2") as caught:
        until_left(Clock())((USED, FREE))
    assert "delete-network-interface --network-interface-id eni-2" in caught.value.hint


# --- the proof that Lustre is in S3 --------------------------------------------------------------------------------


class Fsx:
    """A cloud that takes one export task."""

    region = "us-east-1"
    account = "123456789012"

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        assert (operation, parameters["Paths"]) == ("CreateDataRepositoryTask", ["logs"])
        return {"DataRepositoryTask": {"TaskId": "task-1"}}

    def pages(self, service: str, operation: str, key: str, /, **parameters: Any) -> list[Any]:
        raise AssertionError(operation)


def task(state: str, total: int, done: int, failed: int) -> dict[str, Any]:
    return {"Lifecycle": state, "Status": {"TotalCount": total, "SucceededCount": done, "FailedCount": failed}}


def test_an_export_is_a_proof_only_if_every_file_went() -> None:
    pending = ExportPaths("fs-1", ("/logs",)).start(Doors(Fsx(), Subprocess(), NOWHERE), {})
    assert pending.judge(task("EXECUTING", 5, 1, 0)) is None
    assert pending.judge(task("SUCCEEDED", 5, 5, 0)) == (None,)
    assert pending.judge({"Lifecycle": "SUCCEEDED"}) == (None,)
    for bad in (task("SUCCEEDED", 5, 4, 1), task("SUCCEEDED", 5, 4, 0), task("FAILED", 5, 5, 0)):
        with pytest.raises(ResourceFailed, match=r"of 5 file\(s\) are in S3"):
            pending.judge(bad)
