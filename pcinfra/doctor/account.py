"""Who we are in AWS, and where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pcinfra.doctor.model import Line, failure, ok, warning
from pcinfra.errors import CloudError, CredentialsError

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Project


def identity(_: Project, doors: Doors) -> Iterator[Line]:
    try:
        answer = doors.cloud.call("sts", "GetCallerIdentity")
    except CredentialsError as error:
        yield failure("credentials", error.why, error.hint)
        return
    who = str(answer["Arn"])
    if who.endswith(":root"):
        fix = "aws configure   (with the keys of a user or role that has the policies of `pcinfra iam-policy`)"
        yield warning("credentials", f"{who}: the root user, who may do everything", fix)
    else:
        yield ok("credentials", who)


def region(project: Project, doors: Doors) -> Iterator[Line]:
    """Whether the account may use the region (EC2 API reference, DescribeRegions, OptInStatus)."""
    name = project.region
    try:
        found = doors.cloud.call("ec2", "DescribeRegions", RegionNames=[name], AllRegions=True)["Regions"]
    except CloudError as error:
        if error.code != "InvalidParameterValue":
            raise
        found = []
    if not found:
        yield failure("region", f"there is no region {name}", "aws ec2 describe-regions --all-regions, then region: X")
    elif found[0].get("OptInStatus") == "not-opted-in":
        yield failure("region", f"{name} is not enabled", f"aws account enable-region --region-name {name}")
    else:
        yield ok("region", name)
