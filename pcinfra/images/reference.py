"""How an image of the project is named: its repository's URI, its tag, and its digest where ECR has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.errors import NotFound
from pcinfra.images import context

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.project import Project


@dataclass(frozen=True, slots=True)
class Reference:
    """An image of the project.

    Args:
        name: its name under ``images`` in the project file.
        uri: of its repository, without a tag: ``123456789012.dkr.ecr.us-east-1.amazonaws.com/training``.
        tag: the one that jobs use: ``tag`` of the project file, or with immutable tags that of its build context.
        digest: ``sha256:...`` of the image that carries the tag; empty where there is none yet.
    """

    name: str
    repository: str
    uri: str
    tag: str
    digest: str = ""

    @property
    def full(self) -> str:
        """The name to pull it by: by digest, so that it stays what it is; by tag while there is no image."""
        return f"{self.uri}@{self.digest}" if self.digest else f"{self.uri}:{self.tag}"


def reference(
    project: Project, account: str, name: str, rows: Iterable[Mapping[str, Any]] = (), tag: str = ""
) -> Reference:
    """Return how the image ``name`` of ``project`` is named in ``account`` (12 digits).

    Args:
        rows: ``imageDetails`` of ECR's DescribeImages for its repository.
        tag: :func:`wanted_tag`, where that is known; it reads the build context of an image with immutable tags.
    """
    image, tag = project.images[name], tag or wanted_tag(project, name)
    found = next((row for row in rows if tag in row.get("imageTags", ())), None)
    digest = str(found["imageDigest"]) if found else ""
    return Reference(name, image.repository, repository_uri(project, account, image.repository), tag, digest)


def wanted_tag(project: Project, name: str) -> str:
    """Return the tag of the image that jobs are to use.

    Raises:
        Refused: tags are immutable, and its build context cannot be read.
    """
    image = project.images[name]
    return context.tag(context.digest(context.folder(image.context))) if image.immutable_tags else image.tag


def repository_uri(project: Project, account: str, repository: str) -> str:
    """Return the URI of an ECR repository (ECR user guide, "Private registry")."""
    domain = "amazonaws.com.cn" if project.partition == "aws-cn" else "amazonaws.com"
    return f"{account}.dkr.ecr.{project.region}.{domain}/{repository}"


def find(project: Project, cloud: Cloud, name: str) -> Reference:
    """Ask ECR, in one call, for the image ``name`` of ``project``; the digest is empty where there is none yet."""
    wanted = reference(project, cloud.account, name)
    asked = [{"imageTag": wanted.tag}]
    try:
        answer = cloud.call("ecr", "DescribeImages", repositoryName=wanted.repository, imageIds=asked)
    except NotFound:
        return wanted
    return reference(project, cloud.account, name, answer["imageDetails"], wanted.tag)
