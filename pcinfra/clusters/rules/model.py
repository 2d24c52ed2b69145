"""What a rule is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra import catalog
from pcinfra.catalog import InstanceType
from pcinfra.clusters.findings import Level
from pcinfra.clusters.overrides import Path

if TYPE_CHECKING:
    from pcinfra.aws import Cloud


@dataclass(frozen=True, slots=True)
class Remark:
    """What a rule has against the value at ``path`` of the rendered configuration, and what to type instead."""

    path: Path
    what: str
    hint: str = ""
    level: Level = Level.ERROR


def warning(path: Path, what: str, hint: str = "") -> Remark:
    return Remark(path, what, hint, Level.WARNING)


def info(path: Path, what: str, hint: str = "") -> Remark:
    return Remark(path, what, hint, Level.INFO)


@dataclass(frozen=True, slots=True)
class Nodes:
    """One compute resource with its queue, and the paths of both."""

    queue: Mapping[str, Any]
    queue_path: Path
    resource: Mapping[str, Any]
    path: Path

    @property
    def types(self) -> tuple[str, ...]:
        """Its instance types; none where only a reservation names it."""
        if "InstanceType" in self.resource:
            return (str(self.resource["InstanceType"]),)
        return tuple(str(item["InstanceType"]) for item in self.resource.get("Instances", ()))

    @property
    def known(self) -> tuple[InstanceType, ...]:
        """Those of its types that are in the catalog."""
        return tuple(kind for name in self.types if (kind := catalog.get(name)))

    @property
    def least(self) -> int:
        return int(self.resource.get("MinCount", 0))

    @property
    def most(self) -> int:
        """pcluster, DEFAULT_MAX_COUNT: 10 where nothing is said."""
        return int(self.resource.get("MaxCount", 10))

    @property
    def efa(self) -> bool:
        return bool(self.resource.get("Efa", {}).get("Enabled"))

    @property
    def capacity_type(self) -> str:
        return str(self.queue.get("CapacityType", "ONDEMAND"))

    @property
    def reservation(self) -> str:
        """The reservation's id, of the nodes or of their whole queue; empty when there is none."""
        for holder in (self.resource, self.queue):
            found = holder.get("CapacityReservationTarget", {}).get("CapacityReservationId")
            if found:
                return str(found)
        return ""

    @property
    def group(self) -> Mapping[str, Any]:
        """The placement group, of the nodes or of their whole queue."""
        own: Mapping[str, Any] = self.resource.get("Networking", {}).get("PlacementGroup", {})
        of_queue: Mapping[str, Any] = self.queue.get("Networking", {}).get("PlacementGroup", {})
        return own or of_queue


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that is right for its schema.

    Args:
        name: of the cluster.
        version: of pcluster.
    """

    name: str
    version: str
    data: Mapping[str, Any]

    @property
    def queues(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.data["Scheduling"].get("SlurmQueues", [])
        return found

    @property
    def nodes(self) -> Iterator[Nodes]:
        """Every compute resource."""
        for index, queue in enumerate(self.queues):
            path: Path = ("Scheduling", "SlurmQueues", index)
            for place, resource in enumerate(queue.get("ComputeResources", [])):
                yield Nodes(queue, path, resource, (*path, "ComputeResources", place))

    @property
    def settings(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.data["Scheduling"].get("SlurmSettings", {})
        return found

    @property
    def pools(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.data.get("LoginNodes", {}).get("Pools", [])
        return found

    @property
    def storage(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.data.get("SharedStorage", [])
        return found


Rule = Callable[[Config], Iterator[Remark]]
AccountRule = Callable[["Config", "Cloud"], Iterator[Remark]]

QUEUES: Path = ("Scheduling", "SlurmQueues")
