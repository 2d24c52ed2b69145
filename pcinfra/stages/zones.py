"""Which availability zone ``auto`` stands for: one that offers every instance type of the clusters."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pcinfra.errors import Refused

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.project import Project


def choose(project: Project, cloud: Cloud) -> str:
    """Return the zone to use: the project's own, or the first that offers what every cluster needs.

    Raises:
        Refused: no zone offers all of it; says which type is offered where.
    """
    if project.availability_zone != "auto":
        return project.availability_zone
    wanted = instance_types(project)
    offered = _offers(cloud, wanted)
    zones = sorted(zone for zone, types in offered.items() if types >= wanted)
    if zones:
        return zones[0]
    lines = [f"{t}: {', '.join(sorted(z for z, types in offered.items() if t in types)) or 'nowhere'}" for t in wanted]
    raise Refused(
        f"no zone of {project.region} offers every instance type: {'; '.join(sorted(lines))}",
        where="availability_zone",
        hint="another region, or other instance types, in pcinfra.yaml",
    )


def instance_types(project: Project) -> set[str]:
    """Return every instance type that the project's clusters use."""
    types: set[str] = set()
    for cluster in project.clusters.values():
        types.add(cluster.head_node.instance_type)
        types.update(queue.instance_type for queue in cluster.queues)
    return types


def _offers(cloud: Cloud, wanted: set[str]) -> dict[str, set[str]]:
    zones: dict[str, set[str]] = defaultdict(set)
    if not wanted:
        for zone in cloud.call("ec2", "DescribeAvailabilityZones")["AvailabilityZones"]:
            zones[zone["ZoneName"]] = set()
        return zones
    offers = cloud.pages(
        "ec2", "DescribeInstanceTypeOfferings", "InstanceTypeOfferings", LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": sorted(wanted)}],
    )  # fmt: skip
    for offer in offers:
        zones[offer["Location"]].add(offer["InstanceType"])
    return zones
