"""Bad days: each stuck state of a stack, runs that are killed, and two runs at once."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pcinfra import cloudformation, stages
from pcinfra.engine import Kind
from pcinfra.errors import PlanFailed, Refused
from pcinfra.project import Lustre, Prerequisites
from pcinfra.stages.associations import AssociationFacts
from pcinfra.stages.base import Health
from pcinfra.stages.file_systems import FORGET
from pcinfra.stages.prerequisites import Prerequisites as Stage
from pcinfra.stages.prerequisites import StackFacts
from pcinfra.stages.recovery import STACK
from pcinfra.stages.wanted import wanted_stack
from tests.account import Account
from tests.conftest import new_project
from tests.waiting import until


def stack_of(account: Account) -> cloudformation.Stack:
    stack = account.facts().of(StackFacts).stack
    assert stack is not None
    return stack


def request(account: Account, **changes: str) -> dict[str, object]:
    """Return a CreateStack request of this project, with some parameters changed."""
    made = wanted_stack(account.project, account.facts().account, "us-east-1a").request()
    made["Parameters"] = [
        {**item, "ParameterValue": changes.get(item["ParameterKey"], item["ParameterValue"])}
        for item in made["Parameters"]
    ]
    return made


def wait_until(account: Account, *statuses: str) -> None:
    until(lambda: stack_of(account).status in statuses)


def test_a_creation_that_was_rolled_back_is_deleted_and_begun_again(account: Account) -> None:
    account.call("cloudformation", "CreateStack", **request(account, Capacity="1300"))
    wait_until(account, "ROLLBACK_COMPLETE")
    plan = account.up()
    assert [(a.id, a.kind) for a in plan.actions[:2]] == [("prerequisites/clear", Kind.DELETE), (STACK, Kind.CREATE)]
    assert stack_of(account).status == "CREATE_COMPLETE"


def test_a_creation_that_failed_and_stayed_is_deleted_and_begun_again(account: Account) -> None:
    account.call("cloudformation", "CreateStack", **request(account, Capacity="1300"), OnFailure="DO_NOTHING")
    wait_until(account, "CREATE_FAILED")
    account.up()
    assert stack_of(account).status == "CREATE_COMPLETE"


def test_a_change_set_never_executed_is_no_obstacle(account: Account) -> None:
    made = request(account) | {"ChangeSetName": "abandoned", "ChangeSetType": "CREATE"}
    account.call("cloudformation", "CreateChangeSet", **made)
    assert stack_of(account).status == "REVIEW_IN_PROGRESS"
    account.up()
    assert stack_of(account).status == "CREATE_COMPLETE"


def test_a_creation_under_way_is_waited_for(account: Account) -> None:
    account.call("cloudformation", "CreateStack", **request(account))
    plan = account.plan()
    assert next(a for a in plan.actions if a.id == STACK).kind is Kind.RUN
    account.run(plan)
    assert account.plan().actions == ()


def test_a_deletion_under_way_is_waited_for(account: Account) -> None:
    account.up()
    account.run_only("associations")
    account.call("cloudformation", "DeleteStack", StackName=account.project.prerequisites.stack)
    account.up()
    assert stack_of(account).status == "CREATE_COMPLETE"


def test_an_interface_of_somebody_else_is_named_before_the_stack_goes(account: Account) -> None:
    account.up()
    subnet = stack_of(account).outputs["PrimaryPrivateSubnet"]
    interface = account.call("ec2", "CreateNetworkInterface", SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    with pytest.raises(PlanFailed, match=f"belong to nothing.*{interface} in {subnet}"):
        account.down()
    assert stack_of(account).status == "CREATE_COMPLETE"
    account.call("ec2", "DeleteNetworkInterface", NetworkInterfaceId=interface)
    account.down()
    assert account.left() == []


def test_a_deletion_that_failed_names_the_resource_and_says_what_to_type(account: Account) -> None:
    account.up()
    vpc = stack_of(account).outputs["VPC"]
    group = account.call("ec2", "CreateSecurityGroup", GroupName="mine", Description="mine", VpcId=vpc)["GroupId"]
    with pytest.raises(PlanFailed, match=r"DELETE_FAILED: VPC \(AWS::EC2::VPC\)"):
        account.down()
    with pytest.raises(Refused, match="pcinfra down"):
        account.plan()
    account.call("ec2", "DeleteSecurityGroup", GroupId=group)
    account.down()
    assert account.left() == []


def test_the_root_cause_is_told_and_not_what_was_cancelled(account: Account) -> None:
    bad = Lustre.model_construct(**{**Lustre().model_dump(), "capacity": 1300})
    project = new_project()
    wrong = project.model_copy(
        update={"prerequisites": Prerequisites.model_construct(**{**dict(project.prerequisites), "lustre": bad})}
    )
    broken = Account(account.target, wrong)
    with pytest.raises(PlanFailed) as caught:
        broken.up()
    assert "1300" in str(caught.value)
    assert "cancelled" not in str(caught.value)


def test_somebody_elses_stack_and_bucket_are_refused(account: Account) -> None:
    account.up()
    other = new_project()
    thief = Account(account.target, other.model_copy(update={"prerequisites": account.project.prerequisites}))
    with pytest.raises(Refused, match="belongs to the project"):
        thief.plan()
    thief = Account(account.target, other.model_copy(update={"bucket": account.project.bucket}))
    with pytest.raises(Refused, match="belongs to the project"):
        thief.plan()


def test_a_stack_made_by_hand_is_used_and_kept(account: Account) -> None:
    made = request(account) | {"Tags": []}
    account.call("cloudformation", "CreateStack", **made)
    wait_until(account, "CREATE_COMPLETE")
    plan = account.up()
    assert not [action for action in plan.actions if action.stage == "prerequisites"]
    assert any("not made by pcinfra" in note for note in plan.notes)
    account.down()
    assert stack_of(account).status == "CREATE_COMPLETE"
    account.call("cloudformation", "DeleteStack", StackName=account.project.prerequisites.stack)


def test_a_setting_is_changed_in_place_through_a_change_set(account: Account) -> None:
    account.up()
    lustre = account.project.prerequisites.lustre.model_copy(update={"compression": "NONE"})
    changed = account.project.prerequisites.model_copy(update={"lustre": lustre})
    after = Account(account.target, account.project.model_copy(update={"prerequisites": changed}))
    before = stack_of(account).outputs["FSxLustreFilesystemId"]
    plan = after.up()
    assert [a.id for a in plan.actions] == ["prerequisites/changes", STACK]
    assert [(c.key, c.before, c.after) for c in plan.actions[1].changes] == [("Compression", "LZ4", "NONE")]
    assert stack_of(after).outputs["FSxLustreFilesystemId"] == before
    assert after.plan().actions == ()


def test_a_change_that_replaces_a_file_system_says_what_it_loses(account: Account) -> None:
    account.up()
    lustre = account.project.prerequisites.lustre.model_copy(
        update={"deployment_type": "PERSISTENT_1", "throughput": 200}
    )
    changed = account.project.prerequisites.model_copy(update={"lustre": lustre})
    after = Account(account.target, account.project.model_copy(update={"prerequisites": changed}))
    assert [a.loses for a in after.plan().losses] == ["everything on the Lustre file system"]


def systems(account: Account) -> dict[str, str]:
    """Return the project's file systems: their ids by FSx's type."""
    mark = {"Key": "pcinfra:project", "Value": account.project.project}
    rows = account.cloud.pages("fsx", "DescribeFileSystems", "FileSystems")
    return {row["FileSystemType"]: row["FileSystemId"] for row in rows if mark in row["Tags"]}


@pytest.mark.parametrize(("kind", "wait"), [("LUSTRE", False), ("OPENZFS", True)], ids=["going", "gone"])
def test_a_file_system_deleted_by_hand_is_made_anew(account: Account, kind: str, wait: bool) -> None:
    account.up()
    before = systems(account)
    account.call("fsx", "DeleteFileSystem", FileSystemId=before[kind])
    if wait:
        until(lambda: kind not in systems(account))
    rows = Stage().status(account.project, account.facts())
    assert Health.FAILED in {row.health for row in rows if before[kind] in (row.id, row.detail)}
    plan = account.up()
    assert before[kind] in next(action.what for action in plan.actions if action.id == FORGET)
    assert any("deleted by hand" in note for note in plan.notes)
    after = systems(account)
    assert sorted(after) == ["LUSTRE", "OPENZFS"]
    assert {key for key in after if after[key] != before[key]} == {kind}
    assert len(account.facts().of(AssociationFacts).found) == 4
    assert account.plan().actions == ()


def test_a_stack_deleted_by_hand_is_made_anew(account: Account) -> None:
    account.up()
    account.call("cloudformation", "DeleteStack", StackName=account.project.prerequisites.stack)
    until(lambda: not account.facts().of(StackFacts).stack)
    assert {action.stage for action in account.up().actions} == {"prerequisites", "associations"}
    assert account.plan().actions == ()


def empty(account: Account) -> None:
    name = account.project.bucket.name
    for version in account.call("s3", "ListObjectVersions", Bucket=name)["Versions"]:
        account.call("s3", "DeleteObject", Bucket=name, Key=version["Key"], VersionId=version["VersionId"])


def test_a_bucket_emptied_or_deleted_by_hand_is_filled_again(account: Account) -> None:
    account.up()
    empty(account)
    assert {action.stage for action in account.up().actions} == {"bucket", "scripts"}
    assert account.plan().actions == ()
    empty(account)
    account.call("s3", "DeleteBucket", Bucket=account.project.bucket.name)
    assert (account.plan().actions[0].id, account.plan().actions[0].kind) == ("bucket/bucket", Kind.CREATE)
    account.up()
    assert account.plan().actions == ()


def test_an_association_that_is_misconfigured_gets_its_settings_again(account: Account) -> None:
    """What FSx says when the bucket was away; the local cloud does not, so the facts say it here."""
    account.up()
    facts = account.facts()
    found = facts.of(AssociationFacts)
    bad = replace(found.found["/logs"], state="MISCONFIGURED", failure="the bucket cannot be reached")
    plan = stages.up(account.project, facts.plus(replace(found, found={**found.found, "/logs": bad})))
    assert [(a.id, a.kind, a.why) for a in plan.actions] == [
        ("associations/logs", Kind.UPDATE, "is misconfigured: the bucket cannot be reached")
    ]
    account.run(plan)
    assert account.plan().actions == ()


def test_a_repository_deleted_by_hand_is_made_again(account: Account) -> None:
    account.up()
    account.call("ecr", "DeleteRepository", repositoryName=account.project.images["pytorch"].repository, force=True)
    assert [action.id for action in account.up().actions] == [
        "image/repository/pytorch", "image/life cycle/pytorch", "image/image/pytorch",
    ]  # fmt: skip
    assert account.plan().actions == ()


# --- whole processes ---------------------------------------------------------------------------------------------


class Folder:
    """A user's folder with a pcinfra.yaml and a local cloud of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pcinfra.cli.main", *arguments]

    def run(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(self.command(*arguments), cwd=self.path, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*arguments), cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def account(self) -> Account:
        from pcinfra.cli.local import endpoint
        from pcinfra.project.load import load

        return Account(endpoint("us-east-1", self.path / ".pcinfra" / "local"), load(self.path / "pcinfra.yaml"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    made.run("init", "--yes")
    yield made
    made.run("local", "stop")


def assert_one_of_each(account: Account) -> None:
    """Everything is there, and nothing is there twice."""
    assert account.plan().actions == ()
    vpcs = account.call("ec2", "DescribeVpcs", Filters=[{"Name": "tag-key", "Values": ["pcinfra:project"]}])["Vpcs"]
    systems = account.call("fsx", "DescribeFileSystems")["FileSystems"]
    assert len(vpcs) == 1
    assert sorted(system["FileSystemType"] for system in systems) == ["LUSTRE", "OPENZFS"]
    assert len(account.facts().of(AssociationFacts).found) == 4
    assert len(account.call("ecr", "DescribeRepositories")["repositories"]) == 1


@pytest.mark.slow
def test_up_killed_at_ten_random_moments_converges(folder: Folder) -> None:
    folder.run("local", "start")
    chance = random.Random(20)
    for _ in range(10):
        process = folder.begin("--local", "up")
        time.sleep(chance.uniform(0.2, 2.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    folder.run("--local", "up")
    assert_one_of_each(folder.account())


@pytest.mark.slow
def test_two_ups_at_once_both_end_well(folder: Folder) -> None:
    both = [folder.begin("--local", "up") for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert_one_of_each(folder.account())


@pytest.mark.slow
def test_ctrl_c_exits_with_130_and_the_next_up_goes_on(folder: Folder) -> None:
    folder.run("local", "start")
    process = folder.begin("--local", "up")
    assert process.stdout
    assert process.stdout.readline()  # its plan: from here on it can be interrupted
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) in (130, 0)
    folder.run("--local", "up")
    assert_one_of_each(folder.account())


def test_the_plan_is_what_up_runs(folder: Folder) -> None:
    planned = json.loads(folder.run("--local", "plan", "--output", "json"))
    assert planned["actions"]
    folder.run("--local", "up")
    assert json.loads(folder.run("--local", "plan", "--output", "json"))["actions"] == []
    assert "Nothing to change." in folder.run("--local", "up")
