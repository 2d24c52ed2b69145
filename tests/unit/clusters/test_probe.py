"""How far a cluster has come, and what its first failure was."""

from __future__ import annotations

from typing import Any

import pytest

from pcinfra.aws import Target
from pcinfra.cloudformation import until_ready
from pcinfra.clusters.probe import ClusterProbe, ClusterState, Phase, failure_cause, until_phase
from pcinfra.doors import Doors
from pcinfra.errors import ResourceFailed
from tests.unit.clusters.fakes import FakeCloud, FakeShell, answer, event, no_such_stack, stack

WAIT = "AWS::CloudFormation::WaitCondition"
NESTED = "AWS::CloudFormation::Stack"


def doors(cloud: FakeCloud) -> Doors:
    return Doors(cloud, FakeShell(), Target("us-east-1"))


def rows(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {
        "StackResources": [
            {"ResourceType": kind, "ResourceStatus": status, "LogicalResourceId": "Thing"} for kind, status in pairs
        ]
    }


def reservations(*names: str) -> dict[str, Any]:
    instances = [{"Tags": [{"Key": "parallelcluster:cluster-name", "Value": name}]} for name in names]
    return {"Reservations": [{"Instances": instances}]}


MADE = (("AWS::IAM::Role", "CREATE_COMPLETE"), ("AWS::Logs::LogGroup", "CREATE_COMPLETE"))
HEAD = ("AWS::EC2::Instance", "CREATE_IN_PROGRESS")
WAITING = (WAIT, "CREATE_IN_PROGRESS")


@pytest.mark.parametrize(
    ("status", "resources", "nodes", "text", "phase"),
    [
        ("CREATE_IN_PROGRESS", MADE, (), "2 resources made", Phase.RESOURCES),
        ("CREATE_IN_PROGRESS", (*MADE, HEAD), (), "2 resources made; Thing", Phase.RESOURCES),
        ("CREATE_IN_PROGRESS", (HEAD, WAITING), ("other",), "head node configures itself", Phase.HEAD_NODE),
        ("CREATE_IN_PROGRESS", (HEAD, WAITING), ("train", "train"), "2 compute nodes run", Phase.STATIC_NODES),
        ("UPDATE_IN_PROGRESS", (HEAD, WAITING), ("train",), "1 compute nodes run", Phase.RESOURCES),
        ("DELETE_IN_PROGRESS", (*MADE, (WAIT, "DELETE_COMPLETE")), (), "2 resources left", Phase.RESOURCES),
    ],
)
def test_the_phase_is_told_in_words(
    status: str, resources: Any, nodes: tuple[str, ...], text: str, phase: Phase
) -> None:
    cloud = FakeCloud(
        {
            "DescribeStacks": {"Stacks": [answer("train", status)]},
            "DescribeStackResources": rows(*resources),
            "DescribeInstances": reservations(*nodes),
        }
    )
    state = ClusterProbe().read(doors(cloud), frozenset({"arn:train"}))["arn:train"]
    assert (state.latest, state.phase) == (text, phase)


@pytest.mark.parametrize(("reached", "wanted", "done"), [(0, 1, False), (1, 1, True), (2, 1, True), (2, 3, False)])
def test_a_phase_ends_when_it_or_a_later_one_is_reached(reached: int, wanted: int, done: bool) -> None:
    judge = until_phase(Phase(wanted), until_ready("train", ""))
    assert (judge(ClusterState(stack(status="CREATE_IN_PROGRESS"), phase=Phase(reached))) is not None) == done
    assert judge(ClusterState(stack(status="CREATE_COMPLETE"), phase=Phase(reached))) is not None


def test_a_creation_that_fails_fails_in_whatever_phase_it_is() -> None:
    judge = until_phase(Phase.HEAD_NODE, until_ready("train", ""))
    with pytest.raises(ResourceFailed, match="no capacity"):
        judge(ClusterState(stack(status="CREATE_FAILED"), "no capacity", phase=Phase.RESOURCES))


def test_many_clusters_are_read_in_one_listing() -> None:
    cloud = FakeCloud({"DescribeStacks": {"Stacks": [answer(n) for n in ("a", "b", "c", "elsewhere")]}})
    states = ClusterProbe().read(doors(cloud), frozenset({"arn:a", "arn:b", "arn:c", "arn:gone"}))
    assert set(states) == {"arn:a", "arn:b", "arn:c"}
    assert cloud.calls == ["DescribeStacks"]


def test_of_a_crowd_only_the_listing_is_asked_for() -> None:
    names = "abcdef"
    cloud = FakeCloud({"DescribeStacks": {"Stacks": [answer(n, "CREATE_IN_PROGRESS") for n in names]}})
    states = ClusterProbe().brief.read(doors(cloud), frozenset(f"arn:{n}" for n in names))
    assert {state.phase for state in states.values()} == {Phase.RESOURCES}
    assert cloud.calls == ["DescribeStacks"]


def test_compute_nodes_of_many_clusters_are_counted_in_one_call() -> None:
    cloud = FakeCloud(
        {
            "DescribeStacks": {"Stacks": [answer("a", "CREATE_IN_PROGRESS"), answer("b", "CREATE_IN_PROGRESS")]},
            "DescribeStackResources": rows(HEAD, (WAIT, "CREATE_IN_PROGRESS")),
            "DescribeInstances": reservations("a", "b", "b"),
        }
    )
    states = ClusterProbe().read(doors(cloud), frozenset({"arn:a", "arn:b"}))
    assert [states[key].nodes for key in ("arn:a", "arn:b")] == [1, 2]
    assert cloud.calls.count("DescribeInstances") == 1


@pytest.mark.parametrize("gone", [no_such_stack, {"Stacks": [answer("train", "DELETE_COMPLETE")]}])
def test_a_deleted_cluster_is_left_out(gone: Any) -> None:
    assert ClusterProbe().read(doors(FakeCloud({"DescribeStacks": gone})), frozenset({"arn:train"})) == {}


def test_the_cause_is_the_first_failure_and_not_what_it_cancelled() -> None:
    events = [
        event("train", "CREATE_FAILED", "The following resource(s) failed to create: [Wait].", NESTED, "arn:train"),
        event("Alarm", "CREATE_FAILED", "Resource creation cancelled"),
        event("Wait", "CREATE_FAILED", "Failed to execute OnNodeConfigured script 1, return code: 1.", WAIT),
        event("train", "CREATE_IN_PROGRESS", "User Initiated", NESTED, "arn:train"),
    ]
    cause = failure_cause(FakeCloud({"DescribeStackEvents": {"StackEvents": events}}), stack(status="CREATE_FAILED"))
    assert cause == f"Wait ({WAIT}): Failed to execute OnNodeConfigured script 1, return code: 1."


def test_the_cause_is_looked_for_in_the_nested_stack_that_failed() -> None:
    inner = [event("Template", "CREATE_FAILED", "Invalid instance type", "AWS::EC2::LaunchTemplate")]
    outer = [
        event("Queues", "CREATE_FAILED", "Embedded stack arn:queues was not created", NESTED, "arn:queues"),
        event("train", "CREATE_IN_PROGRESS", "User Initiated", NESTED, "arn:train"),
    ]
    cloud = FakeCloud(
        {"DescribeStackEvents": lambda p: {"StackEvents": inner if "queues" in p["StackName"] else outer}}
    )
    assert (
        failure_cause(cloud, stack(status="CREATE_FAILED"))
        == "Template (AWS::EC2::LaunchTemplate): Invalid instance type"
    )


def test_a_failed_cluster_carries_its_cause() -> None:
    events = [event("Role", "DELETE_FAILED", "Cannot delete entity, must detach all policies first", "AWS::IAM::Role")]
    cloud = FakeCloud(
        {
            "DescribeStacks": {"Stacks": [answer("train", "DELETE_FAILED")]},
            "DescribeStackEvents": {"StackEvents": events},
        }
    )
    state = ClusterProbe().read(doors(cloud), frozenset({"arn:train"}))["arn:train"]
    assert "must detach" in state.cause
