"""The builder in the account, up to CodeBuild's API: what is made, what it may do, and that it goes again."""

from __future__ import annotations

import io
import json
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pcinfra import stages
from pcinfra.aws import Aws, Cloud, Target
from pcinfra.doors import Doors
from pcinfra.engine import Executor, Pending, Plan, Threads
from pcinfra.errors import PlanFailed, Refused, ResourceFailed
from pcinfra.images import IMAGE, Order, builders, codebuild, context
from pcinfra.images.builders.codebuild import EnsureRole, PutContext, RunBuild, removal
from pcinfra.images.builds import BuildProbe, until_pushed
from pcinfra.project import Bucket
from pcinfra.shell import Subprocess
from pcinfra.stages.bucket import Contents, ReadContents
from pcinfra.stages.image import order as order_of
from tests.account import Account
from tests.conftest import new_project

ACCOUNT = "123456789012"


@pytest.fixture
def order(tmp_path: Path, local_target: Target) -> Order:
    """An image of a project of this test's own, with repository and bucket."""
    mark = f"p-{uuid4().hex[:8]}"
    (tmp_path / "Dockerfile").write_text(
        "FROM 763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5.1 AS base\nFROM base\nCOPY run.sh /\n"
    )
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    cloud = Aws(local_target)
    cloud.call("ecr", "CreateRepository", repositoryName=mark)
    cloud.call("s3", "CreateBucket", Bucket=mark)
    digest = context.digest(tmp_path)
    return Order(
        "pytorch", mark, f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/{mark}", (f"context-{digest[:16]}", "latest"),
        str(tmp_path), digest, 0, mark, mark, (("pcinfra:project", mark), ("pcinfra:stage", "image")),
        family=((mark, str(tmp_path)),),
    )  # fmt: skip


def doors(target: Target) -> Doors:
    return Doors(Aws(target), Subprocess(), replace(target, registry=True))


def run(target: Target, plan: Plan) -> dict[str, Any]:
    workers = Threads()
    try:
        return Executor(doors(target), workers, limit=60).run(plan)
    finally:
        workers.close()


def published(order: Order) -> Plan:
    return Plan(builders.named("codebuild").publish(order, "is not in the repository"))


def push(target: Target, order: Order) -> str:
    """Put the image that a build would have pushed; return its digest."""
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": {"digest": order.digest}})
    answer = Aws(target).call(
        "ecr", "PutImage", repositoryName=order.repository, imageTag=order.tags[0], imageManifest=manifest
    )
    return str(answer["image"]["imageId"]["imageDigest"])


def test_a_build_has_a_project_a_role_a_log_and_the_context(order: Order, local_target: Target) -> None:
    digest = push(local_target, order)
    assert run(local_target, published(order))[f"{IMAGE}pytorch"] == digest
    cloud = Aws(local_target)
    project = cloud.call("codebuild", "BatchGetProjects", names=[codebuild.project_name(order.project)])["projects"][0]
    assert project["environment"]["privilegedMode"]
    assert {"key": "pcinfra:project", "value": order.project} in project["tags"]
    role = cloud.call("iam", "GetRole", RoleName=codebuild.role_name(order.project, "us-east-1"))["Role"]
    assert project["serviceRole"] == role["Arn"]
    groups = cloud.pages(
        "logs", "DescribeLogGroups", "logGroups", logGroupNamePrefix=codebuild.log_group(order.project)
    )
    assert [group["retentionInDays"] for group in groups] == [codebuild.RETENTION_DAYS]
    body = cloud.call("s3", "GetObject", Bucket=order.bucket, Key=codebuild.archive_key(order.digest))["Body"].read()
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        assert packed.namelist() == ["Dockerfile", "run.sh"]
        assert packed.getinfo("run.sh").external_attr >> 16 == 0o755
    run(local_target, published(order))  # and once more, over what is there


def test_the_role_may_do_no_more_than_a_build_needs(order: Order, local_target: Target) -> None:
    run(local_target, Plan(tuple(a for a in published(order).actions if isinstance(a.operation, EnsureRole))))
    cloud = Aws(local_target)
    name = codebuild.role_name(order.project, "us-east-1")
    document = cloud.call("iam", "GetRolePolicy", RoleName=name, PolicyName=codebuild.POLICY)["PolicyDocument"]
    may = {row["Sid"]: row for row in document["Statement"]}
    assert [sid for sid, row in may.items() if row["Resource"] == ["*"]] == ["LogIn"]
    assert may["LogIn"]["Action"] == ["ecr:GetAuthorizationToken"]
    assert may["Push"]["Resource"] == [f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{order.repository}"]
    assert may["Pull"]["Resource"] == ["arn:aws:ecr:us-east-1:763104351884:repository/pytorch-training"]
    assert "ecr:PutImage" not in may["Pull"]["Action"]
    assert may["Context"]["Resource"] == [f"arn:aws:s3:::{order.bucket}/scripts/builds/*"]
    trust = cloud.call("iam", "GetRole", RoleName=name)["Role"]["AssumeRolePolicyDocument"]["Statement"][0]
    source = trust["Condition"]["StringEquals"]["aws:SourceArn"]
    assert source.endswith(f":project/{codebuild.project_name(order.project)}")


def test_a_build_that_pushed_nothing_is_a_failure(order: Order, local_target: Target) -> None:
    with pytest.raises(PlanFailed, match="the build succeeded, and its image is not in the repository"):
        run(local_target, published(order))


def test_somebody_elses_role_is_left_alone(order: Order, local_target: Target) -> None:
    name = codebuild.role_name(order.project, "us-east-1")
    Aws(local_target).call("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument="{}")
    with pytest.raises(Refused, match="not this project's"):
        EnsureRole(order).start(doors(local_target), {})


def test_without_the_bucket_the_way_on_is_said(order: Order, local_target: Target) -> None:
    lost = replace(order, bucket=f"{order.bucket}-lost")
    with pytest.raises(Refused) as caught:
        PutContext(lost).start(doors(local_target), {})
    assert caught.value.hint == "pcinfra up --only bucket"


def test_everything_of_it_goes_again(order: Order, local_target: Target) -> None:
    push(local_target, order)
    run(local_target, published(order))
    cloud = Aws(local_target)
    arn = cloud.call("ecr", "DescribeRepositories", repositoryNames=[order.repository])["repositories"][0][
        "repositoryArn"
    ]

    def tags() -> dict[str, str]:
        rows = cloud.call("ecr", "ListTagsForResource", resourceArn=arn)["tags"]
        return {row["Key"]: row["Value"] for row in rows}

    run(local_target, Plan(removal(order.project, [(arn, tags())])))
    assert removal(order.project, [(arn, tags())]) == ()
    assert list(codebuild.left(order.project, cloud)) == []


def test_what_was_left_behind_is_found(order: Order, local_target: Target) -> None:
    push(local_target, order)
    run(local_target, published(order))
    cloud = Aws(local_target)
    assert {what for what, *_ in codebuild.left(order.project, cloud)} == {
        "CodeBuild project", "IAM role", "log group",
    }  # fmt: skip
    assert list(codebuild.left(f"{order.project}-other", cloud)) == []


@dataclass
class FailedBuild:
    """The account behind ``cloud``, in which every build has failed: the shape is that of BatchGetBuilds."""

    cloud: Cloud
    group: str
    status: str = "FAILED"

    @property
    def region(self) -> str:
        return self.cloud.region

    @property
    def account(self) -> str:
        return self.cloud.account

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        if operation != "BatchGetBuilds":
            return self.cloud.call(service, operation, **parameters)
        message = "COMMAND_EXECUTION_ERROR: Error while executing command: docker build. Reason: exit status 1"
        build = {
            "id": parameters["ids"][0], "buildStatus": self.status, "currentPhase": "COMPLETED",
            "phases": [
                {"phaseType": "QUEUED", "phaseStatus": "SUCCEEDED"},
                {"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [{"message": message}]},
                {"phaseType": "COMPLETED"},
            ],
            "logs": {"groupName": self.group, "streamName": "one"},
        }  # fmt: skip
        return {"builds": [build]}

    def pages(self, service: str, operation: str, key: str, /, **parameters: Any) -> list[Any]:
        return self.cloud.pages(service, operation, key, **parameters)


def test_a_failed_build_says_its_phase_and_the_end_of_its_log(order: Order, local_target: Target) -> None:
    cloud, group = Aws(local_target), codebuild.log_group(order.project)
    cloud.call("logs", "CreateLogGroup", logGroupName=group)
    cloud.call("logs", "CreateLogStream", logGroupName=group, logStreamName="one")
    lines = [{"timestamp": int(time.time() * 1000) + n, "message": f"line {n}\n"} for n in range(40)]
    cloud.call("logs", "PutLogEvents", logGroupName=group, logStreamName="one", logEvents=lines)
    seam = Doors(FailedBuild(cloud, group), Subprocess(), local_target)
    states = BuildProbe(order.repository, "latest").read(seam, frozenset({"p:1"}))
    with pytest.raises(ResourceFailed) as caught:
        until_pushed("p:1", order.what)(states["p:1"])
    said = caught.value.why.splitlines()
    assert said[0] == "FAILED"
    assert said[1].startswith("BUILD: COMMAND_EXECUTION_ERROR")
    assert said[2:] == [f"line {n}" for n in range(20, 40)]


def test_a_build_under_way_is_waited_for(order: Order, local_target: Target) -> None:
    cloud = FailedBuild(Aws(local_target), "none", status="IN_PROGRESS")
    run(local_target, Plan(published(order).actions[:-1]))
    pending = RunBuild(order).start(Doors(cloud, Subprocess(), local_target), {})
    assert isinstance(pending, Pending)
    state = pending.probe.read(Doors(cloud, Subprocess(), local_target), frozenset({pending.key}))[pending.key]
    assert pending.judge(state) is None
    assert pending.progress(state) == "COMPLETED"


def test_down_takes_it_away_and_a_sweep_finds_what_it_could_not(local_target: Target, tmp_path: Path) -> None:
    account = Account(local_target, new_project())
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    settings = account.project.images["pytorch"].model_copy(update={"context": str(tmp_path)})
    account = Account(local_target, account.project.model_copy(update={"images": {"pytorch": settings}}))
    account.run(only_image(stages.up(account.project, account.facts())))
    wanted = order_of(account.project, account.facts(), "pytorch")
    run(local_target, Plan(builders.named("codebuild").publish(replace(wanted, bucket=made_bucket(account)), "x")))
    assert only_image(account.plan()) == Plan()  # what a builder needs is no drift
    found = {row.what for row in account.left()}
    assert {"CodeBuild project", "IAM role", "log group", "repository"} <= found
    account.run(only_image(stages.down(account.project, account.facts())))
    assert account.left() == []


def only_image(plan: Plan) -> Plan:
    return Plan(tuple(action for action in plan.actions if action.stage == "image"))


def made_bucket(account: Account) -> str:
    """A bucket that carries no tag of ours, so that no sweep counts it."""
    name = f"{account.project.project}-contexts"
    account.call("s3", "CreateBucket", Bucket=name)
    return name


def test_a_build_context_in_the_bucket_is_no_data_of_the_users(order: Order, local_target: Target) -> None:
    PutContext(order).start(doors(local_target), {})
    project = new_project().model_copy(update={"bucket": Bucket(name=order.bucket)})
    assert ReadContents(project).start(doors(local_target), {}) == Contents()
    Aws(local_target).call("s3", "PutObject", Bucket=order.bucket, Key="scripts/mine.sh", Body=b"")
    assert ReadContents(project).start(doors(local_target), {}).objects == 1
