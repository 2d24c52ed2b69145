"""The image that a job file names, as an address that means the same image tomorrow."""

from __future__ import annotations

from pcinfra.aws import Cloud
from pcinfra.errors import NotFound, UsageError
from pcinfra.images.reference import wanted_tag
from pcinfra.project.model import Project
from pcinfra.project.wording import nearest


def is_ours(image: str) -> bool:
    """Return whether ``image`` is a name of the project's, or a digest in its repository: not an address."""
    return image.startswith("sha256:") or not any(char in image for char in "/:@#")


def resolved(image: str, project: Project, cloud: Cloud) -> str:
    """Return the address of ``image``; one of the project's is asked for in ECR, and named by its digest.

    Raises:
        UsageError: the project has no image of that name.
        NotFound: it has not been built yet.
    """
    if not is_ours(image):
        return image
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
