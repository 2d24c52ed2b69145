"""Where a cluster keeps what, below its own directory on the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pcinfra.localcloud.slurm.spec import Spec


@dataclass(frozen=True, slots=True)
class Paths:
    """The directory of one cluster.

    ::

        spec.json      what the cluster is
        lock           held while it is started or stopped
        etc/           /etc of every node
        slurm/         /opt/slurm of every node
        shared/MOUNT   the shared storage: /home is shared/home, /lustre is shared/lustre
        nodes/NAME/    what a node has for itself: log, spool, tmp, scratch
        run/           orders and records of what runs
    """

    top: Path

    @property
    def spec(self) -> Path:
        return self.top / "spec.json"

    @property
    def lock(self) -> Path:
        return self.top / "lock"

    @property
    def etc(self) -> Path:
        return self.top / "etc"

    @property
    def slurm(self) -> Path:
        return self.top / "slurm"

    @property
    def configuration(self) -> Path:
        """The directory of slurm.conf."""
        return self.slurm / "etc"

    @property
    def run(self) -> Path:
        return self.top / "run"

    def node(self, name: str, *below: str) -> Path:
        return self.top.joinpath("nodes", name, *below)

    def shared(self, mount: str) -> Path:
        """Return where the content of the shared storage mounted on ``mount`` is."""
        return self.top / "shared" / mount.lstrip("/")

    def make(self, spec: Spec, storage: Mapping[str, Path]) -> None:
        """Make every directory of the cluster that is not there.

        Args:
            storage: mount point -> where its content is instead of below this directory, for what outlives the
                cluster or is shared by several.
        """
        for mount, elsewhere in storage.items():
            self._link(self.shared(mount), elsewhere)
        for path in (self.etc, self.configuration, self.run, *map(self.shared, spec.shared)):
            path.mkdir(parents=True, exist_ok=True)
        for machine in spec.machines:
            if machine.address:
                self.make_node(machine.name)

    def make_node(self, name: str) -> None:
        """Make what a machine has for itself."""
        for below in ("log", "spool", "tmp", "scratch"):
            self.node(name, below).mkdir(parents=True, exist_ok=True)

    @staticmethod
    def _link(path: Path, elsewhere: Path) -> None:
        elsewhere.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()
        if not path.exists():
            path.symlink_to(elsewhere)
