"""The image that a job file names, as an address that means the same image tomorrow."""

from __future__ import annotations

import re

from pcinfra.aws import Cloud
from pcinfra.errors import CloudError, NotFound, UsageError
from pcinfra.images.reference import wanted_tag
from pcinfra.project.model import Project
from pcinfra.project.wording import nearest


def is_ours(image: str) -> bool:
    """Return whether ``image`` is a name of the project's, or a digest in its repository: not an address."""
    return image.startswith("sha256:") or not any(char in image for char in "/:@#")


def asks(image: str, region: str) -> bool:
    """Return whether ECR is asked for what ``image`` is."""
    found = _ECR.fullmatch(image)
    return is_ours(image) or bool(found and found["region"] == region)


def resolved(image: str, project: Project, cloud: Cloud) -> str:
    """Return the address of ``image``. One of the project's, or of ECR in its region, is named by its digest, for which
    ECR is asked.

    Raises:
        UsageError: the project has no image of that name.
        NotFound: it has not been built yet, or ECR has no such image.
    """
    if not is_ours(image):
        return _in_ecr(image, cloud)
    ours = project.images
    if image.startswith("sha256:"):
        repository, wanted = next(iter(ours.values())).repository, {"imageDigest": image}
    elif image in ours:
        repository, wanted = ours[image].repository, {"imageTag": wanted_tag(project, image)}
    else:
        hint = nearest(image, list(ours)) or f"{next(iter(ours))}, or {image}:latest for one of Docker Hub"
        raise UsageError(f"pcinfra.yaml has no image {image!r}", where="image", hint=hint)
    try:
        found = cloud.call("ecr", "DescribeImages", repositoryName=repository, imageIds=[wanted])["imageDetails"][0]
        home = cloud.call("ecr", "DescribeRepositories", repositoryNames=[repository])["repositories"][0]
    except NotFound as error:
        why = f"is not in ECR: {repository} has no {next(iter(wanted.values()))}"
        raise NotFound(why, where=f"image {image}", hint="pcinfra up", code=error.code) from error
    return f"{home['repositoryUri']}@{found['imageDigest']}"


_ECR = re.compile(
    r"(?:docker://)?(?P<host>(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?)"
    r"[/#](?P<repository>[^:@]+)(?::(?P<tag>[\w.-]+))?"
)


def _in_ecr(image: str, cloud: Cloud) -> str:
    """Return an address by tag in ECR as one by digest; any other, and one that may not be asked for, as it is."""
    found = _ECR.fullmatch(image)
    if not found or found["region"] != cloud.region:
        return image
    tag = found["tag"] or "latest"
    try:
        rows = cloud.call(
            "ecr", "DescribeImages", registryId=found["account"], repositoryName=found["repository"],
            imageIds=[{"imageTag": tag}],
        )["imageDetails"]  # fmt: skip
    except NotFound as error:
        why = f"is not in ECR: {found['repository']} has no {tag}"
        raise NotFound(why, where=f"image {image}", hint="pcinfra image list", code=error.code) from error
    except CloudError:
        return image  # another account's, which the nodes may pull from all the same
    return f"{found['host']}/{found['repository']}@{rows[0]['imageDigest']}"
