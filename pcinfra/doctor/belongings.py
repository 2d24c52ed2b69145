"""The bucket and the repository of the project: absent, ours, or in the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pcinfra.doctor.model import Line, failure, ok, warning
from pcinfra.errors import AccessDenied, NotFound
from pcinfra.images.reference import wanted_tag

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Project

TAG = "pcinfra:project"


def bucket(project: Project, doors: Doors) -> Iterator[Line]:
    name = project.bucket_name(doors.cloud.account)
    what, fix = f"bucket {name}", "another bucket.name in pcinfra.yaml"
    try:
        doors.cloud.call("s3", "HeadBucket", Bucket=name)
        tags = doors.cloud.call("s3", "GetBucketTagging", Bucket=name)["TagSet"]
    except NotFound as error:
        absent = error.code != "NoSuchTagSet"
        yield ok(what, "does not exist: `pcinfra up` makes it" if absent else "made by hand: it is used as it is")
        return
    except AccessDenied:
        yield failure(what, "belongs to somebody else, or a policy keeps you out", fix)
        return
    yield _owned(what, tags, project, fix)


def images(project: Project, doors: Doors) -> Iterator[Line]:
    for name in project.images:
        yield from _image(project, name, doors)


def _image(project: Project, image: str, doors: Doors) -> Iterator[Line]:
    call, wanted = doors.cloud.call, wanted_tag(project, image)
    name, what = project.images[image].repository, f"image {image}:{wanted}"
    try:
        found = call("ecr", "DescribeRepositories", repositoryNames=[name])["repositories"][0]
        owned = call("ecr", "ListTagsForResource", resourceArn=found["repositoryArn"])["tags"]
        yield _owned(f"repository {name}", owned, project, f"another images.{image}.repository in pcinfra.yaml")
        details = call("ecr", "DescribeImages", repositoryName=name, imageIds=[{"imageTag": wanted}])["imageDetails"]
    except NotFound as error:
        absent = "Repository" in error.code
        found_ = "the repository does not exist" if absent else "is not in the repository yet"
        yield ok(what, f"{found_}: `pcinfra up` makes it") if absent else warning(what, found_, "pcinfra up")
        return
    size = f", {details[0]['imageSizeInBytes'] / 1e9:.1f} GB" if details[0].get("imageSizeInBytes") else ""
    yield ok(what, f"{details[0]['imageDigest'][:19]}{size}")


def _owned(what: str, tags: list[Mapping[str, Any]], project: Project, fix: str) -> Line:
    owner = next((tag["Value"] for tag in tags if tag["Key"] == TAG), "")
    if owner == project.project:
        return ok(what, "exists, and is this project's")
    if owner:
        return failure(what, f"belongs to the project {owner}", fix)
    return ok(what, "made by hand: it is used as it is")
