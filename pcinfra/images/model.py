"""The nouns: the image that is ordered, and the Builder that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pcinfra.engine import Action

if TYPE_CHECKING:
    from pcinfra.doors import Doors

REPOSITORY = "image/repository/"
IMAGE = "image/image/"
"""Beginnings of the ids of Actions; the image's name in the project file follows."""


@dataclass(frozen=True, slots=True)
class Order:
    """An image to be made and put into its repository.

    Args:
        name: its name in the project file.
        uri: of the repository, without a tag: ``123456789012.dkr.ecr.us-east-1.amazonaws.com/training``.
        tags: those it is to carry; the first one says which build context it is made of.
        context: ``context`` of the project file.
        digest: of the files in it.
        space: GB (10^9 bytes) that must be free on this machine to make it here; 0 is not checked.
        project: name of the project.
        bucket: S3 bucket that can carry the context.
        resource_tags: tags of everything that is made on the way.
        boundary: ARN of the policy that bounds every role; empty is no bound.
        key: ARN of the KMS key that encrypts the bucket; empty is AWS's.
        partition: ``aws``, ``aws-cn`` or ``aws-us-gov``.
        family: repository and context of every image of the project, this one among them.
    """

    name: str
    repository: str
    uri: str
    tags: tuple[str, ...]
    context: str
    digest: str
    space: int = 0
    project: str = ""
    bucket: str = ""
    resource_tags: tuple[tuple[str, str], ...] = ()
    boundary: str = ""
    key: str = ""
    partition: str = "aws"
    family: tuple[tuple[str, str], ...] = ()

    @property
    def registry(self) -> str:
        return self.uri.partition("/")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The full names: repository and tag."""
        return tuple(f"{self.uri}:{tag}" for tag in self.tags)

    @property
    def what(self) -> str:
        return f"image {self.uri.rpartition('/')[2]}:{self.tags[0]}"


class Builder(Protocol):
    """One way to make an image. A new one is a module in ``builders/`` and a line in its REGISTRY."""

    @property
    def name(self) -> str:
        """What ``builder`` in the project file and ``--builder`` call it."""
        ...

    @property
    def here(self) -> bool:
        """Whether it works on this machine, so that an image can be made without being pushed."""
        ...

    def why_not(self, doors: Doors) -> str:
        """Return why it cannot be used from here; empty when it can."""
        ...

    def build(self, order: Order, why: str) -> tuple[Action, ...]:
        """Return the Actions that make the image and leave it where it was made; none unless :attr:`here`."""
        ...

    def publish(self, order: Order, why: str) -> tuple[Action, ...]:
        """Return the Actions that bring the image into the repository; the last one is :data:`IMAGE` and its name.

        An Action that serves every image of the project has the same id and does the same for each of them.
        """
        ...
