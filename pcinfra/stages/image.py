"""Stage *image*: the ECR repository, and the training image in it.

The image carries a tag made of the digest of its build context, so that an unchanged context is neither built nor
pushed again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pcinfra.engine import Action, Change, Kind, Plan
from pcinfra.errors import Conflict, NotFound, Refused
from pcinfra.images import IMAGE, Order, builders, context
from pcinfra.images import REPOSITORY as REPOSITORY
from pcinfra.images.builders.codebuild import removal
from pcinfra.stages.base import Facts, Health, Resource
from pcinfra.stages.closely import RepositoryPolicyFacts

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Project


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The repository as it is (None: there is none), its images, and what is to make the one that is missing."""

    repository: Mapping[str, Any] | None
    context: str
    builder: str
    policy: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    images: tuple[Mapping[str, Any], ...] = ()

    @property
    def context_tag(self) -> str:
        """The tag that says which build context an image was made of."""
        return f"context-{self.context[:16]}"

    def tagged(self, tag: str) -> Mapping[str, Any] | None:
        """Return the image that carries ``tag``."""
        return next((image for image in self.images if tag in image.get("imageTags", ())), None)


class Image:
    """The ECR repository and the training image."""

    name: ClassVar[str] = "image"
    needs: ClassVar[tuple[str, ...]] = ()

    def read(self, project: Project, doors: Doors, facts: Facts) -> ImageFacts:
        digest = context.digest(context.folder(project.image.context))
        name = project.image.repository
        try:
            found = doors.cloud.call("ecr", "DescribeRepositories", repositoryNames=[name])["repositories"][0]
        except NotFound:
            return ImageFacts(None, digest, builders.choose(doors, project.image.builder).name)
        rows = doors.cloud.call("ecr", "ListTagsForResource", resourceArn=found["repositoryArn"])["tags"]
        images = doors.cloud.pages("ecr", "DescribeImages", "imageDetails", repositoryName=name)
        tags = {row["Key"]: row["Value"] for row in rows}
        read = ImageFacts(found, digest, "", _read_policy(doors, name), tags, tuple(images))
        if read.tagged(read.context_tag):
            return read
        return replace(read, builder=builders.choose(doors, project.image.builder).name)

    def up(self, project: Project, facts: Facts) -> Plan:
        found = facts.of(ImageFacts)
        _refuse_foreign(project, found)
        actions = _repository(project, found)
        if present := found.tagged(found.context_tag):
            return Plan((*actions, *_retagging(project, present)))
        why = "is not in the repository" if not found.images else "its build context changed"
        actions += builders.named(found.builder).publish(order(project, facts), why)
        return Plan(tuple(actions))

    def down(self, project: Project, facts: Facts) -> Plan:
        found = facts.of(ImageFacts)
        if found.repository is None:
            return Plan()
        name = project.image.repository
        builder = removal(project.project, found.repository["repositoryArn"], found.tags)
        if "pcinfra:project" not in found.tags:
            return Plan(builder, notes=(f"repository {name} was not made by pcinfra: it is kept",))
        _refuse_foreign(project, found)
        others = [image for image in found.images if found.context_tag not in image.get("imageTags", ())]
        loses = f"{len(others)} image(s) in {name} that `pcinfra up` does not build from here" if others else ""
        action = Action(
            REPOSITORY, Kind.DELETE, f"repository {name}", "and every image in it", DeleteRepository(name),
            frozenset(action.id for action in builder), loses=loses,
        )  # fmt: skip
        return Plan((*builder, action))

    def status(self, project: Project, facts: Facts) -> list[Resource]:
        found = facts.of(ImageFacts)
        what = f"repository {project.image.repository}"
        if found.repository is None:
            return [Resource(self.name, what, "", Health.ABSENT)]
        rows = [_repository_row(what, found, facts.values.get(RepositoryPolicyFacts, RepositoryPolicyFacts()))]
        tag = project.image.tag if not project.image.immutable_tags else found.context_tag
        image = found.tagged(tag)
        if image is None:
            rows.append(Resource(self.name, f"image {tag}", "", Health.ABSENT))
        else:
            fresh = found.context_tag in image.get("imageTags", ())
            detail = "" if fresh else "its build context changed since"
            health = Health.OK if fresh else Health.DIFFERS
            since = _moment(image.get("imagePushedAt"))
            rows.append(Resource(self.name, f"image {tag}", image["imageDigest"], health, detail, since))
        return rows

    def env(self, project: Project, facts: Facts) -> dict[str, str]:
        found = facts.of(ImageFacts)
        uri = _uri(project, facts)
        tag = found.context_tag if project.image.immutable_tags else project.image.tag
        image = found.tagged(tag)
        return {
            "ECR_REPO_NAME": project.image.repository,
            "ECR_REPO_URI": uri,
            "IMAGE_TAG": tag,
            "TRAINING_IMAGE_URI": f"{uri}@{image['imageDigest']}" if image else f"{uri}:{tag}",
        }


def _repository_row(what: str, found: ImageFacts, policy: RepositoryPolicyFacts) -> Resource:
    assert found.repository is not None
    detail, health = f"{len(found.images)} image(s)", Health.OK
    if policy.text:
        name = found.repository["repositoryName"]
        detail += f"; a policy was added by hand: aws ecr get-repository-policy --repository-name {name}"
        health = Health.DIFFERS
    since = _moment(found.repository.get("createdAt"))
    return Resource(Image.name, what, found.repository["repositoryUri"], health, detail, since)


def _moment(value: Any) -> str:
    return value.isoformat() if value else ""


def _uri(project: Project, facts: Facts) -> str:
    found = facts.of(ImageFacts)
    if found.repository:
        return str(found.repository["repositoryUri"])
    domain = "amazonaws.com.cn" if project.partition == "aws-cn" else "amazonaws.com"
    return f"{facts.account}.dkr.ecr.{facts.region}.{domain}/{project.image.repository}"


def _tags(project: Project, found: ImageFacts) -> tuple[str, ...]:
    return (found.context_tag,) if project.image.immutable_tags else (found.context_tag, project.image.tag)


def _refuse_foreign(project: Project, found: ImageFacts) -> None:
    owner = found.tags.get("pcinfra:project", project.project)
    if owner != project.project:
        raise Refused(
            f"belongs to the project {owner!r}", where=f"repository {project.image.repository}",
            hint="give this project a repository of its own: image.repository in pcinfra.yaml",
        )  # fmt: skip


def _read_policy(doors: Doors, name: str) -> str:
    try:
        return str(doors.cloud.call("ecr", "GetLifecyclePolicy", repositoryName=name)["lifecyclePolicyText"])
    except NotFound:
        return ""


def _policy(keep: int) -> str:
    """Return the life-cycle policy that keeps the newest ``keep`` images (ECR user guide, life-cycle policies)."""
    rule = {
        "rulePriority": 1,
        "description": f"keep the newest {keep} images",
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": keep},
        "action": {"type": "expire"},
    }
    return json.dumps({"rules": [rule]})


def _mutability(project: Project) -> str:
    return "IMMUTABLE" if project.image.immutable_tags else "MUTABLE"


def _repository(project: Project, found: ImageFacts) -> list[Action]:
    """Return the Actions that bring the repository and its settings to what the project says."""
    name = project.image.repository
    tags = tuple(sorted(project.tags_for(Image.name).items()))
    after = frozenset({REPOSITORY})
    actions = []
    if found.repository is None:
        create = CreateRepository(name, _mutability(project), tags, project.kms_key or "")
        actions.append(Action(REPOSITORY, Kind.CREATE, f"repository {name}", "does not exist", create))
    else:
        actions += _settings(project, found.repository)
    policy = _policy(project.image.keep)
    if not found.policy or json.loads(found.policy) != json.loads(policy):
        put = PutLifecyclePolicy(name, policy)
        why = "differs" if found.policy else "is not set"
        actions.append(Action("image/life cycle", Kind.UPDATE, f"life cycle of repository {name}", why, put, after))
    if found.repository is not None and not dict(tags).items() <= found.tags.items():
        tag = TagRepository(found.repository["repositoryArn"], tags)
        actions.append(Action("image/tags", Kind.UPDATE, f"tags of repository {name}", "differ", tag, after))
    return actions


def _settings(project: Project, repository: Mapping[str, Any]) -> list[Action]:
    name = project.image.repository
    actions = []
    scanning = repository.get("imageScanningConfiguration", {}).get("scanOnPush")
    if not scanning:
        change = Change("scanOnPush", str(scanning), "True")
        actions.append(
            Action(
                "image/scanning", Kind.UPDATE, f"scanning of repository {name}", "differs", ScanOnPush(name),
                changes=(change,),
            )
        )  # fmt: skip
    wanted = _mutability(project)
    if repository.get("imageTagMutability") != wanted:
        change = Change("imageTagMutability", repository.get("imageTagMutability"), wanted)
        put = PutMutability(name, wanted)
        actions.append(
            Action("image/mutability", Kind.UPDATE, f"tags of repository {name}", "differ", put, changes=(change,))
        )
    return actions


def _retagging(project: Project, image: Mapping[str, Any]) -> tuple[Action, ...]:
    """Return the Action that moves ``image.tag`` to the image of the present context, after a return to older files."""
    tag, name = project.image.tag, project.image.repository
    if project.image.immutable_tags or tag in image.get("imageTags", ()):
        return ()
    move = MoveTag(name, tag, image["imageDigest"])
    return (Action(IMAGE, Kind.UPDATE, f"tag {tag} of repository {name}", "is on another image", move),)


def order(project: Project, facts: Facts) -> Order:
    """Return the image that ``project`` asks for."""
    found = facts.of(ImageFacts)
    image = project.image
    return Order(
        image.repository, _uri(project, facts), _tags(project, found), image.context, found.context, image.disk_space,
        project.project, project.bucket_name(facts.account), tuple(sorted(project.tags_for(Image.name).items())),
        project.permissions_boundary or "", project.kms_key or "", project.partition,
    )  # fmt: skip


# --- operations --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateRepository:
    """Create the repository: scanned on push, encrypted. One of ours that exists already is success."""

    name: str
    mutability: str
    tags: tuple[tuple[str, str], ...]
    key: str = ""

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        encryption = {"encryptionType": "KMS", "kmsKey": self.key} if self.key else {"encryptionType": "AES256"}
        try:
            doors.cloud.call(
                "ecr", "CreateRepository", repositoryName=self.name, imageTagMutability=self.mutability,
                imageScanningConfiguration={"scanOnPush": True}, encryptionConfiguration=encryption,
                tags=[{"Key": k, "Value": v} for k, v in self.tags],
            )  # fmt: skip
        except Conflict as error:
            found = doors.cloud.call("ecr", "DescribeRepositories", repositoryNames=[self.name])["repositories"][0]
            rows = doors.cloud.call("ecr", "ListTagsForResource", resourceArn=found["repositoryArn"])["tags"]
            if not set(self.tags) <= {(row["Key"], row["Value"]) for row in rows}:
                raise Refused(error.why, where=f"repository {self.name}", hint="pcinfra up again") from error


@dataclass(frozen=True, slots=True)
class PutLifecyclePolicy:
    """Set which images expire."""

    name: str
    policy: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        doors.cloud.call("ecr", "PutLifecyclePolicy", repositoryName=self.name, lifecyclePolicyText=self.policy)


@dataclass(frozen=True, slots=True)
class TagRepository:
    """Tag the repository."""

    arn: str
    tags: tuple[tuple[str, str], ...]

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        doors.cloud.call(
            "ecr", "TagResource", resourceArn=self.arn, tags=[{"Key": k, "Value": v} for k, v in self.tags]
        )


@dataclass(frozen=True, slots=True)
class ScanOnPush:
    """Switch on scanning of every image that is pushed."""

    name: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        doors.cloud.call(
            "ecr", "PutImageScanningConfiguration", repositoryName=self.name,
            imageScanningConfiguration={"scanOnPush": True},
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PutMutability:
    """Set whether a tag can be moved to another image."""

    name: str
    mutability: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        doors.cloud.call("ecr", "PutImageTagMutability", repositoryName=self.name, imageTagMutability=self.mutability)


@dataclass(frozen=True, slots=True)
class MoveTag:
    """Put a tag on an image that is there (ECR user guide, "Retagging an image")."""

    name: str
    tag: str
    digest: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        found = doors.cloud.call(
            "ecr", "BatchGetImage", repositoryName=self.name, imageIds=[{"imageDigest": self.digest}]
        )["images"]
        if not found:
            raise Refused("is not there any more", where=f"image {self.digest[:19]}", hint="pcinfra up")
        with suppress(Conflict):  # another run has just done it
            doors.cloud.call(
                "ecr", "PutImage", repositoryName=self.name, imageTag=self.tag,
                imageManifest=found[0]["imageManifest"], imageManifestMediaType=found[0]["imageManifestMediaType"],
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DeleteRepository:
    """Delete the repository with every image in it."""

    name: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        try:
            doors.cloud.call("ecr", "DeleteRepository", repositoryName=self.name, force=True)
        except NotFound:
            return
