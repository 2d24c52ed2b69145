"""Which instance is which machine of a cluster, and how a cluster that could not be set up is reported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pcinfra.localcloud.slurm.readiness import BootFailed


class SetupFailed(Exception):
    """The head node would signal failure; the text is what CloudFormation reports of that signal."""

    def __init__(self, why: str, instance: str) -> None:
        super().__init__(f"WaitCondition received failed message: '{why}' for uniqueId: {instance}")


class NodesFailed(Exception):
    """Static nodes cannot be had."""


@dataclass(frozen=True, slots=True)
class Machines:
    """The instances of a cluster, as kept in its directory.

    Args:
        head: instance id of the head node.
        log_group: of CloudWatch Logs; empty: none.
        nodes: node's name -> id of its instance, login nodes among them.
    """

    region: str
    head: str
    log_group: str = ""
    nodes: Mapping[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        return [self.head, *self.nodes.values()]

    def find(self, instance_id: str, head: str) -> str | None:
        """Return the name of the node that runs on the instance; ``head`` is the head node's."""
        if instance_id == self.head:
            return head
        return next((name for name, instance in self.nodes.items() if instance == instance_id), None)

    def moved(self, instances: Mapping[str, str]) -> Machines:
        """Return these machines with other instances behind some nodes; an empty id: none."""
        nodes = {**self.nodes, **instances}
        return replace(self, nodes={name: instance for name, instance in nodes.items() if instance})

    def write(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "machines.json"
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        draft.replace(path)

    @classmethod
    def read(cls, directory: Path) -> Machines | None:
        """Return None when there is no cluster in ``directory``."""
        try:
            text = (directory / "machines.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return cls(**json.loads(text))


def reason(error: Exception) -> str:
    """Say why a cluster could not be set up as ParallelCluster's head node does.

    ``pcluster`` tells failures apart by the beginnings of these texts (``get_cluster_creation_failure``).
    """
    text = " ".join(str(error).split())
    node = getattr(error, "where", "")
    if isinstance(error, NodesFailed) or "-st-" in node:
        return f"Cluster has been set to PROTECTED mode due to failures detected in static node provisioning: {text}"
    if isinstance(error, BootFailed):
        return error.why
    return f"Failed to run chef recipe aws-parallelcluster-slurm::config_head_node: {text}"
