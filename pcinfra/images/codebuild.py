"""What CodeBuild needs in the account: a project, its role with what it may do, and its log group.

Sources: CodeBuild user guide, "Allow CodeBuild to interact with other AWS services", "Publish Docker image to an Amazon
ECR image repository", "Cross-service confused deputy prevention"; ECR user guide, "IAM permissions for pushing".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pcinfra.errors import NotFound
from pcinfra.images.context import Base
from pcinfra.images.model import Order

if TYPE_CHECKING:
    from pcinfra.aws import Cloud

PREFIX = "scripts/builds/"
MARK = "pcinfra:builder"
"""Tag of the repository that says that these things exist: a teardown then needs no calls to find out."""

POLICY = "build"
RETENTION_DAYS = 30
TIMEOUT_MINUTES = 180

BUILDSPEC = """\
version: 0.2
env:
  shell: bash
phases:
  pre_build:
    commands:
      - set -o pipefail
      - >-
        for registry in $REGISTRIES; do
        aws ecr get-login-password --region "$(cut -d. -f4 <<<"$registry")"
        | docker login --username AWS --password-stdin "$registry" || exit 1;
        done
  build:
    commands:
      - docker build --progress=plain $(printf -- "--tag=$IMAGE_URI:%s " $IMAGE_TAGS) .
      - for tag in $IMAGE_TAGS; do docker push "$IMAGE_URI:$tag" || exit 1; done
"""
"""The build; what differs from one to the next is in its environment: IMAGE_URI, IMAGE_TAGS, REGISTRIES."""

_PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
_PUSH = [*_PULL, "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]


def project_name(project: str) -> str:
    """Return the name of the CodeBuild project of pcinfra's ``project``."""
    return f"pcinfra-{project}-image"


def role_name(project: str, region: str) -> str:
    """Return the name of its role; IAM knows no regions, so that the name must. It may have 64 characters."""
    return f"pcinfra-{project}-{region}"


def log_group(project: str) -> str:
    return f"/aws/codebuild/{project_name(project)}"


def archive_key(digest: str) -> str:
    """Return the key of the build context in the bucket."""
    return f"{PREFIX}{digest[:16]}.zip"


def trust(order: Order, account: str, region: str) -> str:
    """Return the role's trust policy: CodeBuild, for this one project."""
    source = f"arn:{order.partition}:codebuild:{region}:{account}:project/{project_name(order.project)}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "codebuild.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": account, "aws:SourceArn": source}},
    }
    return _policy([statement])


def permissions(order: Order, account: str, region: str, bases: Sequence[Base]) -> str:
    """Return what a build may do: read its context, pull bases, push to the project's repositories, write its log."""
    start = f"arn:{order.partition}"
    log = f"{start}:logs:{region}:{account}:log-group:{log_group(order.project)}"
    pulled = [f"{start}:ecr:{b.region}:{b.account}:repository/{b.repository}" for b in bases]
    statements = [
        _allow("Log", ["logs:CreateLogStream", "logs:PutLogEvents"], [log, f"{log}:*"]),
        _allow("Context", ["s3:GetObject", "s3:GetObjectVersion"], [f"{start}:s3:::{order.bucket}/{PREFIX}*"]),
        _allow("Bucket", ["s3:GetBucketAcl", "s3:GetBucketLocation"], [f"{start}:s3:::{order.bucket}"]),
        _allow("LogIn", ["ecr:GetAuthorizationToken"], ["*"]),
        _allow("Push", _PUSH, [f"{start}:ecr:{region}:{account}:repository/{name}" for name, _ in order.family]),
    ]
    if pulled:
        statements.append(_allow("Pull", _PULL, pulled))
    if order.key:
        statements.append(_allow("Key", ["kms:Decrypt"], [order.key]))
    return _policy(statements)


def project(order: Order, account: str, region: str) -> dict[str, Any]:
    """Return the CodeBuild project, as CreateProject and UpdateProject take it.

    BUILD_GENERAL1_LARGE has 15 GB of memory and 128 GB of disk (CodeBuild user guide, "Build environment compute modes
    and types"); privileged mode is what lets a build run docker.
    """
    role = f"arn:{order.partition}:iam::{account}:role/{role_name(order.project, region)}"
    return {
        "name": project_name(order.project),
        "description": f"Builds the images of {order.project}",
        "source": {
            "type": "S3",
            "location": f"{order.bucket}/{archive_key(order.digest)}",
            "buildspec": BUILDSPEC,
        },
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
            "computeType": "BUILD_GENERAL1_LARGE",
            "privilegedMode": True,
        },
        "serviceRole": role,
        "timeoutInMinutes": TIMEOUT_MINUTES,
        "logsConfig": {"cloudWatchLogs": {"status": "ENABLED", "groupName": log_group(order.project)}},
        "tags": [{"key": k, "value": v} for k, v in order.resource_tags],
    }


def environment(order: Order, bases: Sequence[Base]) -> list[dict[str, str]]:
    """Return the variables of one build."""
    registries = dict.fromkeys([order.registry, *(base.registry for base in bases)])
    values = {"IMAGE_URI": order.uri, "IMAGE_TAGS": " ".join(order.tags), "REGISTRIES": " ".join(registries)}
    return [{"name": name, "value": value, "type": "PLAINTEXT"} for name, value in values.items()]


def _allow(sid: str, actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}


def _policy(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


Call = tuple[str, str, str] | tuple[()]


def left(project: str, cloud: Cloud) -> Iterator[tuple[str, str, str, Call]]:
    """Yield what there is of it, whatever any record says.

    Each is its kind, its name, the command that removes it, and service, operation and parameter that do the same in
    one call; a role takes two.
    """
    name, role, group = project_name(project), role_name(project, cloud.region), log_group(project)
    if cloud.call("codebuild", "BatchGetProjects", names=[name])["projects"]:
        remove = f"aws codebuild delete-project --name {name}"
        yield "CodeBuild project", name, remove, ("codebuild", "DeleteProject", "name")
    with suppress(NotFound):
        cloud.call("iam", "GetRole", RoleName=role)
        policy = f"aws iam delete-role-policy --role-name {role} --policy-name {POLICY}"
        yield "IAM role", role, f"{policy} && aws iam delete-role --role-name {role}", ()
    for row in cloud.pages("logs", "DescribeLogGroups", "logGroups", logGroupNamePrefix=group):
        if row["logGroupName"] == group:
            remove = f"aws logs delete-log-group --log-group-name {group}"
            yield "log group", group, remove, ("logs", "DeleteLogGroup", "logGroupName")
