"""Stage *image*: an ECR repository for each image of the project, and the image in it.

An image carries a tag made of the digest of its build context, so that an unchanged context is neither built nor
pushed again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pcinfra.engine import Action, Change, Kind, Plan
from pcinfra.errors import NotFound, Refused
from pcinfra.images import IMAGE, Order, builders, context
from pcinfra.images import REPOSITORY as REPOSITORY
from pcinfra.images.builders.codebuild import removal
from pcinfra.images.reference import Reference, reference, repository_uri
from pcinfra.stages import image_operations as operations
from pcinfra.stages.base import Facts, Health, Resource
from pcinfra.stages.closely import RepositoryPolicyFacts

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Image as Settings
    from pcinfra.project import Project


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One repository as it is (None: there is none), its images, and what is to make the one that is missing."""

    repository: Mapping[str, Any] | None
    context: str
    builder: str
    policy: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    images: tuple[Mapping[str, Any], ...] = ()

    @property
    def context_tag(self) -> str:
        """The tag that says which build context an image was made of."""
        return context.tag(self.context)

    def tagged(self, tag: str) -> Mapping[str, Any] | None:
        """Return the image that carries ``tag``."""
        return next((image for image in self.images if tag in image.get("imageTags", ())), None)


@dataclass(frozen=True, slots=True)
class ImagesFacts:
    """Those of every image, by its name in the project file."""

    images: Mapping[str, ImageFacts] = field(default_factory=dict)


class Image:
    """The ECR repositories and the images that jobs run in."""

    name: ClassVar[str] = "image"
    needs: ClassVar[tuple[str, ...]] = ()

    def read(self, project: Project, doors: Doors, facts: Facts) -> ImagesFacts:
        return ImagesFacts({name: _read(image, doors) for name, image in project.images.items()})

    def up(self, project: Project, facts: Facts) -> Plan:
        actions = {action.id: action for name in project.images for action in up_of(project, facts, name)}
        return Plan(tuple(actions.values()))

    def down(self, project: Project, facts: Facts) -> Plan:
        found = facts.of(ImagesFacts).images
        there = {name: one for name, one in found.items() if one.repository is not None}
        marked = [(one.repository["repositoryArn"], one.tags) for one in there.values() if one.repository]
        builder = removal(project.project, marked)
        after = frozenset(action.id for action in builder)
        plan = Plan(builder)
        for name, one in there.items():
            plan += _down(project, name, one, after)
        return plan

    def status(self, project: Project, facts: Facts) -> list[Resource]:
        return [row for name in project.images for row in _status(project, facts, name)]

    def env(self, project: Project, facts: Facts) -> dict[str, str]:
        """Return the variables of the first image."""
        found = named(project, facts, project.first_image)
        return {
            "ECR_REPO_NAME": found.repository,
            "ECR_REPO_URI": found.uri,
            "IMAGE_TAG": found.tag,
            "TRAINING_IMAGE_URI": found.full,
        }


def _read(image: Settings, doors: Doors) -> ImageFacts:
    digest, name = context.digest(context.folder(image.context)), image.repository
    try:
        found = doors.cloud.call("ecr", "DescribeRepositories", repositoryNames=[name])["repositories"][0]
    except NotFound:
        return ImageFacts(None, digest, builders.choose(doors, image.builder).name)
    rows = doors.cloud.call("ecr", "ListTagsForResource", resourceArn=found["repositoryArn"])["tags"]
    images = doors.cloud.pages("ecr", "DescribeImages", "imageDetails", repositoryName=name)
    tags = {row["Key"]: row["Value"] for row in rows}
    read = ImageFacts(found, digest, "", _read_policy(doors, name), tags, tuple(images))
    if read.tagged(read.context_tag):
        return read
    return replace(read, builder=builders.choose(doors, image.builder).name)


def up_of(project: Project, facts: Facts, name: str) -> tuple[Action, ...]:
    """Return the Actions that make repository and image ``name`` what ``project`` says."""
    found = facts.of(ImagesFacts).images[name]
    _refuse_foreign(project, name, found)
    actions = tuple(_repository(project, name, found))
    if present := found.tagged(found.context_tag):
        return (*actions, *_retagging(project, name, present))
    why = "is not in the repository" if not found.images else "its build context changed"
    return (*actions, *builders.named(found.builder).publish(order(project, facts, name), why))


def _down(project: Project, name: str, found: ImageFacts, after: frozenset[str]) -> Plan:
    repository = project.images[name].repository
    if "pcinfra:project" not in found.tags:
        return Plan(notes=(f"repository {repository} was not made by pcinfra: it is kept",))
    _refuse_foreign(project, name, found)
    others = [image for image in found.images if found.context_tag not in image.get("imageTags", ())]
    loses = f"{len(others)} image(s) in {repository} that `pcinfra up` does not build from here" if others else ""
    delete = operations.DeleteRepository(repository)
    action = Action(
        REPOSITORY + name, Kind.DELETE, f"repository {repository}", "and every image in it", delete, after, loses=loses
    )
    return Plan((action,))


def named(project: Project, facts: Facts, name: str) -> Reference:
    """Return how the image ``name`` is named, by digest where it is in its repository."""
    found = facts.of(ImagesFacts).images[name]
    tag = found.context_tag if project.images[name].immutable_tags else project.images[name].tag
    return reference(project, facts.account, name, found.images, tag)


def _status(project: Project, facts: Facts, name: str) -> list[Resource]:
    found, repository = facts.of(ImagesFacts).images[name], project.images[name].repository
    what = f"repository {repository}"
    if found.repository is None:
        return [Resource(Image.name, what, "", Health.ABSENT)]
    policies = facts.values.get(RepositoryPolicyFacts, RepositoryPolicyFacts())
    rows = [_repository_row(what, found, policies.texts.get(repository, ""))]
    tag = named(project, facts, name).tag
    image = found.tagged(tag)
    shown = f"image {name}:{tag}"
    if image is None:
        return [*rows, Resource(Image.name, shown, "", Health.ABSENT)]
    fresh = found.context_tag in image.get("imageTags", ())
    detail = "" if fresh else "its build context changed since"
    health = Health.OK if fresh else Health.DIFFERS
    since = _moment(image.get("imagePushedAt"))
    return [*rows, Resource(Image.name, shown, image["imageDigest"], health, detail, since)]


def _repository_row(what: str, found: ImageFacts, policy: str) -> Resource:
    assert found.repository is not None
    detail, health = f"{len(found.images)} image(s)", Health.OK
    if policy:
        name = found.repository["repositoryName"]
        detail += f"; a policy was added by hand: aws ecr get-repository-policy --repository-name {name}"
        health = Health.DIFFERS
    since = _moment(found.repository.get("createdAt"))
    return Resource(Image.name, what, found.repository["repositoryUri"], health, detail, since)


def _moment(value: Any) -> str:
    return value.isoformat() if value else ""


def _refuse_foreign(project: Project, name: str, found: ImageFacts) -> None:
    owner = found.tags.get("pcinfra:project", project.project)
    if owner != project.project:
        raise Refused(
            f"belongs to the project {owner!r}", where=f"repository {project.images[name].repository}",
            hint=f"give this image a repository of its own: images.{name}.repository in pcinfra.yaml",
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


def _mutability(image: Settings) -> str:
    return "IMMUTABLE" if image.immutable_tags else "MUTABLE"


def _repository(project: Project, name: str, found: ImageFacts) -> Iterator[Action]:
    """Yield the Actions that bring the repository and its settings to what the project says."""
    image = project.images[name]
    what, tags = f"repository {image.repository}", tuple(sorted(project.tags_for(Image.name).items()))
    after = frozenset({REPOSITORY + name})
    if found.repository is None:
        create = operations.CreateRepository(image.repository, _mutability(image), tags, project.kms_key or "")
        yield Action(REPOSITORY + name, Kind.CREATE, what, "does not exist", create)
    else:
        yield from _settings(name, image, found.repository)
    policy = _policy(image.keep)
    if not found.policy or json.loads(found.policy) != json.loads(policy):
        put = operations.PutLifecyclePolicy(image.repository, policy)
        why = "differs" if found.policy else "is not set"
        yield Action(f"image/life cycle/{name}", Kind.UPDATE, f"life cycle of {what}", why, put, after)
    if found.repository is not None and not dict(tags).items() <= found.tags.items():
        tag = operations.TagRepository(found.repository["repositoryArn"], tags)
        yield Action(f"image/tags/{name}", Kind.UPDATE, f"tags of {what}", "differ", tag, after)


def _settings(name: str, image: Settings, repository: Mapping[str, Any]) -> Iterator[Action]:
    what = f"repository {image.repository}"
    scanning = repository.get("imageScanningConfiguration", {}).get("scanOnPush")
    if not scanning:
        changes = (Change("scanOnPush", str(scanning), "True"),)
        put: Any = operations.ScanOnPush(image.repository)
        yield Action(f"image/scanning/{name}", Kind.UPDATE, f"scanning of {what}", "differs", put, changes=changes)
    wanted = _mutability(image)
    if repository.get("imageTagMutability") != wanted:
        changes = (Change("imageTagMutability", repository.get("imageTagMutability"), wanted),)
        put = operations.PutMutability(image.repository, wanted)
        yield Action(f"image/mutability/{name}", Kind.UPDATE, f"tags of {what}", "differ", put, changes=changes)


def _retagging(project: Project, name: str, image: Mapping[str, Any]) -> Iterable[Action]:
    """Return the Action that moves the tag to the image of the present context, after a return to older files."""
    settings = project.images[name]
    tag, repository = settings.tag, settings.repository
    if settings.immutable_tags or tag in image.get("imageTags", ()):
        return ()
    move = operations.MoveTag(repository, tag, image["imageDigest"])
    return (Action(IMAGE + name, Kind.UPDATE, f"tag {tag} of repository {repository}", "is on another image", move),)


def order(project: Project, facts: Facts, name: str) -> Order:
    """Return the image ``name`` that ``project`` asks for."""
    image, found = project.images[name], facts.of(ImagesFacts).images[name]
    tags = (found.context_tag,) if image.immutable_tags else (found.context_tag, image.tag)
    return Order(
        name=name,
        repository=image.repository,
        uri=repository_uri(project, facts.account, image.repository),
        tags=tags,
        context=image.context,
        digest=found.context,
        space=image.disk_space,
        project=project.project,
        bucket=project.bucket_name(facts.account),
        resource_tags=tuple(sorted(project.tags_for(Image.name).items())),
        boundary=project.permissions_boundary or "",
        key=project.kms_key or "",
        partition=project.partition,
        family=tuple((each.repository, each.context) for each in project.images.values()),
    )
