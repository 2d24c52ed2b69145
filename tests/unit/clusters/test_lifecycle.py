"""What is done for a cluster in each state that it can be in."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pcinfra import errors
from pcinfra.aws import Target
from pcinfra.clusters.facts import ClusterFacts
from pcinfra.clusters.lifecycle import CreateCluster, DeleteCluster, WaitForCluster, create_plan, delete_actions
from pcinfra.doors import Doors
from pcinfra.engine import Executor, Kind, Pending, Plan, Threads
from tests.unit.clusters.fakes import FakeCloud, FakeShell, answer, event, no_such_stack, stack

CONFIG = "Region: us-east-1\nMaxCount: 2\n"
OURS = {"parallelcluster:cluster-name": "train", "pcinfra:project": "training"}
EXISTS = (1, {"message": "Bad Request: Cluster train already exists."})
CREATED = (0, {"cluster": {"cloudformationStackArn": "arn:train"}})


def facts(status: str, config: str = CONFIG, **values: Any) -> ClusterFacts:
    return ClusterFacts("train", stack(status=status, **values), config)


def plan(given: ClusterFacts) -> Plan:
    return create_plan(given, "training", CONFIG)


def run(given: Plan, cloud: FakeCloud, shell: FakeShell) -> dict[str, Any]:
    workers = Threads(4)
    try:
        return Executor(Doors(cloud, shell, Target("us-east-1")), workers).run(given)
    finally:
        workers.close()


def test_a_cluster_that_does_not_exist_is_created() -> None:
    making, *steps = plan(ClusterFacts("train")).actions
    assert (making.id, making.kind, making.stage) == ("cluster/train/resources", Kind.CREATE, "cluster")
    assert [step.id for step in steps] == ["cluster/train", "cluster/train/fleet"]
    assert all(step.kind is Kind.RUN for step in steps)


def test_a_creation_with_static_nodes_has_a_phase_more() -> None:
    queue = {"Name": "q", "ComputeResources": [{"Name": "r", "InstanceType": "t", "MinCount": 2}]}
    found = create_plan(ClusterFacts("train"), "training", yaml.safe_dump({"Scheduling": {"SlurmQueues": [queue]}}))
    ids = [action.id.removeprefix("cluster/train") for action in found.actions]
    assert ids == ["/resources", "/head-node", "", "/fleet"]
    assert found.critical_path() >= 900, "as long as such a creation usually takes"


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_cluster_that_runs_with_this_configuration_is_left_alone(status: str) -> None:
    found = plan(facts(status, "MaxCount: 2 # two\nRegion: us-east-1\n"))
    assert found.actions == ()
    assert "nothing to do" in found.notes[0]


@pytest.mark.parametrize(
    ("before", "hint"),
    [("Region: us-east-1\nMaxCount: 4\n", "pcinfra cluster update train"), ("", "pcinfra cluster delete train")],
)
def test_a_cluster_that_runs_with_another_configuration_is_refused_with_the_difference(before: str, hint: str) -> None:
    with pytest.raises(errors.Refused) as caught:
        plan(facts("CREATE_COMPLETE", before))
    assert "MaxCount: " in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize("status", ["CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"])
def test_what_is_under_way_is_waited_for(status: str) -> None:
    [action] = plan(facts(status)).actions
    assert action.kind is Kind.RUN


@pytest.mark.parametrize(
    "status",
    [
        "CREATE_FAILED",
        "ROLLBACK_COMPLETE",
        "ROLLBACK_FAILED",
        "DELETE_FAILED",
        "DELETE_IN_PROGRESS",
        "REVIEW_IN_PROGRESS",
    ],
)
def test_what_is_left_of_a_failure_is_deleted_before_it_is_created(status: str) -> None:
    removal, creation, *_ = plan(facts(status)).actions
    assert (removal.kind, creation.kind) == (Kind.DELETE, Kind.CREATE)
    assert creation.after == {removal.id}
    assert status in removal.why
    assert not plan(facts(status)).losses


@pytest.mark.parametrize("status", ["UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED"])
def test_a_stuck_update_is_refused_with_its_reason(status: str) -> None:
    with pytest.raises(errors.Refused, match="no capacity"):
        plan(facts(status, reason="no capacity"))


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "CREATE_FAILED", "DELETE_FAILED"])
@pytest.mark.parametrize(
    ("tags", "whose"),
    [({}, "a stack of somebody else"), ({**OURS, "pcinfra:project": "other"}, "a cluster of project other"),
     ({"parallelcluster:cluster-name": "train"}, "a cluster of somebody else")],
)  # fmt: skip
def test_what_is_not_ours_is_never_touched(status: str, tags: dict[str, str], whose: str) -> None:
    with pytest.raises(errors.Refused, match=whose):
        plan(facts(status, tags=tags))


def test_creating_waits_for_the_stack_and_returns_it() -> None:
    fleet = {"Item": {"Data": {"M": {"status": {"S": "RUNNING"}}}}}
    cloud = FakeCloud({"DescribeStacks": {"Stacks": [answer("train", **OURS)]}, "GetItem": fleet})
    results = run(plan(ClusterFacts("train")), cloud, FakeShell([CREATED]))
    assert results["cluster/train"].status == "CREATE_COMPLETE"
    assert results["cluster/train/fleet"] == "RUNNING"


def test_a_phase_that_is_over_is_not_waited_for_and_no_answer_is_borne() -> None:
    ready = FakeCloud({"DescribeStacks": {"Stacks": [answer("train", **OURS)]}})
    wait = WaitForCluster("train", "arn:train")
    assert wait.start(Doors(ready, FakeShell(), Target("us-east-1")), {}).status == "CREATE_COMPLETE"

    def silent(_: object) -> dict[str, Any]:
        raise errors.Unreachable("throttled")

    pending = wait.start(Doors(FakeCloud({"DescribeStacks": silent}), FakeShell(), Target("us-east-1")), {})
    assert isinstance(pending, Pending)


def test_a_creation_that_fails_says_why_and_what_to_type() -> None:
    events = [event("Wait", "CREATE_FAILED", "Failed to execute OnNodeConfigured script 1", "T")]
    cloud = FakeCloud(
        {
            "DescribeStacks": {"Stacks": [answer("train", "CREATE_FAILED", **OURS)]},
            "DescribeStackEvents": {"StackEvents": events},
        }
    )
    with pytest.raises(errors.PlanFailed) as caught:
        run(plan(ClusterFacts("train")), cloud, FakeShell([CREATED]))
    assert "Failed to execute OnNodeConfigured script 1" in caught.value.why
    assert "pcinfra cluster create train" in caught.value.hint


def test_two_creations_at_once_end_with_one_cluster() -> None:
    cloud = FakeCloud(
        {
            "DescribeStacks": {"Stacks": [stored()]},
            "GetObject": lambda _: {"Body": Body(CONFIG)},
        }
    )
    doors = Doors(cloud, FakeShell([EXISTS]), Target("us-east-1"))
    pending = CreateCluster("train", "training", CONFIG).start(doors, {})
    assert pending.key == "arn:train"


@pytest.mark.parametrize(("project", "config"), [("other", CONFIG), ("training", "Region: elsewhere\n")])
def test_a_name_taken_meanwhile_by_something_else_is_refused(project: str, config: str) -> None:
    cloud = FakeCloud({"DescribeStacks": {"Stacks": [stored()]}, "GetObject": lambda _: {"Body": Body(CONFIG)}})
    doors = Doors(cloud, FakeShell([EXISTS]), Target("us-east-1"))
    with pytest.raises(errors.Refused):
        CreateCluster("train", project, config).start(doors, {})


def test_every_cluster_is_deleted_whatever_its_state_and_says_what_is_lost() -> None:
    actions = delete_actions([stack("a"), stack("b", "DELETE_FAILED")], after=["jobs/stop"])
    assert [action.id for action in actions] == ["cluster/a/delete", "cluster/b/delete"]
    assert all(action.loses and action.after == {"jobs/stop"} for action in actions)


def test_deleting_waits_until_it_is_gone() -> None:
    shell = FakeShell([(0, {"cluster": {}})])
    assert run(Plan(tuple(delete_actions([stack()]))), FakeCloud({"DescribeStacks": no_such_stack}), shell) == {
        "cluster/train/delete": None
    }


def test_deleting_what_is_gone_is_done() -> None:
    shell = FakeShell([(1, {"message": "Cluster 'train' does not exist or belongs to …"})])
    assert DeleteCluster("train", "arn:train").start(Doors(FakeCloud(), shell, Target("us-east-1")), {}) is None


def test_a_deletion_that_fails_names_what_holds_it() -> None:
    events = [event("Role", "DELETE_FAILED", "must detach all policies first", "AWS::IAM::Role")]
    cloud = FakeCloud(
        {
            "DescribeStacks": {"Stacks": [answer("train", "DELETE_FAILED", **OURS)]},
            "DescribeStackEvents": {"StackEvents": events},
        }
    )
    pending = DeleteCluster("train", "arn:train").start(
        Doors(cloud, FakeShell([(0, {"cluster": {}})]), Target("us-east-1")), {}
    )
    assert isinstance(pending, Pending)
    state = pending.probe.read(Doors(cloud, FakeShell(), Target("us-east-1")), frozenset({"arn:train"}))["arn:train"]
    with pytest.raises(errors.ResourceFailed, match="must detach all policies first"):
        pending.judge(state)


class Body:
    """The body of an S3 object."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self) -> bytes:
        return self.text.encode()


def stored() -> dict[str, Any]:
    parameters = [
        {"ParameterKey": "ResourcesS3Bucket", "ParameterValue": "b"},
        {"ParameterKey": "ArtifactS3RootDirectory", "ParameterValue": "d"},
    ]
    return {**answer("train", "CREATE_IN_PROGRESS", **OURS), "Parameters": parameters}
