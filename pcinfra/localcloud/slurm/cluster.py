"""One local Slurm cluster: described by files in its directory, so that any process can stop what another started."""

from __future__ import annotations

import os
import shlex
import shutil
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pcinfra.errors import CommandFailed, NotFound, ResourceFailed
from pcinfra.localcloud.slurm import accounts, fleet, packages
from pcinfra.localcloud.slurm.commands import Command, Result, Running
from pcinfra.localcloud.slurm.namespaced import BOOT, NamespacedNodes
from pcinfra.localcloud.slurm.orders import PROGRAMS, RESTART, Orders
from pcinfra.localcloud.slurm.paths import Paths
from pcinfra.localcloud.slurm.records import Record
from pcinfra.localcloud.slurm.sharedhost import SharedHostNodes
from pcinfra.localcloud.slurm.spec import Node, Spec

READY_TIMEOUT = 60.0
"""Seconds until every node must be up in Slurm; one is usual."""

_POLL = 0.03
_UP = ("idle", "mixed", "allocated", "completing", "reserved")
_SCRIPT_MODE = 0o700


class Nodes(Protocol):
    """A kind of nodes: in namespaces, or on the shared host."""

    @property
    def bridged(self) -> bool: ...
    def prepare(self, spec: Spec, uid: int) -> None: ...
    def describe(self, spec: Spec, uid: int) -> None: ...
    def leave(self) -> None: ...
    def signs(self) -> tuple[Path, ...]: ...
    def orders(self, spec: Spec, node: Node, generation: str, bridge: str) -> Orders: ...
    def enter(self, spec: Spec, node: Node, record: Record, command: Command) -> list[str]: ...
    def booting(self, node: Node) -> bool: ...
    def private(self, node: Node) -> tuple[Path, str]: ...


class BootFailed(ResourceFailed):
    """A program of a node's boot failed; the machine itself runs, so that one can look at it."""


Seeds = Mapping[str, Mapping[str, bytes]]
"""Node -> files by name."""

_NO_SEEDS: Seeds = {}


@dataclass(frozen=True, slots=True)
class Status:
    """How a cluster is.

    Args:
        nodes: node's name -> ``up`` or ``down``: whether the machine itself runs, the head node included.
        slurm: node's name -> its state in Slurm, as sinfo prints it; empty when the controller does not answer.
    """

    nodes: Mapping[str, str]
    slurm: Mapping[str, str]

    @property
    def running(self) -> bool:
        return "up" in self.nodes.values()


class SlurmCluster:
    """A cluster of real Slurm daemons.

    As root every node has namespaces of its own; otherwise all nodes share this host. A cluster that root made
    is started by root only.
    """

    def __init__(self, directory: Path, spec: Spec) -> None:
        self.paths = Paths(directory.resolve())
        self.spec = spec
        self._nodes: Nodes = NamespacedNodes(self.paths) if os.geteuid() == 0 else SharedHostNodes(self.paths)

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
            self._nodes.prepare(self.spec, accounts.user_id(self.paths.top))
            generation = fleet.new_generation(self.paths)
            try:
                there = [machine for machine in self.spec.machines if machine.address]
                self._launch([machine for machine in there if machine.name not in absent], generation)
                static = [node.name for node in self.spec.nodes if node.address and not node.dynamic]
                self._wait_ready([name for name in static if name not in absent], patience)
            except BootFailed:
                raise
            except BaseException:
                self._end()
                raise

    def stop(self) -> None:
        """End every process, namespace and mount of the cluster; files stay. Nothing happens when it is stopped."""
        with fleet.locked(self.paths):
            self._end()

    def _end(self) -> None:
        fleet.end(self.paths, self.spec.head.name)
        self._nodes.leave()

    def destroy(self) -> None:
        """Stop the cluster and remove its directory with everything in it."""
        self.stop()
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
        self._wait_ready([node] if machine in self.spec.nodes else [])

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
            if self._nodes.bridged:
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
            self._wait_ready([node.name for node in missing if node in spec.nodes and not node.dynamic], patience)

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
        self._nodes.describe(self.spec, accounts.user_id(self.paths.top))

    def _restart_controller(self) -> None:
        """A controller that is asked to read another list of nodes must be started anew; jobs go on meanwhile."""
        record = fleet.alive(self.paths, self.spec.head.name)
        assert record is not None
        assert record.init is not None
        sign = self._nodes.signs()[0]
        sign.unlink(missing_ok=True)
        record.init.kill(RESTART)
        self._wait_ready([])
        self.control(["reconfigure"])

    def control(self, *commands: Sequence[str]) -> Result:
        """Run commands of scontrol, all of them whatever becomes of each, and return what they say."""
        script = "".join(f"timeout 10 scontrol {shlex.join(words)} || status=$?\n" for words in commands)
        return self.run(self.spec.head.name, ["sh", "-c", f"{script}exit ${{status:-0}}"])

    def run(
        self,
        node: str,
        argv: Sequence[str],
        *,
        user: str = "",
        environment: Mapping[str, str] | None = None,
        directory: str = "",
        timeout: float | None = None,
    ) -> Result:
        """Run a command on a node to its end; see :meth:`start_command`.

        Raises:
            CommandFailed: it did not end within ``timeout`` seconds, and was killed.
        """
        running = self.start_command(node, argv, user=user, environment=environment, directory=directory)
        result = running.wait(timeout)
        if result is None:
            running.cancel()
            running.wait()
            raise CommandFailed(list(argv), 124, f"no end after {timeout:g} s")
        return result

    def start_command(
        self,
        node: str,
        argv: Sequence[str],
        *,
        user: str = "",
        environment: Mapping[str, str] | None = None,
        directory: str = "",
        remove: Path | None = None,
    ) -> Running:
        """Start a command on a node.

        Args:
            user: the cluster's user, ``spec.user``; empty: root, or on the shared host this process's user.
            environment: added to what a login has.
            directory: where it runs; empty: the home directory.
            remove: what to remove on the host once it has ended.

        Raises:
            NotFound: the node does not run.
        """
        machine = self.spec.node(node)
        record = fleet.alive(self.paths, node)
        if record is None:
            raise NotFound("the node does not run", where=node)
        words = tuple(argv) if "=" not in argv[0] else ("sh", "-c", 'exec "$@"', "sh", *argv)
        command = Command(words, user, environment or {}, directory)
        line = self._nodes.enter(self.spec, machine, record, command)
        return Running(line, {"PATH": PROGRAMS}, remove)

    def start_script(
        self, node: str, script: str, *, environment: Mapping[str, str] | None = None, directory: str = ""
    ) -> Running:
        """Start a script on a node as SSM Agent does: as root, from a file, by ``sh -c FILE``.

        So a first line ``#!`` is honoured, and without one it is a script for sh (amazon-ssm-agent, plugin
        ``aws:runShellScript``: ``_script.sh``).
        """
        host, inside = self._nodes.private(self.spec.node(node))
        name = uuid.uuid4().hex
        (host / name).mkdir(mode=_SCRIPT_MODE, parents=True)
        path = host / name / "_script.sh"
        path.write_text(script, encoding="utf-8")
        path.chmod(_SCRIPT_MODE)
        argv = ("sh", "-c", f"'{inside}/{name}/_script.sh'")
        return self.start_command(node, argv, environment=environment, directory=directory, remove=host / name)

    def up(self, node: str) -> bool:
        """Return whether the machine itself runs, whatever Slurm thinks of it."""
        return fleet.alive(self.paths, self.spec.node(node).name) is not None

    def status(self) -> Status:
        machines = {m.name: "up" if self.up(m.name) else "down" for m in self.spec.machines if m.address}
        states = self.states() if machines[self.spec.head.name] == "up" else {}
        return Status(machines, states)

    def shared_path(self, mount: str) -> Path:
        """Return where the content of the shared storage mounted on ``mount`` lies on this machine."""
        if mount not in self.spec.shared:
            raise NotFound(f"{mount} is no shared storage of this cluster", where=self.spec.name)
        return self.paths.shared(mount)

    def _launch(self, machines: Sequence[Node], generation: str) -> None:
        for machine in machines:
            for old in self.paths.node(machine.name, "log").glob("*.ended"):
                old.unlink()
        if self.spec.head in machines:
            for sign in self._nodes.signs():
                sign.unlink(missing_ok=True)
        bridge = self._bridge(generation) if self._nodes.bridged else ""
        fleet.start(self.paths, [self._nodes.orders(self.spec, each, generation, bridge) for each in machines])

    def _bridge(self, generation: str) -> str:
        """Return the path of the network namespace with the bridge, which is made when it is not there."""
        record = fleet.alive(self.paths, fleet.BRIDGE)
        if record is None:
            orders = Orders(fleet.BRIDGE, str(self.paths.run), generation, str(self.paths.run))
            fleet.start(self.paths, [orders])
            record = fleet.alive(self.paths, fleet.BRIDGE)
        assert record is not None
        return f"/proc/{record.supervisor.pid}/ns/net"

    def _wait_ready(self, names: Sequence[str], patience: float = READY_TIMEOUT) -> None:
        end = time.monotonic() + patience
        while missing := self._not_up(names):
            if time.monotonic() > end:
                why = f"not up in Slurm after {patience:g} s: {missing[0]}{self._log_of(missing[0])}"
                raise ResourceFailed(why, where=self.spec.name)
            time.sleep(_POLL)

    def _not_up(self, names: Sequence[str]) -> list[str]:
        """Ask only a controller that listens: Slurm's programs pause for a second when they are refused."""
        self._raise_if_ended([self.spec.head.name, *names])
        if not self._nodes.signs()[0].exists():
            return [self.spec.head.name]
        if not names or self._nodes.booting(self.spec.head):
            booted = self._controller_answers() and not self._nodes.booting(self.spec.head)
            return [] if booted else [self.spec.head.name]
        states = self.states()
        return [name for name in names if states.get(name, "") not in _UP]

    def _controller_answers(self) -> bool:
        return self.run(self.spec.head.name, ["timeout", "2", "scontrol", "ping"]).status == 0

    def states(self) -> dict[str, str]:
        """Return the state of every node in Slurm; nothing when the controller does not answer."""
        return {name: state for name, (state, _) in self.health().items()}

    def health(self) -> dict[str, tuple[str, str]]:
        """Return the state of every node in Slurm and the reason that somebody gave for it, as :meth:`states` does."""
        command = ["timeout", "5", "sinfo", "--noheader", "--Node", "--format=%N %T %E"]
        lines = self.run(self.spec.head.name, command).stdout.splitlines()
        words = [line.split(maxsplit=2) for line in lines]
        return {each[0]: (each[1], each[2] if len(each) > 2 else "") for each in words if len(each) > 1}

    def _raise_if_ended(self, names: Sequence[str]) -> None:
        for name in names:
            if fleet.alive(self.paths, name) is None:
                raise ResourceFailed(f"the node went down{self._log_of(name)}", where=name)
            for ended in self.paths.node(name, "log").glob("*.ended"):
                if ended.stem in BOOT:
                    raise BootFailed(self._boot_message(name), where=name)
                why = f"{ended.stem} ended with status {ended.read_text()}{self._log_of(name, ended.stem)}"
                raise ResourceFailed(why, where=name)

    def _boot_message(self, node: str) -> str:
        said = self.paths.node(node, "log", "parallelcluster", "bootstrap_error_msg")
        return said.read_text(encoding="utf-8", errors="replace").strip() if said.exists() else "it did not boot"

    def _log_of(self, node: str, daemon: str = "") -> str:
        if not daemon:
            daemon = "slurmctld" if node == self.spec.head.name else "slurmd"
        log = self.paths.node(node, "log")
        supervisor = fleet.tail(self.paths.run / f"{node}.log")
        return fleet.tail(log / f"{daemon}.log") or fleet.tail(log / f"{daemon}.stderr") or supervisor
