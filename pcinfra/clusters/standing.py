"""The clusters that stand: their stacks, how many of their nodes run, and when their capacity ends."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pcinfra.clusters import reservations
from pcinfra.clusters.facts import NAME_TAG, NODE_TYPE_TAG, find_all, stored_config
from pcinfra.clusters.fleet import Fleet, fleet_of
from pcinfra.engine import Action, Kind
from pcinfra.errors import CloudError

if TYPE_CHECKING:
    from datetime import datetime

    from pcinfra.aws import Cloud
    from pcinfra.cloudformation import Stack
    from pcinfra.doors import Doors

STANDING = "read/clusters"
NODE_TYPES = {"HeadNode": "head node", "LoginNode": "login node", "Compute": "compute node"}


@dataclass(frozen=True, slots=True)
class Standing:
    """One cluster. ``nodes`` counts the instances that run, by pcluster's node types."""

    stack: Stack
    nodes: Mapping[str, int] = field(default_factory=dict)
    reserved: tuple[reservations.Reservation, ...] = ()
    fleet: Fleet = Fleet.UNKNOWN

    @property
    def running(self) -> str:
        """Return ``1 head node, 2 compute nodes`` or ``no node``."""
        counted = ((self.nodes.get(kind, 0), words) for kind, words in NODE_TYPES.items())
        return ", ".join(f"{count} {words}{'s' * (count > 1)}" for count, words in counted if count) or "no node"

    def endings(self, now: datetime) -> list[str]:
        """Return in words when its capacity ends, as far as somebody has set an end."""
        return [text for text in (reservations.ending(each, now) for each in self.reserved) if text]


def reading(project: str) -> Action:
    """Return the Action that reads every cluster of ``project``; its result is a list of :class:`Standing`."""
    return Action(STANDING, Kind.READ, "clusters", "", ReadStanding(project))


@dataclass(frozen=True, slots=True)
class ReadStanding:
    """Read the clusters of a project: two calls, and some more for each that exists."""

    project: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> list[Standing]:
        stacks = find_all(doors.cloud, self.project)
        nodes = _running(doors.cloud, [stack.name for stack in stacks])
        cloud = doors.cloud
        return [Standing(s, nodes[s.name], _reserved(cloud, s), _fleet(cloud, s)) for s in stacks]


def _fleet(cloud: Cloud, stack: Stack) -> Fleet:
    try:
        return fleet_of(cloud, stack.name)
    except CloudError:
        return Fleet.UNKNOWN


def _reserved(cloud: Cloud, stack: Stack) -> tuple[reservations.Reservation, ...]:
    """Return the capacity reservations that a cluster's queues start in; none where its configuration is lost."""
    try:
        wanted = reservations.wanted_by(stored_config(cloud, stack))
        return tuple(reservations.read(cloud, (each.id for each in wanted)).values())
    except CloudError:
        return ()


def _running(cloud: Cloud, names: Iterable[str]) -> defaultdict[str, Counter[str]]:
    """Return how many instances of each node type run, by cluster."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    filters = [
        {"Name": f"tag:{NAME_TAG}", "Values": list(names)},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    if not filters[0]["Values"]:
        return counts
    for reservation in cloud.pages("ec2", "DescribeInstances", "Reservations", Filters=filters):
        for instance in reservation["Instances"]:
            tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
            counts[tags[NAME_TAG]][tags.get(NODE_TYPE_TAG, "")] += 1
    return counts
