"""The changes that stage *image* makes: to an ECR repository, and to the tags of what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.errors import Conflict, NotFound, Refused

if TYPE_CHECKING:
    from pcinfra.doors import Doors


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
