"""Whether a cluster is up: its controller listens, its nodes are up in Slurm, and nothing has ended meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pcinfra.errors import ResourceFailed
from pcinfra.localcloud.slurm import fleet
from pcinfra.localcloud.slurm.access import Access
from pcinfra.localcloud.slurm.namespaced import BOOT

READY_TIMEOUT = 60.0
"""Seconds until every node must be up in Slurm; one is usual."""

_POLL = 0.03
_UP = ("idle", "mixed", "allocated", "completing", "reserved")


class BootFailed(ResourceFailed):
    """A program of a node's boot failed; the machine itself runs, so that one can look at it."""


class Readiness:
    """Waits for the nodes of one cluster."""

    def __init__(self, cluster: Access) -> None:
        self._cluster = cluster

    def wait(self, names: Sequence[str], patience: float = READY_TIMEOUT) -> None:
        """Return when the controller answers and these nodes are up.

        Raises:
            ResourceFailed: that is not so after ``patience`` seconds, or a daemon has ended.
            BootFailed: a program of a node's boot has failed.
        """
        end = time.monotonic() + patience
        while missing := self._not_up(names):
            if time.monotonic() > end:
                why = f"not up in Slurm after {patience:g} s: {missing[0]}{self._log_of(missing[0])}"
                raise ResourceFailed(why, where=self._cluster.spec.name)
            time.sleep(_POLL)

    def _not_up(self, names: Sequence[str]) -> list[str]:
        """Ask only a controller that listens: Slurm's programs pause for a second when they are refused."""
        self._raise_if_ended([self._cluster.spec.head.name, *names])
        if not self._cluster.kind.signs()[0].exists():
            return [self._cluster.spec.head.name]
        if not names or self._cluster.kind.booting(self._cluster.spec.head):
            booted = self._controller_answers() and not self._cluster.kind.booting(self._cluster.spec.head)
            return [] if booted else [self._cluster.spec.head.name]
        states = self._cluster.states()
        return [name for name in names if states.get(name, "") not in _UP]

    def _controller_answers(self) -> bool:
        return self._cluster.run(self._cluster.spec.head.name, ["timeout", "2", "scontrol", "ping"]).status == 0

    def _raise_if_ended(self, names: Sequence[str]) -> None:
        for name in names:
            if fleet.alive(self._cluster.paths, name) is None:
                raise ResourceFailed(f"the node went down{self._log_of(name)}", where=name)
            for ended in self._cluster.paths.node(name, "log").glob("*.ended"):
                if ended.stem in BOOT:
                    raise BootFailed(self._boot_message(name), where=name)
                why = f"{ended.stem} ended with status {ended.read_text()}{self._log_of(name, ended.stem)}"
                raise ResourceFailed(why, where=name)

    def _boot_message(self, node: str) -> str:
        said = self._cluster.paths.node(node, "log", "parallelcluster", "bootstrap_error_msg")
        return said.read_text(encoding="utf-8", errors="replace").strip() if said.exists() else "it did not boot"

    def _log_of(self, node: str, daemon: str = "") -> str:
        if not daemon:
            daemon = "slurmctld" if node == self._cluster.spec.head.name else "slurmd"
        log = self._cluster.paths.node(node, "log")
        supervisor = fleet.tail(self._cluster.paths.run / f"{node}.log")
        return fleet.tail(log / f"{daemon}.log") or fleet.tail(log / f"{daemon}.stderr") or supervisor
