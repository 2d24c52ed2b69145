"""What a change needs, by pcluster's own policies, and the steps in which it is made."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from pcinfra import errors
from pcinfra.aws import Target
from pcinfra.cloudformation import Stack
from pcinfra.clusters.facts import ClusterFacts
from pcinfra.clusters.fleet import Fleet, fleet_of, until
from pcinfra.clusters.inputs import ClusterInputs
from pcinfra.clusters.logins import CountToZero, until_none
from pcinfra.clusters.pcluster import Pcluster
from pcinfra.clusters.policies import CIRCUMSTANCES, Needs, Verdict, verdicts
from pcinfra.clusters.render import render
from pcinfra.clusters.update import IN_WORDS, Update, check_updatable, strategy_of, update_plan
from pcinfra.engine import Kind
from pcinfra.jobs.slurm.pause import pausing, resuming
from pcinfra.jobs.slurm.view import Job
from pcinfra.project import Cluster
from pcinfra.shell import Subprocess
from tests.unit.clusters.fakes import FakeCloud, FakeShell, stack

JOB = Job("7", "gpu", "RUNNING", "ubuntu", "2", "gpu-st-p5-[1-2]", "2:00:00", "llama")


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of pcluster's policies look for the region in the environment."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture(scope="module")
def config(inputs: ClusterInputs) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(render("train", Cluster(), inputs))
    return loaded


def asked(before: dict[str, Any], change: Callable[[dict[str, Any]], Any], login: bool = False) -> list[Verdict]:
    after = copy.deepcopy(before)
    change(after)
    return list(verdicts("train", before, after, login=login))


def queue(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["Scheduling"]["SlurmQueues"][0]
    return found


def resource(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = queue(config)["ComputeResources"][0]
    return found


NEW_QUEUE = {"Name": "cpu", "ComputeResources": [{"Name": "c", "InstanceType": "c7i.large"}]}


@pytest.mark.parametrize(
    ("change", "needs"),
    [
        (lambda c: resource(c).update(MaxCount=6), Needs.NOTHING),
        (lambda c: resource(c).update(MaxCount=1, MinCount=1), Needs.STOPPED_FLEET),
        (lambda c: c["Scheduling"]["SlurmQueues"].append(NEW_QUEUE), Needs.NOTHING),
        (lambda c: queue(c)["CustomActions"]["OnNodeConfigured"].update(Args=["--x"]), Needs.DRAINED_NODES),
        (lambda c: c["Scheduling"]["SlurmSettings"].update(ScaledownIdletime=99), Needs.STOPPED_FLEET),
        (lambda c: c["HeadNode"].update(InstanceType="m5.24xlarge"), Needs.NEW_CLUSTER),
        (lambda c: c.update(Region="eu-west-1"), Needs.NEW_CLUSTER),
        (lambda c: c["SharedStorage"].pop(0), Needs.NEW_CLUSTER),
        (lambda c: c["Tags"].append({"Key": "a", "Value": "b"}), Needs.NOTHING),
    ],
)
def test_pclusters_policies_tell_what_a_change_needs(
    config: dict[str, Any], change: Callable[[dict[str, Any]], Any], needs: Needs
) -> None:
    found = asked(config, change)
    assert max(found, key=lambda v: list(Needs).index(v.needs)).needs is needs, found
    assert all(bool(v.reason) == (v.needs is not Needs.NOTHING) for v in found), "the reason is pcluster's own"


def test_what_is_the_same_needs_nothing(config: dict[str, Any]) -> None:
    assert asked(config, lambda _: None) == []


def test_without_a_strategy_the_fleet_must_stop_where_it_would_be_drained(config: dict[str, Any]) -> None:
    plain = copy.deepcopy(config)
    del plain["Scheduling"]["SlurmSettings"]["QueueUpdateStrategy"]
    [found] = asked(plain, lambda c: queue(c)["CustomActions"]["OnNodeConfigured"].update(Args=["--x"]))
    assert found.needs is Needs.STOPPED_FLEET


def test_login_nodes_count_only_where_they_run(config: dict[str, Any]) -> None:
    pool = {"Name": "login", "InstanceType": "c7i.large", "Count": 1, "Networking": {"SubnetIds": ["subnet-1"]}}
    with_pool = {**copy.deepcopy(config), "LoginNodes": {"Pools": [pool]}}

    def change(c: dict[str, Any]) -> None:
        c["LoginNodes"]["Pools"][0]["InstanceType"] = "c7i.xlarge"

    needs = {login: asked(with_pool, change, login)[0].needs for login in (True, False)}
    assert needs == {True: Needs.STOPPED_LOGIN_NODES, False: Needs.NOTHING}


def test_every_circumstance_has_words_and_the_program_says_the_same_as_the_library(config: dict[str, Any]) -> None:
    assert set(IN_WORDS) == set(Needs)
    assert [each.needs for each in CIRCUMSTANCES] == list(Needs)[:-1]
    after = copy.deepcopy(config)
    resource(after)["MaxCount"] = 1
    program = Pcluster(Subprocess(), Target("us-east-1"))
    told = program.verdicts("train", yaml.safe_dump(config), yaml.safe_dump(after))
    assert told == tuple(verdicts("train", config, after, login=False))


# --- the plan -------------------------------------------------------------------------------------------------------


def verdict(needs: Needs) -> Verdict:
    return Verdict("Scheduling.X", "1", "2", "POLICY", needs, "pcluster's reason")


def plan_of(
    needs: Needs, fleet: Fleet = Fleet.RUNNING, strategy: str = "DRAIN", kill: bool = False, config: str = "Region: x"
) -> Any:
    found = Update((verdict(Needs.NOTHING), verdict(needs)), fleet, strategy)
    pause = pausing("train", [JOB], kill=kill)
    facts = ClusterFacts("train", stack(), config)
    return update_plan(facts, "Region: y\n", found, pause, resuming("train", frozenset()))


@pytest.mark.parametrize("needs", [Needs.NOTHING, Needs.DRAINED_NODES])
def test_a_change_that_needs_no_stop_is_one_step_and_ends_no_job(needs: Needs) -> None:
    plan = plan_of(needs)
    assert [action.id for action in plan.actions] == ["cluster/train"]
    assert plan.losses == ()
    assert len(plan.actions[0].changes) == 2


def test_a_change_that_needs_a_stop_is_made_in_order() -> None:
    plan = plan_of(Needs.STOPPED_FLEET)
    ids = [action.id.removeprefix("cluster/train") for action in plan.actions]
    assert ids == ["/hold", "/jobs", "/stop", "", "/start", "/release"]
    for before, after in zip(plan.actions, plan.actions[1:], strict=False):
        assert plan.waits_for(after.id) == {before.id}
    assert plan.losses == (), "it waits for the jobs"
    assert "llama" in plan.actions[1].why
    assert plan.actions[1].seconds == 7200, "as long as the job's limit allows"


def test_jobs_are_ended_only_when_asked_for_and_the_plan_says_so() -> None:
    [loss] = plan_of(Needs.STOPPED_FLEET, kill=True).losses
    assert loss.id == "cluster/train/jobs"
    assert "7 llama of ubuntu" in loss.loses


def test_a_fleet_that_is_stopped_stays_so() -> None:
    plan = plan_of(Needs.STOPPED_FLEET, Fleet.STOPPED)
    assert [(action.id, action.kind) for action in plan.actions] == [("cluster/train", Kind.UPDATE)]


def test_terminating_ends_jobs_and_is_a_loss() -> None:
    [loss] = plan_of(Needs.DRAINED_NODES, strategy="TERMINATE").losses
    assert loss.kind is Kind.UPDATE


def with_logins(count: int) -> str:
    pool = {"Name": "login", "Count": count, "GracetimePeriod": 5}
    return yaml.safe_dump({"Region": "x", "LoginNodes": {"Pools": [pool, {"Name": "two", "Count": 0}]}})


def test_login_nodes_that_must_stop_go_first_and_their_sessions_are_a_loss() -> None:
    plan = plan_of(Needs.STOPPED_LOGIN_NODES, config=with_logins(2))
    assert [action.id.removeprefix("cluster/train") for action in plan.actions] == ["/logins", "/logins/gone", ""]
    for before, after in zip(plan.actions, plan.actions[1:], strict=False):
        assert plan.waits_for(after.id) == {before.id}
    [loss] = plan.losses
    assert "sessions on the login nodes of train, 10 min" in loss.loses
    assert isinstance(loss.operation, CountToZero)
    interim = yaml.safe_load(loss.operation.config)
    assert [pool["Count"] for pool in interim["LoginNodes"]["Pools"]] == [0, 0]
    assert interim["Region"] == "x", "and nothing else has changed"


def test_login_nodes_that_are_on_their_way_out_are_only_waited_for() -> None:
    plan = plan_of(Needs.STOPPED_LOGIN_NODES, config=with_logins(0))
    assert [action.id.removeprefix("cluster/train") for action in plan.actions] == ["/logins/gone", ""]
    assert plan.losses == ()


def test_fleet_and_login_nodes_stop_both() -> None:
    plan = plan_of(Needs.STOPPED_BOTH, config=with_logins(1))
    ids = [action.id.removeprefix("cluster/train") for action in plan.actions]
    assert ids == ["/logins", "/logins/gone", "/hold", "/jobs", "/stop", "", "/start", "/release"]
    assert plan.waits_for("cluster/train") == {"cluster/train/logins/gone", "cluster/train/stop"}


def test_login_nodes_are_waited_for_until_there_are_none() -> None:
    assert [until_none()(count) for count in (None, 2, 0)] == [None, None, (0,)]


def test_what_cannot_be_done_is_refused_with_the_change() -> None:
    with pytest.raises(errors.Refused, match="it needs a new one") as caught:
        plan_of(Needs.NEW_CLUSTER)
    assert "Scheduling.X" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("found", "project", "words"),
    [
        (None, "training", "does not exist"),
        (stack(), "other", "project training"),
        (stack(status="CREATE_FAILED"), "training", "CREATE_FAILED"),
        (stack(), "training", "is lost"),
    ],
)
def test_what_cannot_be_updated_is_refused(found: Stack | None, project: str, words: str) -> None:
    with pytest.raises(errors.PcinfraError, match=words):
        check_updatable(ClusterFacts("train", found), project)


def test_an_update_under_way_is_waited_for() -> None:
    facts = ClusterFacts("train", stack(status="UPDATE_IN_PROGRESS"), "a: 1")
    plan = update_plan(facts, "a: 2", Update((), Fleet.RUNNING, ""), (), resuming("train", frozenset()))
    assert [action.kind for action in plan.actions] == [Kind.RUN]


def test_the_strategy_is_read_where_there_is_one() -> None:
    text = "Scheduling: {SlurmSettings: {QueueUpdateStrategy: DRAIN}}"
    assert strategy_of(text) == "DRAIN"
    assert [strategy_of(each) for each in ("Scheduling: {}", "Scheduling:", "")] == ["COMPUTE_FLEET_STOP"] * 3


# --- pcluster's refusal, and the fleet --------------------------------------------------------------------------------


def test_a_refusal_of_pclusters_own_is_told_with_every_change() -> None:
    wrong = [{"parameter": "A.B", "message": "All compute nodes must be stopped."}]
    program = Pcluster(FakeShell([(1, {"message": "Update failure", "updateValidationErrors": wrong})]), Target("r"))
    with pytest.raises(errors.Refused, match=r"A\.B: All compute nodes"):
        program.update("train", "Region: r\n")


def test_validators_are_asked_about_an_update_whether_or_not_it_can_be_made_now() -> None:
    not_now = {"message": "Update failure", "updateValidationErrors": [{"parameter": "A", "message": "stop"}]}
    wrong = {"configurationValidationErrors": [{"level": "ERROR", "type": "V", "message": "bad"}], "message": "Invalid"}
    fine = {"message": "Request would have succeeded, but DryRun flag is set."}
    shell = FakeShell([(1, not_now), (1, wrong), (1, fine)])
    found = [Pcluster(shell, Target("r")).dryrun("train", "Region: r\n", update=True) for _ in range(3)]
    assert [[finding.what for finding in findings] for findings in found] == [[], ["bad"], []]
    assert all("update-cluster" in command for command in shell.commands)


@pytest.mark.parametrize("text", ["RUNNING", "STOPPED", "PROTECTED", "SOMETHING_NEW"])
def test_the_fleet_is_read_from_pclusters_table(text: str) -> None:
    cloud = FakeCloud({"GetItem": {"Item": {"Data": {"M": {"status": {"S": text}}}}}})
    assert fleet_of(cloud, "train") == (text if text != "SOMETHING_NEW" else "UNKNOWN")


def test_a_cluster_without_the_table_has_an_unknown_fleet() -> None:
    def gone(_: object) -> dict[str, Any]:
        raise errors.NotFound("no table", code="ResourceNotFoundException")

    assert fleet_of(FakeCloud({"GetItem": gone}), "train") is Fleet.UNKNOWN
    assert fleet_of(FakeCloud({"GetItem": {}}), "train") is Fleet.UNKNOWN


def test_a_fleet_whose_nodes_never_start_is_no_running_one() -> None:
    judge = until(Fleet.RUNNING, "train")
    assert judge(Fleet.STARTING) is None
    assert judge(Fleet.RUNNING) == (Fleet.RUNNING,)
    with pytest.raises(errors.ResourceFailed):
        judge(Fleet.PROTECTED)
    assert until(Fleet.STOPPED, "train")(Fleet.PROTECTED) is None
