"""Which image a job file means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pcinfra.errors import CloudError, NotFound, UsageError
from pcinfra.jobs.images import asks, is_ours, resolved
from pcinfra.project import Project

HOME = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training"
DIGEST = "sha256:" + "ab" * 32


class Ecr:
    """A registry with one image of one tag."""

    region = "us-east-1"
    account = "123456789012"

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        if operation == "DescribeRepositories":
            return {"repositories": [{"repositoryUri": HOME}]}
        assert operation == "DescribeImages"
        wanted: Mapping[str, str] = parameters["imageIds"][0]
        if parameters["repositoryName"] == "foreign":
            raise CloudError("denied", code="AccessDeniedException")
        if wanted not in ({"imageTag": "latest"}, {"imageDigest": DIGEST}):
            raise NotFound("no such image", code="ImageNotFoundException")
        return {"imageDetails": [{"imageDigest": DIGEST}]}

    def pages(self, service: str, operation: str, key: str, /, **parameters: Any) -> list[Any]:
        raise AssertionError(operation)


def test_an_image_of_the_project_is_named_by_its_digest() -> None:
    project = Project(project="p")
    name = next(iter(project.images))
    for image in (name, DIGEST):
        assert is_ours(image)
        assert resolved(image, project, Ecr()) == f"{HOME}@{DIGEST}"


@pytest.mark.parametrize("image", ["ubuntu:22.04", "nvcr.io/a/b:1", "/lustre/a.sqsh", "nvidia/cuda"])
def test_an_address_stays_as_it_is(image: str) -> None:
    assert not is_ours(image)
    assert resolved(image, Project(project="p"), Ecr()) == image


def test_a_name_that_is_no_image_is_refused_with_the_nearest() -> None:
    project = Project(project="p")
    name = next(iter(project.images))
    with pytest.raises(UsageError, match=rf"has no image .*\n  try: {name}"):
        resolved(name[:-1], project, Ecr())


def test_an_image_that_is_not_built_yet_says_how() -> None:
    with pytest.raises(NotFound, match=r"has no sha256:0.*\n  try: pcinfra up"):
        resolved("sha256:" + "0" * 64, Project(project="p"), Ecr())


def test_a_tag_in_ecr_is_named_by_its_digest() -> None:
    host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
    for image in (f"{host}/training:latest", f"docker://{host}#training", f"{host}/training"):
        assert asks(image, "us-east-1")
        assert resolved(image, Project(project="p"), Ecr()) == f"{host}/training@{DIGEST}"
    with pytest.raises(NotFound, match="training has no v9"):
        resolved(f"{host}/training:v9", Project(project="p"), Ecr())
    assert resolved(f"{host}/foreign:v9", Project(project="p"), Ecr()) == f"{host}/foreign:v9"
    for image in (host.replace("us-east-1", "eu-west-1") + "/a:1", f"{host}/a@{DIGEST}", "ubuntu:22.04"):
        assert not asks(image, "us-east-1")
