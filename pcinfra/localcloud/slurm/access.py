"""What a cluster that runs can be asked: its machines, commands on them, and Slurm's own view."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pcinfra.errors import CommandFailed, NotFound
from pcinfra.localcloud.slurm import fleet, kernel
from pcinfra.localcloud.slurm.commands import Command, Result, Running
from pcinfra.localcloud.slurm.namespaced import BOOT, NamespacedNodes
from pcinfra.localcloud.slurm.orders import PROGRAMS, Orders
from pcinfra.localcloud.slurm.paths import Paths
from pcinfra.localcloud.slurm.records import Record
from pcinfra.localcloud.slurm.sharedhost import SharedHostNodes
from pcinfra.localcloud.slurm.spec import Node, Spec

_SCRIPT_MODE = 0o700
_SUDO = Path(__file__).with_name("sudo.sh")
_CONNECT_TIMEOUT = 10.0


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


class Access:
    """The way into one cluster, from any process.

    As root every node has namespaces of its own; otherwise all nodes share this host.
    """

    def __init__(self, directory: Path, spec: Spec) -> None:
        self.paths = Paths(directory.resolve())
        self.spec = spec
        self.kind: Nodes = NamespacedNodes(self.paths) if os.geteuid() == 0 else SharedHostNodes(self.paths)

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
        machine, record = self.spec.node(node), self._record(node)
        words = tuple(argv) if "=" not in argv[0] else ("sh", "-c", 'exec "$@"', "sh", *argv)
        command = Command(words, user, environment or {}, directory)
        line = self.kind.enter(self.spec, machine, record, command)
        return Running(line, {"PATH": PROGRAMS}, remove)

    def start_script(
        self, node: str, script: str, *, environment: Mapping[str, str] | None = None, directory: str = ""
    ) -> Running:
        """Start a script on a node as SSM Agent does: as root, from a file, by ``sh -c FILE``.

        So a first line ``#!`` is honoured, and without one it is a script for sh (amazon-ssm-agent, plugin
        ``aws:runShellScript``: ``_script.sh``).
        """
        host, inside = self.kind.private(self.spec.node(node))
        name = uuid.uuid4().hex
        (host / name).mkdir(mode=_SCRIPT_MODE, parents=True)
        path = host / name / "_script.sh"
        path.write_text(script, encoding="utf-8")
        path.chmod(_SCRIPT_MODE)
        argv = ("sh", "-c", f"'{inside}/{name}/_script.sh'")
        return self.start_command(node, argv, environment=environment, directory=directory, remove=host / name)

    def terminal(self, node: str, command: str) -> list[str]:
        """Return the program that runs a command of sh on a node as SSM Agent's sessions do, in the terminal that its
        standard input is; an empty command: a shell.

        SSM Agent begins as ``ssm-user``, who may become root and everybody else; here it begins as root. So ``sudo``
        becomes the user that it is told to, and nobody on the shared host.

        Raises:
            NotFound: the node does not run.
        """
        machine, record = self.spec.node(node), self._record(node)
        host, inside = self.kind.private(machine)
        programs = host / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_SUDO, programs / "sudo")
        (programs / "sudo").chmod(0o755)
        words = ("setsid", "--ctty", "--wait", "sh", *(("-c", command) if command else ()))
        environment = {"PATH": f"{inside}/bin:{PROGRAMS}", "TERM": "xterm-256color"}
        return self.kind.enter(self.spec, machine, record, Command(words, "", environment))

    def connect(self, node: str, host: str, port: int) -> socket.socket:
        """Connect to a port of a node, or of ``host`` as the node sees it; empty: the node itself.

        Raises:
            NotFound: the node does not run.
            OSError: nothing answers there.
        """
        record = self._record(node)
        addresses = {machine.name: machine.address for machine in self.spec.machines if self.kind.bridged}
        place = (addresses.get(host.partition(".")[0]) or host or "127.0.0.1", port)
        namespace = f"/proc/{record.init.pid}/ns/net" if self.kind.bridged and record.init else ""
        return _connected(place, namespace)

    def _record(self, node: str) -> Record:
        record = fleet.alive(self.paths, self.spec.node(node).name)
        if record is None:
            raise NotFound("the node does not run", where=node)
        return record

    def up(self, node: str) -> bool:
        """Return whether the machine itself runs, whatever Slurm thinks of it."""
        return fleet.alive(self.paths, self.spec.node(node).name) is not None

    def boot_failed(self, node: str) -> bool:
        """Return whether a program of the node's boot has failed; a compute node of AWS then switches itself off."""
        log = self.paths.node(self.spec.node(node).name, "log")
        return any((log / f"{name}.ended").exists() for name in BOOT)

    def last_lines(self, node: str, file: str, lines: int = 200) -> Sequence[str]:
        """Return the last lines of a file in a node's /var/log; none where there is none."""
        try:
            text = self.paths.node(self.spec.node(node).name, "log", file).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return text.splitlines()[-lines:]

    def status(self) -> Status:
        machines = {m.name: "up" if self.up(m.name) else "down" for m in self.spec.machines if m.address}
        states = self.states() if machines[self.spec.head.name] == "up" else {}
        return Status(machines, states)

    def shared_path(self, mount: str) -> Path:
        """Return where the content of the shared storage mounted on ``mount`` lies on this machine."""
        if mount not in self.spec.shared:
            raise NotFound(f"{mount} is no shared storage of this cluster", where=self.spec.name)
        return self.paths.shared(mount)

    def states(self) -> dict[str, str]:
        """Return the state of every node in Slurm; nothing when the controller does not answer."""
        return {name: state for name, (state, _) in self.health().items()}

    def inactive(self) -> frozenset[str]:
        """Return the queues that are switched off."""
        lines = self.run(self.spec.head.name, ["timeout", "5", "sinfo", "--noheader", "--format=%R %a"]).stdout
        rows = (line.split() for line in lines.splitlines())
        return frozenset(name for name, state in rows if state.startswith("inact"))

    def health(self) -> dict[str, tuple[str, str]]:
        """Return the state of every node in Slurm and the reason that somebody gave for it, as :meth:`states` does."""
        command = ["timeout", "5", "sinfo", "--noheader", "--Node", "--format=%N %T %E"]
        lines = self.run(self.spec.head.name, command).stdout.splitlines()
        words = [line.split(maxsplit=2) for line in lines]
        return {each[0]: (each[1], each[2] if len(each) > 2 else "") for each in words if len(each) > 1}


def _connected(place: tuple[str, int], namespace: str) -> socket.socket:
    """Connect from a network namespace. A thread of its own enters it, and ends: no other must find itself there."""
    found: list[socket.socket | OSError] = []

    def connect() -> None:
        try:
            if namespace:
                descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    kernel.setns(descriptor, kernel.NEWNET)
                finally:
                    os.close(descriptor)
            made = socket.create_connection(place, timeout=_CONNECT_TIMEOUT)
            made.settimeout(None)
            found.append(made)
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]
