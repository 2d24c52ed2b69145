"""Plans of imports and exports, and what becomes of automatic export when an export does not end well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from pcinfra.cli.data import run_export
from pcinfra.cli.session import Session
from pcinfra.engine import Plan
from pcinfra.errors import Conflict, Interrupted, PlanFailed, UsageError
from pcinfra.project import Project
from pcinfra.stages import data_tasks
from pcinfra.stages.association_operations import EXPORT_POLICY, IMPORT_POLICY, Found, PauseExport, UpdateAssociation
from pcinfra.stages.associations import AssociationFacts

PROJECT = Project()
EXPORTS = {"/data": (), "/checkpoints": ("NEW", "CHANGED"), "/logs": ("NEW",), "/results": ()}


def found(path: str, exports: tuple[str, ...]) -> Found:
    policies = {IMPORT_POLICY: ("NEW",)} | ({EXPORT_POLICY: exports} if exports else {})
    return Found(f"dra{path}", path, f"s3://bucket{path}/", "AVAILABLE", policies, "", True)


FACTS = AssociationFacts("fs-1", {path: found(path, exports) for path, exports in EXPORTS.items()})


def areas(*wanted: str, exporting: bool = True) -> list[data_tasks.Area]:
    return data_tasks.areas(PROJECT, FACTS, wanted, exporting)


def test_areas_by_name_by_directory_and_by_default() -> None:
    assert [(a.path, a.s3) for a in areas("data", "/lustre/logs/run7", "results/x/")] == [
        ("/data", "s3://bucket/data/"), ("/logs/run7", "s3://bucket/logs/run7/"), ("/results/x", "s3://bucket/results/x/"),
    ]  # fmt: skip
    assert [area.path for area in areas()] == ["/checkpoints", "/logs", "/results"]
    assert [area.path for area in areas(exporting=False)] == list(EXPORTS)


@pytest.mark.parametrize("name", ["/lustre", "/lustre/data2", "/scratch", "dat", ""])
def test_a_directory_that_no_association_covers(name: str) -> None:
    with pytest.raises(UsageError, match="no association covers it"):
        areas(name)


def test_no_association_at_all() -> None:
    with pytest.raises(UsageError, match="there is no association"):
        data_tasks.areas(PROJECT, AssociationFacts(), (), exporting=True)


def test_export_switches_automatic_export_off_one_at_a_time_and_on_again() -> None:
    steps = data_tasks.export(PROJECT, FACTS, areas())
    pauses = [a for a in steps.run.actions if isinstance(a.operation, PauseExport)]
    assert [a.operation.found.path for a in pauses if isinstance(a.operation, PauseExport)] == ["/checkpoints", "/logs"]
    assert pauses[1].after == {pauses[0].id}
    assert steps.run.actions[-1].after == {pauses[1].id}
    resumed = {}
    for action in steps.resume.actions:
        assert isinstance(action.operation, UpdateAssociation)
        resumed[action.operation.wanted.path] = dict(action.operation.wanted.policies)[EXPORT_POLICY]
    # As pcinfra.yaml says, also where a killed export has left it off (results).
    assert resumed == {
        "/checkpoints": ("NEW", "CHANGED"), "/logs": ("NEW", "CHANGED", "DELETED"), "/results": ("NEW", "CHANGED"),
    }  # fmt: skip


def test_export_of_what_does_not_export_by_itself_changes_no_association() -> None:
    steps = data_tasks.export(PROJECT, FACTS, areas("data"))
    assert [action.id for action in steps.run.actions] == [data_tasks.TASK]
    assert steps.resume == Plan()


@dataclass
class Recording(Session):
    """Carries nothing out; fails at the Plan that has ``fails_at``."""

    plans: list[list[str]] = field(default_factory=list)
    fails_at: str = ""
    failure: Exception = field(default_factory=Exception)

    def run(self, plan: Plan, results: Mapping[str, Any] | None = None, limit: float | None = None) -> dict[str, Any]:
        ids = [action.id for action in plan.actions]
        self.plans.append(ids)
        if self.fails_at in ids:
            raise self.failure
        return {}


def recording(**settings: Any) -> Recording:
    session = Recording(**settings)
    session.__dict__["project"] = PROJECT
    return session


@pytest.mark.parametrize("failure", [PlanFailed("no"), Interrupted("stop"), KeyboardInterrupt()])
def test_automatic_export_comes_back_whatever_happens(failure: Exception) -> None:
    session = recording(fails_at=data_tasks.TASK, failure=failure)
    with pytest.raises(type(failure)):
        run_export(session, FACTS, areas("logs"), 60)
    assert session.plans[-1] == ["data/resume-dra/logs"]
    cancelled = ["data/cancel", "data/wait"] in session.plans
    assert cancelled is isinstance(failure, Interrupted)


def test_automatic_export_comes_back_even_if_cancelling_fails() -> None:
    session = recording(fails_at=data_tasks.TASK, failure=Interrupted("stop"))
    run = session.run

    def fail(plan: Plan, *args: Any, **kwargs: Any) -> dict[str, Any]:
        answer = run(plan, *args, **kwargs)
        if plan.actions[0].id == "data/cancel":
            raise PlanFailed("no")
        return answer

    session.run = fail  # type: ignore[method-assign]
    with pytest.raises(PlanFailed):
        run_export(session, FACTS, areas("logs"), 60)
    assert session.plans[-1] == ["data/resume-dra/logs"]


@dataclass
class Tasks:
    """FSx and CloudWatch, as far as tasks and metrics go."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    points: list[dict[str, Any]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    ended: bool = False
    region: str = "us-east-1"
    account: str = "123456789012"

    def pages(self, service: str, operation: str, key: str, /, **parameters: Any) -> list[Any]:
        return self.rows if service == "fsx" else self.metrics

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        if operation == "CancelDataRepositoryTask":
            self.cancelled.append(parameters["TaskId"])
            if self.ended:
                raise Conflict("ended", code="DataRepositoryTaskEnded")
            return {}
        assert operation == "GetMetricStatistics"
        return {"Datapoints": self.points}


def row(name: str, state: str, paths: list[str], kind: str = data_tasks.EXPORT, hour: int = 1) -> dict[str, Any]:
    when = datetime(2026, 1, 1, hour, tzinfo=UTC)
    return {"TaskId": name, "Lifecycle": state, "Paths": paths, "Type": kind, "CreationTime": when}


@pytest.mark.parametrize("ended", [False, True])
def test_only_ones_own_running_export_is_cancelled(ended: bool) -> None:
    from pcinfra.aws import Target
    from pcinfra.doors import Doors
    from pcinfra.shell import Subprocess

    cloud = Tasks(ended=ended, rows=[
        row("mine", "EXECUTING", ["logs"]), row("done", "SUCCEEDED", ["logs"]), row("other", "EXECUTING", ["data"]),
        row("import", "EXECUTING", ["logs"], data_tasks.IMPORT),
    ])  # fmt: skip
    doors = Doors(cloud, Subprocess(), Target("us-east-1"))
    data_tasks.CancelExport("fs-1", ("/logs",)).start(doors, {})
    assert cloud.cancelled == ["mine"]


def test_tasks_come_the_newest_first_with_their_counts() -> None:
    newer = row("b", "FAILED", [], hour=2) | {
        "Status": {"TotalCount": 5, "SucceededCount": 3, "FailedCount": 2}, "FailureDetails": {"Message": "full"},
    }  # fmt: skip
    first, second = data_tasks.tasks(Tasks(rows=[row("a", "PENDING", ["x"]), newer]), "fs-1")
    assert (first.id, first.total, first.succeeded, first.failed, first.failure) == ("b", 5, 3, 2, "full")
    assert (second.id, second.total, second.paths) == ("a", 0, ("x",))


def test_the_oldest_waiting_change() -> None:
    assert data_tasks.oldest_waiting(Tasks(), "fs-1") is None
    metrics = [
        {"Dimensions": [{"Name": "FileSystemId", "Value": "fs-1"}, {"Name": "Publisher", "Value": "AutoExport"}]}
    ]
    assert data_tasks.oldest_waiting(Tasks(metrics=metrics), "fs-1") is None
    points = [{"Timestamp": datetime(2026, 1, 1, n, tzinfo=UTC), "Maximum": 100.0 * n} for n in (3, 1, 2)]
    assert data_tasks.oldest_waiting(Tasks(metrics=metrics, points=points), "fs-1") == 300.0
