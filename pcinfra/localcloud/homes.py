"""Where the clusters of one local cloud are. What each consists of is in its directory, for any process to find."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcinfra.errors import NotFound
from pcinfra.localcloud.computefleet import Client
from pcinfra.localcloud.machines import Machines
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.localcloud.slurm.config import ComputeNode, compute_nodes


@dataclass(frozen=True, slots=True)
class Home:
    """One cluster of the local cloud.

    Args:
        lock: held by whoever changes it.
    """

    name: str
    directory: Path
    lock: threading.RLock
    make_client: Callable[[str, str], Any]

    @property
    def machines(self) -> Machines:
        """Raises :class:`NotFound` when there is no such cluster (any more)."""
        found = Machines.read(self.directory)
        if found is None:
            raise NotFound("there is no such cluster", where=self.name)
        return found

    @property
    def cluster(self) -> SlurmCluster:
        """Its Slurm. Raises as :attr:`machines` does."""
        return SlurmCluster.load(self.directory)

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration that it was set up with, or updated to, last."""
        try:
            text = (self.directory / "config.json").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise NotFound("there is no such cluster", where=self.name) from error
        content: Mapping[str, Any] = json.loads(text)
        return content

    @property
    def exists(self) -> bool:
        return Machines.read(self.directory) is not None

    @property
    def client(self) -> Client:
        region = self.machines.region
        return lambda service: self.make_client(service, region)

    def compute(self) -> dict[str, ComputeNode]:
        """Return the nodes of its configuration by name."""
        return {node.name: node for node in compute_nodes(self.config)}

    def keep_config(self, config: Mapping[str, Any]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        draft = self.directory / "config.json.new"
        draft.write_text(json.dumps(config, default=str), encoding="utf-8")
        draft.replace(self.directory / "config.json")

    def remove(self) -> None:
        """End and forget it, if it is there."""
        with contextlib.suppress(NotFound):
            self.cluster.destroy()
        if self.directory.is_dir():
            shutil.rmtree(self.directory)


class Homes:
    """Every cluster of one local cloud.

    Args:
        directory: each is in a directory of its own below.
        client: makes a boto3 client of (service, region).
    """

    def __init__(self, directory: Path, client: Callable[[str, str], Any]) -> None:
        self._directory = directory
        self._client = client
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.Lock()

    def home(self, name: str) -> Home:
        """Return the place of a cluster, whether or not there is one."""
        with self._guard:
            lock = self._locks.setdefault(name, threading.RLock())
        return Home(name, self._directory / name, lock, self._client)

    def __iter__(self) -> Iterator[Home]:
        for path in sorted(self._directory.glob("*/machines.json")):
            yield self.home(path.parent.name)

    def find(self, instance_id: str) -> tuple[SlurmCluster, str] | None:
        """Return the cluster and the name of the machine that an instance is."""
        for home in self:
            with contextlib.suppress(NotFound):
                cluster = home.cluster
                node = home.machines.find(instance_id, cluster.spec.head.name)
                if any(machine.name == node for machine in cluster.spec.machines):
                    return cluster, str(node)
        return None
