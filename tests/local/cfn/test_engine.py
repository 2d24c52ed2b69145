"""What the engine promises to the process around it: parallel work, snapshots, and an end after a restart."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

import pcinfra.localcloud.cfn as engine
from tests.local.cfn.harness import Cloud, Json, log_group, parameter, resources, text


def backend() -> Any:
    from pcinfra.localcloud.cfn.backend import backends

    return backends["123456789012"]["us-east-1"]


def replace_backend(fresh: Any) -> None:
    from pcinfra.localcloud.cfn.backend import backends

    dict.__setitem__(backends["123456789012"], "us-east-1", fresh)


def restarted() -> Any:
    """The state as another process would find it."""
    fresh = pickle.loads(pickle.dumps(backend()))
    replace_backend(fresh)
    return fresh


def waiting(number: int) -> Json:
    """Wait conditions that do not wait for each other."""
    members: Json = {"Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}
    for index in range(number):
        members[f"Wait{index}"] = {
            "Type": "AWS::CloudFormation::WaitCondition",
            "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": 60},
        }
    return {"Resources": members}


def test_resources_that_need_nothing_of_each_other_are_made_at_once(cloud: Cloud) -> None:
    together = threading.Barrier(4, timeout=30)

    def meet(_: engine.WaitCondition) -> Mapping[str, str]:
        together.wait()
        return {}

    engine.install(engine.Hooks(wait_condition=meet))
    assert cloud.create(waiting(4))["StackStatus"] == "CREATE_COMPLETE", cloud.failures()


def test_a_resource_starts_the_moment_its_own_needs_are_met(cloud: Cloud) -> None:
    """A short chain ends while a slow resource beside it is still being made: there are no levels."""
    release = threading.Event()

    def hold(_: engine.WaitCondition) -> Mapping[str, str]:
        assert release.wait(30)
        return {}

    engine.install(engine.Hooks(wait_condition=hold))
    template = waiting(1)
    template["Resources"] |= {
        "A": parameter("a"),
        "B": parameter({"Ref": "A"}),
        "C": parameter({"Ref": "B"}),
    }
    cloud.start(template)
    while not any(status == "CREATE_COMPLETE" for status, _ in cloud.history("C")):
        time.sleep(0.01)
    assert all(status != "CREATE_COMPLETE" for status, _ in cloud.history("Wait0"))
    release.set()
    cloud.wait("stack")


def test_needs_are_made_first_and_deleted_last(cloud: Cloud) -> None:
    chain = {"P0": parameter("x")} | {f"P{i}": parameter({"Ref": f"P{i - 1}"}) for i in range(1, 6)}
    stack = cloud.create({"Resources": chain})
    cloud.delete()
    events = cloud.events(stack["StackId"])
    made = [e["LogicalResourceId"] for e in events if e["ResourceStatus"] == "CREATE_COMPLETE"]
    gone = [e["LogicalResourceId"] for e in events if e["ResourceStatus"] == "DELETE_COMPLETE"]
    assert made == [*sorted(chain), "stack"]
    assert gone == [*sorted(chain, reverse=True), "stack"]


def test_reading_never_waits_for_an_operation(cloud: Cloud) -> None:
    release = threading.Event()

    def hold(_: engine.WaitCondition) -> Mapping[str, str]:
        assert release.wait(30)
        return {}

    engine.install(engine.Hooks(wait_condition=hold))
    cloud.start(waiting(1))
    assert cloud.stack()["StackStatus"] == "CREATE_IN_PROGRESS"
    assert cloud.cfn.list_stacks()["StackSummaries"]
    release.set()
    assert cloud.wait("stack")["StackStatus"] == "CREATE_COMPLETE"


def test_every_change_moves_the_version_and_calls_the_hook(cloud: Cloud) -> None:
    calls: list[None] = []
    engine.install(engine.Hooks(mutated=lambda: calls.append(None)))
    before = backend().version
    cloud.create(resources(Logs=log_group()))
    made = backend().version
    assert made > before
    assert len(calls) == made - before
    cloud.stack()
    assert backend().version == made


def test_a_stack_survives_a_restart_and_goes_on_living(cloud: Cloud) -> None:
    stack = cloud.create(resources(Logs=log_group(LogGroupName="mine", RetentionInDays=7)))
    cloud.cfn.create_change_set(
        StackName="stack",
        ChangeSetName="changes",
        TemplateBody=text(resources(Logs=log_group(LogGroupName="mine", RetentionInDays=30))),
    )
    events = cloud.events()

    assert restarted().resume() == []
    assert cloud.stack() == {**stack}
    assert cloud.events() == events
    cloud.cfn.execute_change_set(StackName="stack", ChangeSetName="changes")
    assert cloud.wait("stack")["StackStatus"] == "UPDATE_COMPLETE"
    assert cloud.delete()["StackStatus"] == "DELETE_COMPLETE"
    assert cloud.inventory()["log groups"] == []


class Interrupted:
    """A stack whose process ends while its wait condition waits; the old process's threads are let go afterwards."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.release = threading.Event()
        engine.install(engine.Hooks(wait_condition=self._hold))

    def _hold(self, condition: engine.WaitCondition) -> Mapping[str, str]:
        self.waiting.set()
        while not self.release.wait(0.01) and not condition.cancelled():
            pass
        raise RuntimeError("the old process is gone")

    def cut(self) -> tuple[Any, Any]:
        """Snapshot in the middle, and go on from it; returns the old and the new backend."""
        assert self.waiting.wait(30)
        old = backend()
        return old, restarted()

    def let_go(self, old: Any) -> None:
        """End the old process's threads; what they still do must not reach the account."""
        self.release.set()
        while any(state.status.endswith("_IN_PROGRESS") for state in old.stacks.values()):
            time.sleep(0.01)


def finish(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_a_creation_cut_off_by_a_restart_is_rolled_back(cloud: Cloud) -> None:
    cut = Interrupted()
    template = waiting(1)
    template["Resources"]["Logs"] = log_group(LogGroupName="mine")
    cloud.start(template)
    old, new = cut.cut()
    finish(new.resume())

    assert cloud.stack()["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "Internal Failure" in dict(cloud.history("stack"))["ROLLBACK_IN_PROGRESS"]
    assert cloud.inventory()["log groups"] == []
    cut.let_go(old)


def test_an_update_cut_off_by_a_restart_is_taken_back(cloud: Cloud) -> None:
    cloud.create(resources(P=parameter("old", Name="/p")))
    cut = Interrupted()
    template = waiting(1)
    template["Resources"] |= {"P": parameter("new", Name="/p"), "Logs": log_group(LogGroupName="mine")}
    cloud.cfn.update_stack(StackName="stack", TemplateBody=text(template))
    old, new = cut.cut()
    finish(new.resume())

    assert cloud.stack()["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert cloud.client("ssm").get_parameter(Name="/p")["Parameter"]["Value"] == "old"
    assert cloud.inventory()["log groups"] == []
    cut.let_go(old)


@pytest.mark.parametrize(
    ("status", "final"),
    [("DELETE_IN_PROGRESS", "DELETE_COMPLETE"), ("ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE")],
)
def test_deletions_and_rollbacks_begin_again(cloud: Cloud, status: str, final: str) -> None:
    stack = cloud.create(resources(A=log_group(LogGroupName="a"), B=log_group(LogGroupName="b")))
    cloud.client("logs").delete_log_group(logGroupName="a")
    new = restarted()
    new.stacks[stack["StackId"]].status = status
    new.stacks[stack["StackId"]].resources["A"].status = "DELETE_IN_PROGRESS"
    finish(new.resume())
    assert cloud.stack(stack["StackId"])["StackStatus"] == final
    assert cloud.inventory()["log groups"] == []


def test_a_snapshot_can_be_taken_at_any_moment(cloud: Cloud) -> None:
    names = [cloud.start({"Resources": {f"P{i}": parameter(str(i)) for i in range(30)}}, f"s{n}") for n in range(3)]
    while any(cloud.stack(name)["StackStatus"] == "CREATE_IN_PROGRESS" for name in names):
        copy = pickle.loads(pickle.dumps(backend()))
        assert set(copy.stacks) == set(names)
    assert all(cloud.stack(name)["StackStatus"] == "CREATE_COMPLETE" for name in names)


def test_two_regions_do_not_see_each_other(cloud: Cloud) -> None:
    cloud.create(resources(Logs=log_group(LogGroupName="mine")))
    elsewhere = cloud.client("cloudformation", "eu-west-1")
    assert elsewhere.describe_stacks()["Stacks"] == []
    elsewhere.create_stack(StackName="stack", TemplateBody=text(resources(Logs=log_group(LogGroupName="mine"))))
    elsewhere.get_waiter("stack_create_complete").wait(StackName="stack", WaiterConfig={"Delay": 0, "MaxAttempts": 600})
    logs = cloud.client("logs", "eu-west-1")
    assert [row["logGroupName"] for row in logs.describe_log_groups()["logGroups"]] == ["mine"]
