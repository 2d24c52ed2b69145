"""One local Slurm cluster: described by files in its directory, so that any process can stop what another started."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pcinfra.errors import NotFound
from pcinfra.localcloud.slurm import accounts, fleet, packages
from pcinfra.localcloud.slurm.access import Access
from pcinfra.localcloud.slurm.orders import RESTART, Orders
from pcinfra.localcloud.slurm.readiness import READY_TIMEOUT, BootFailed, Readiness
from pcinfra.localcloud.slurm.spec import Node, Spec

Seeds = Mapping[str, Mapping[str, bytes]]
"""Node -> files by name."""

_NO_SEEDS: Seeds = {}


class SlurmCluster(Access):
    """A cluster of real Slurm daemons. One that root made is started by root only."""

    @classmethod
    def create(cls, directory: Path, spec: Spec, storage: Mapping[str, Path] | None = None) -> SlurmCluster:
        """Write the description of a cluster; starts nothing.

        Called again with another ``spec`` it changes the description and keeps every file of users, and Slurm's
        queue; the change takes effect when the cluster is started again.

        Args:
            storage: mount point -> directory of this machine, for shared storage that is not to be removed with the
                cluster, or that other clusters mount as well.
        """
        directory.mkdir(parents=True, exist_ok=True)
        cluster = cls(directory, spec)
        cluster.paths.make(spec, storage or {})
        cluster._save(spec)
        return cluster

    def _save(self, spec: Spec) -> None:
        draft = self.paths.spec.with_suffix(".new")
        draft.write_text(spec.dump(), encoding="utf-8")
        draft.replace(self.paths.spec)
        self.spec = spec

    @classmethod
    def load(cls, directory: Path) -> SlurmCluster:
        """Read the description that :meth:`create` wrote.

        Raises:
            NotFound: there is no cluster in ``directory``.
        """
        try:
            text = (directory / "spec.json").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise NotFound("there is no Slurm cluster", where=str(directory)) from error
        return cls(directory, Spec.load(text))

    def start(
        self,
        *,
        absent: Collection[str] = (),
        fresh: Collection[str] = (),
        seeds: Seeds = _NO_SEEDS,
        patience: float = READY_TIMEOUT,
    ) -> None:
        """Start every node that has an address and return when Slurm has the static ones of them up.

        Whatever still ran of the cluster is ended first.

        Args:
            absent: nodes that are not started: Slurm sees them down.
            fresh: nodes that are new machines: what an earlier one of that name had for itself is removed.
            seeds: files that nodes have in ``/var/spool/parallelcluster`` from their first moment on; see
                :data:`pcinfra.localcloud.slurm.namespaced.BOOT`.
            patience: seconds until every node must be up in Slurm.

        Raises:
            MissingTool: Slurm, munge or what makes namespaces is not installed.
            ResourceFailed: a node or a daemon did not come up: which one, and the end of its log.
        """
        packages.require()
        with fleet.locked(self.paths):
            fleet.end(self.paths, self.spec.head.name)
            for name in fresh:
                shutil.rmtree(self.paths.node(self.spec.node(name).name), ignore_errors=True)
            self.paths.make(self.spec, {})
            self._sow(seeds)
            self.kind.prepare(self.spec, accounts.user_id(self.paths.top))
            generation = fleet.new_generation(self.paths)
            try:
                there = [machine for machine in self.spec.machines if machine.address]
                self._launch([machine for machine in there if machine.name not in absent], generation)
                static = [node.name for node in self.spec.nodes if node.address and not node.dynamic]
                Readiness(self).wait([name for name in static if name not in absent], patience)
            except BootFailed:
                raise
            except BaseException:
                self._end()
                raise

    def stop(self, *, for_good: bool = False) -> None:
        """End every process, namespace and mount of the cluster; files stay. Nothing happens when it is stopped.

        Args:
            for_good: it is not started again, and slurmctld, which takes a second for that, saves nothing.
        """
        with fleet.locked(self.paths):
            self._end(for_good=for_good)

    def _end(self, *, for_good: bool = False) -> None:
        fleet.end(self.paths, "" if for_good else self.spec.head.name)
        self.kind.leave()

    def destroy(self) -> None:
        """Stop the cluster and remove its directory with everything in it."""
        self.stop(for_good=True)
        shutil.rmtree(self.paths.top)

    def crash(self, node: str) -> None:
        """End a node as losing its power would. Slurm notices by itself, SlurmdTimeout later."""
        record = fleet.alive(self.paths, self.spec.node(node).name)
        if record:
            fleet.kill(record)

    def start_node(self, node: str) -> None:
        """Start a node that has crashed and wait until Slurm has it up; nothing happens when it runs."""
        machine = self.spec.node(node)
        with fleet.locked(self.paths):
            if fleet.alive(self.paths, node) is None and fleet.generation(self.paths):
                self._launch([machine], fleet.generation(self.paths))
        Readiness(self).wait([node] if machine in self.spec.nodes else [])

    def boot(self, addresses: Mapping[str, str], seeds: Seeds = _NO_SEEDS) -> None:
        """Start new machines under the names of nodes, tell Slurm where they are, and return without waiting for it.

        Args:
            addresses: node -> its address from now on. What an earlier machine of that name had for itself is removed.
            seeds: as for :meth:`start`.
        """
        with fleet.locked(self.paths):
            if not fleet.generation(self.paths):
                return
            for name in addresses:
                self._forget_machine(name)
            self._sow(seeds)
            self._save(self.spec.at(addresses))
            self._describe()
            if self.kind.bridged:
                moved = addresses.items()
                self.control(*(["update", f"NodeName={n}", f"NodeAddr={a}", f"NodeHostname={n}"] for n, a in moved))
            self._launch([self.spec.node(name) for name in addresses], fleet.generation(self.paths))

    def unplug(self, names: Collection[str]) -> None:
        """End machines, if they run, as losing their power would, and forget their addresses."""
        with fleet.locked(self.paths):
            for name in names:
                self._forget_machine(name)
            self._save(self.spec.at(dict.fromkeys(names, "")))
            if fleet.generation(self.paths):
                self._describe()

    def _forget_machine(self, name: str) -> None:
        record = fleet.alive(self.paths, self.spec.node(name).name)
        if record:
            fleet.kill(record)
        (self.paths.run / f"{name}.json").unlink(missing_ok=True)
        shutil.rmtree(self.paths.node(name), ignore_errors=True)

    def reconfigure(
        self,
        spec: Spec,
        storage: Mapping[str, Path],
        *,
        fresh: Collection[str] = (),
        seeds: Seeds = _NO_SEEDS,
        patience: float = READY_TIMEOUT,
    ) -> None:
        """Make a running cluster another one: what is in both goes on running, jobs included.

        The head node stays the same. Nodes that are not in ``spec``, or have no address there, are ended; those that
        do not run are started.

        Args:
            fresh, seeds, patience: as for :meth:`start`.

        Raises:
            ResourceFailed: a node or a daemon did not come up.
        """
        assert spec.head.name == self.spec.head.name, "a head node is never replaced"
        with fleet.locked(self.paths):
            kept = {machine.name for machine in spec.machines if machine.address} - set(fresh)
            for name in {machine.name for machine in self.spec.machines} - kept:
                self._forget_machine(name)
            self.paths.make(spec, storage)
            self._sow(seeds)
            self._save(spec)
            self._describe()
            self._restart_controller()
            missing = [each for each in spec.machines if each.address and fleet.alive(self.paths, each.name) is None]
            self._launch(missing, fleet.generation(self.paths))
            Readiness(self).wait([node.name for node in missing if node in spec.nodes and not node.dynamic], patience)

    def set_logins(self, logins: tuple[Node, ...], seeds: Seeds = _NO_SEEDS) -> None:
        """Let these be the login nodes: end others, start those that are new, and return without waiting for them.

        Args:
            seeds: as for :meth:`start`.
        """
        with fleet.locked(self.paths):
            if not fleet.generation(self.paths):
                return
            known = {node.name for node in self.spec.logins}
            for name in known - {node.name for node in logins}:
                self._forget_machine(name)
            self._sow(seeds)
            self._save(replace(self.spec, logins=logins))
            self._describe()
            self._launch([node for node in logins if node.name not in known], fleet.generation(self.paths))

    def stop_fleet(self) -> None:
        """Let no queue start jobs, now and after a restart."""
        self._set_fleet(stopped=True)

    def start_fleet(self) -> None:
        self._set_fleet(stopped=False)

    def _set_fleet(self, *, stopped: bool) -> None:
        with fleet.locked(self.paths):
            self._save(replace(self.spec, stopped=stopped))
            self._describe()
            state = "INACTIVE" if stopped else "UP"
            self.control(*(["update", f"PartitionName={each.name}", f"State={state}"] for each in self.spec.partitions))

    def _sow(self, seeds: Seeds) -> None:
        for name, files in seeds.items():
            folder = self.paths.node(name, "spool", "parallelcluster")
            for file, content in files.items():
                folder.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(content)

    def _describe(self) -> None:
        self.kind.describe(self.spec, accounts.user_id(self.paths.top))

    def _restart_controller(self) -> None:
        """A controller that is asked to read another list of nodes must be started anew; jobs go on meanwhile."""
        record = fleet.alive(self.paths, self.spec.head.name)
        assert record is not None
        assert record.init is not None
        sign = self.kind.signs()[0]
        sign.unlink(missing_ok=True)
        record.init.kill(RESTART)
        Readiness(self).wait([])
        self.control(["reconfigure"])

    def _launch(self, machines: Sequence[Node], generation: str) -> None:
        for machine in machines:
            for old in self.paths.node(machine.name, "log").glob("*.ended"):
                old.unlink()
        if self.spec.head in machines:
            for sign in self.kind.signs():
                sign.unlink(missing_ok=True)
        bridge = self._bridge(generation) if self.kind.bridged else ""
        fleet.start(self.paths, [self.kind.orders(self.spec, each, generation, bridge) for each in machines])

    def _bridge(self, generation: str) -> str:
        """Return the path of the network namespace with the bridge, which is made when it is not there."""
        record = fleet.alive(self.paths, fleet.BRIDGE)
        if record is None:
            orders = Orders(fleet.BRIDGE, str(self.paths.run), generation, str(self.paths.run))
            fleet.start(self.paths, [orders])
            record = fleet.alive(self.paths, fleet.BRIDGE)
        assert record is not None
        return f"/proc/{record.supervisor.pid}/ns/net"
