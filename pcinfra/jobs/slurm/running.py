"""The jobs that a cluster has now, whoever submitted them: what a teardown must not end unasked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.engine.model import Action, Kind, Plan
from pcinfra.errors import CommandFailed, NotFound, Unreachable
from pcinfra.jobs.headnode import SsmHeadNode, head_node_id

if TYPE_CHECKING:
    from pcinfra.doors import Doors

_LIST = "timeout 20 squeue -h -t PENDING,CONFIGURING,RUNNING,SUSPENDED -o '%A %j (%T)'"


@dataclass(frozen=True, slots=True)
class Running:
    """The jobs of one cluster, each as ``12 name (RUNNING)``; ``unknown`` is why they could not be asked for."""

    cluster: str
    jobs: tuple[str, ...] = ()
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class ReadJobs:
    """Ask a cluster for its jobs. The result is :class:`Running`."""

    cluster: str
    user: str = ""

    def start(self, context: Doors, results: Mapping[str, Any]) -> Running:
        try:
            instance = head_node_id(context.cloud, self.cluster)
            lines = SsmHeadNode(context.cloud, instance, self.user).run(_LIST).check().stdout.splitlines()
        except (NotFound, Unreachable, CommandFailed) as error:
            return Running(self.cluster, unknown=error.why)
        return Running(self.cluster, tuple(line.strip() for line in lines if line.strip()))


def asking(clusters: Iterable[str]) -> Plan:
    """Return the Plan that asks each cluster for its jobs; each Action's result is :class:`Running`."""
    return Plan(
        tuple(Action(f"read/jobs/{name}", Kind.READ, f"jobs of {name}", "", ReadJobs(name)) for name in clusters)
    )
