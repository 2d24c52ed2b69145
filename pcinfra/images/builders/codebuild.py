"""Builder *codebuild*: AWS CodeBuild builds in the user's account, next to ECR.

A 20 GB image does not travel over a home line; its context, some kilobytes, does.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pcinfra.engine import Action, Kind, Pending
from pcinfra.errors import CloudError, Conflict, NotFound, Refused
from pcinfra.images import codebuild, context
from pcinfra.images.builds import BuildProbe, until_pushed
from pcinfra.images.model import IMAGE, REPOSITORY, Order

if TYPE_CHECKING:
    from pcinfra.doors import Doors

BUCKET = "bucket/bucket"
_ROLE, _LOG, _PROJECT = (f"image/build {thing}" for thing in ("role", "log", "project"))
_ENSURED = "is made or brought up to date"
_WAITS = (2, 4, 8, 8, 8)
"""Seconds between attempts to use a role that was just made: IAM's changes take some to be seen everywhere."""


class CodeBuild:
    """AWS CodeBuild."""

    name: ClassVar[str] = "codebuild"
    here: ClassVar[bool] = False

    def why_not(self, doors: Doors) -> str:
        return "" if doors.target.registry else "the local cloud has no registry to push to"

    def build(self, order: Order, why: str) -> tuple[Action, ...]:
        return ()

    def publish(self, order: Order, why: str) -> tuple[Action, ...]:
        name, key = codebuild.project_name(order.project), codebuild.archive_key(order.digest)
        there = frozenset({REPOSITORY + order.name})
        mark, put = f"image/build mark/{order.name}", f"image/build context/{order.name}"
        ready = frozenset({mark, _PROJECT, put})
        return (
            Action(
                mark, Kind.UPDATE, f"tag {codebuild.MARK} of repository {order.repository}", _ENSURED, Mark(order),
                there,
            ),
            Action(_ROLE, Kind.UPDATE, f"IAM role of {name}", _ENSURED, EnsureRole(order), frozenset({mark})),
            Action(_LOG, Kind.UPDATE, f"log group of {name}", _ENSURED, EnsureLog(order), frozenset({mark})),
            Action(
                _PROJECT, Kind.UPDATE, f"CodeBuild project {name}", _ENSURED, EnsureProject(order),
                frozenset({_ROLE, _LOG}), seconds=15.0,
            ),
            Action(
                put, Kind.CREATE, f"s3://{order.bucket}/{key}", "the build reads it", PutContext(order),
                frozenset({BUCKET}),
            ),
            Action(IMAGE + order.name, Kind.CREATE, order.what, why, RunBuild(order), there | ready, seconds=1800.0),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """Say on the repository that there are things of CodeBuild's, before they are made."""

    order: Order

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        found = doors.cloud.call("ecr", "DescribeRepositories", repositoryNames=[self.order.repository])
        arn = found["repositories"][0]["repositoryArn"]
        doors.cloud.call("ecr", "TagResource", resourceArn=arn, tags=[{"Key": codebuild.MARK, "Value": CodeBuild.name}])


@dataclass(frozen=True, slots=True)
class EnsureRole:
    """Create the role, or take the one that is there; what it may do is set in both cases.

    It serves every image of the project, so that two builds at a time do not take rights from each other.
    """

    order: Order

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        account, region = doors.cloud.account, doors.cloud.region
        name = codebuild.role_name(self.order.project, region)
        bounded = {"PermissionsBoundary": self.order.boundary} if self.order.boundary else {}
        try:
            doors.cloud.call(
                "iam", "CreateRole", RoleName=name,
                AssumeRolePolicyDocument=codebuild.trust(self.order, account, region),
                Tags=[{"Key": k, "Value": v} for k, v in self.order.resource_tags], **bounded,
            )  # fmt: skip
        except Conflict:
            tags = doors.cloud.call("iam", "GetRole", RoleName=name)["Role"].get("Tags", [])
            _refuse_foreign({row["Key"]: row["Value"] for row in tags}, self.order, f"IAM role {name}")
        document = codebuild.permissions(self.order, account, region, _bases(self.order))
        doors.cloud.call("iam", "PutRolePolicy", RoleName=name, PolicyName=codebuild.POLICY, PolicyDocument=document)


def _bases(order: Order) -> list[context.Base]:
    """Return the private base images of every image of the project, each once."""
    found = (context.private_bases(context.folder(each)) for _, each in order.family)
    return list(dict.fromkeys(base for bases in found for base in bases))


@dataclass(frozen=True, slots=True)
class EnsureLog:
    """Create the log group, so that it carries our tags and its events expire."""

    order: Order

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        name = codebuild.log_group(self.order.project)
        with suppress(Conflict):  # an earlier build made it
            doors.cloud.call("logs", "CreateLogGroup", logGroupName=name, tags=dict(self.order.resource_tags))
        doors.cloud.call("logs", "PutRetentionPolicy", logGroupName=name, retentionInDays=codebuild.RETENTION_DAYS)


@dataclass(frozen=True, slots=True)
class EnsureProject:
    """Create the CodeBuild project, or update the one that is there where it differs."""

    order: Order

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        wanted = codebuild.project(self.order, doors.cloud.account, doors.cloud.region)
        try:
            _create(doors, wanted)
        except Conflict:
            found = doors.cloud.call("codebuild", "BatchGetProjects", names=[wanted["name"]])["projects"][0]
            tags = {row["key"]: row["value"] for row in found.get("tags", [])}
            _refuse_foreign(tags, self.order, f"CodeBuild project {wanted['name']}")
            if _differs(wanted, found):
                doors.cloud.call("codebuild", "UpdateProject", **wanted)


def _create(doors: Doors, wanted: dict[str, Any]) -> None:
    for wait in (*_WAITS, 0):
        try:
            doors.cloud.call("codebuild", "CreateProject", **wanted)
            return
        except CloudError as error:
            if "sts:AssumeRole" not in error.why or not wait:
                raise
            time.sleep(wait)


def _differs(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Compare what a build rests on; its source is named by each build anew, but for the commands in it."""
    if wanted["source"]["buildspec"] != found["source"].get("buildspec"):
        return True
    environment = wanted["environment"].items() <= found["environment"].items()
    return not environment or wanted["serviceRole"] != found["serviceRole"]


def _refuse_foreign(tags: Mapping[str, str], order: Order, what: str) -> None:
    if tags.get("pcinfra:project") != order.project:
        raise Refused(
            "exists, and is not this project's", where=what,
            hint="another `project:` in pcinfra.yaml, or a builder of this machine",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PutContext:
    """Put the build context into the bucket, as a zip."""

    order: Order

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        body = context.archive(context.folder(self.order.context))
        key = codebuild.archive_key(self.order.digest)
        try:
            doors.cloud.call("s3", "PutObject", Bucket=self.order.bucket, Key=key, Body=body)
        except NotFound as error:
            raise Refused(
                "does not exist, and the build reads its context from it", where=f"bucket {self.order.bucket}",
                hint="pcinfra up --only bucket",
            ) from error  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunBuild:
    """Start a build and wait until the image is in the repository. The result is its digest."""

    order: Order

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        order = self.order
        bases = context.private_bases(context.folder(order.context))
        build = doors.cloud.call(
            "codebuild", "StartBuild", projectName=codebuild.project_name(order.project),
            sourceTypeOverride="S3", sourceLocationOverride=f"{order.bucket}/{codebuild.archive_key(order.digest)}",
            environmentVariablesOverride=codebuild.environment(order, bases), idempotencyToken=uuid.uuid4().hex,
        )["build"]  # fmt: skip
        probe = BuildProbe(order.repository, order.tags[0])
        return Pending(probe, build["id"], until_pushed(build["id"], order.what), lambda state: str(state.phase))


@dataclass(frozen=True, slots=True)
class RemoveCodeBuild:
    """Delete the project, the role and the log group, then the tags that speak of them."""

    project: str
    repository_arns: tuple[str, ...]

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        role = codebuild.role_name(self.project, doors.cloud.region)
        marked = ({"resourceArn": arn, "tagKeys": [codebuild.MARK]} for arn in self.repository_arns)
        calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("codebuild", "DeleteProject", {"name": codebuild.project_name(self.project)}),
            ("iam", "DeleteRolePolicy", {"RoleName": role, "PolicyName": codebuild.POLICY}),
            ("iam", "DeleteRole", {"RoleName": role}),
            ("logs", "DeleteLogGroup", {"logGroupName": codebuild.log_group(self.project)}),
            *(("ecr", "UntagResource", tag) for tag in marked),
        )
        for service, operation, parameters in calls:
            try:
                doors.cloud.call(service, operation, **parameters)
            except NotFound:
                continue  # an earlier teardown came as far


def removal(project: str, repositories: Iterable[tuple[str, Mapping[str, str]]]) -> tuple[Action, ...]:
    """Return the Action that takes away what CodeBuild needed; none where no repository's tags know of it.

    Args:
        repositories: ARN and tags of each.
    """
    marked = tuple(arn for arn, tags in repositories if codebuild.MARK in tags)
    if not marked:
        return ()
    what = f"CodeBuild project {codebuild.project_name(project)}"
    operation = RemoveCodeBuild(project, marked)
    return (Action("image/builder", Kind.DELETE, what, "with its role and its log", operation),)
