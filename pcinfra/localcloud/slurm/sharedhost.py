"""Nodes that share this host: needs no rights. Every node is a slurmd on a port of the loopback.

Node names, partitions and GPUs are as on AWS; users, paths and addresses are this machine's: jobs run as whoever
started the cluster, and the shared storage is where :meth:`SlurmCluster.shared_path` says.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import random
import socket
from dataclasses import dataclass
from pathlib import Path

from pcinfra.errors import PcinfraError
from pcinfra.localcloud.slurm import accounting, accounts, conf
from pcinfra.localcloud.slurm.commands import Command
from pcinfra.localcloud.slurm.namespaced import write_configuration
from pcinfra.localcloud.slurm.orders import PROGRAMS, Daemon, Orders
from pcinfra.localcloud.slurm.packages import find
from pcinfra.localcloud.slurm.paths import Paths
from pcinfra.localcloud.slurm.records import Record
from pcinfra.localcloud.slurm.spec import Node, Spec

_SOCKET_LIMIT = 107
"""Longest path of a Unix socket (sun_path less its NUL); see unix(7)."""

_PORTS = "ports"
"""The file of the daemons' ports, beside the records of what runs."""

_ACCOUNTING = "slurmdbd"
"""Stands for slurmdbd among the ports; no node is called so, for theirs have a dash."""

_QUIET = range(10240, 32768)
"""Ports below those that Linux gives to outgoing connections (ip_local_port_range)."""

_LONGEST_STEP = "_1000000.4294967291"
"""What slurmstepd puts behind the node's name in the name of its socket: a job and its external step."""


@dataclass(frozen=True, slots=True)
class SharedHostNodes:
    """How nodes of the shared host are prepared, started and entered."""

    paths: Paths
    bridged: bool = False

    def prepare(self, spec: Spec, uid: int) -> None:
        """Write every file that the nodes need, with ports that are free now."""
        _check_loopback()
        self._check_sockets(spec)
        self._make_alias()
        for folder in (self._munge, self.paths.top / "state", self._devices):
            folder.mkdir(mode=0o700, exist_ok=True)
        accounts.write_munge_key(self._munge / "munge.key")
        self.paths.shared("/home").joinpath(spec.user).mkdir(exist_ok=True)
        (self.paths.run / _PORTS).unlink(missing_ok=True)
        self.describe(spec, uid)

    def describe(self, spec: Spec, uid: int) -> None:
        """Write Slurm's configuration. Whoever has a port keeps it."""
        del uid
        self._make_devices(max((node.gpus for node in spec.nodes), default=0))
        environment = {"PATH": PROGRAMS, **self.client_environment()}
        write_configuration(self.paths.configuration, spec, self._place(spec), environment)
        if spec.database:
            text = accounting.slurmdbd_conf(spec.database, self._accounting(spec))
            accounting.write(self.paths.configuration / "slurmdbd.conf", text)

    def leave(self) -> None:
        """Remove the alias: nothing of a stopped cluster is outside its directory."""
        if self._alias.is_symlink() and self._alias.readlink() == self.paths.top:
            self._alias.unlink()

    def signs(self) -> tuple[Path, ...]:
        """The files that say that the controller and munged can be asked."""
        return self.paths.configuration / ".slurmctld-listens", self._socket, *self._accounting_signs

    def orders(self, spec: Spec, node: Node, generation: str, bridge: str) -> Orders:
        del bridge
        self.paths.make_node(node.name)
        (self._spools / node.name).mkdir(exist_ok=True)
        return Orders(
            node=node.name,
            run=str(self.paths.run),
            generation=generation,
            logs=str(self.paths.node(node.name, "log")),
            daemons=self._daemons(spec, node),
            environment={**spec.environment, **self.client_environment()},
        )

    def enter(self, spec: Spec, node: Node, record: Record, command: Command) -> list[str]:
        """Return the command line that runs ``command`` here, with this cluster's Slurm and the node's name."""
        del record
        home = str(self.paths.shared("/home") / spec.user)
        environment = {
            "HOME": home,
            "LANG": "C.UTF-8",
            "PATH": PROGRAMS,
            "SLURMD_NODENAME": node.name,
            "PCINFRA_RUNS": str(self.paths.shared(_runs_on(spec)) / "runs"),
            **self.client_environment(),
            **spec.environment,
            **command.environment,
        }
        settings = (f"{name}={value}" for name, value in environment.items())
        return [
            "env",
            "--ignore-environment",
            "--default-signal",
            f"--chdir={command.directory or home}",
            *settings,
            *command.argv,
        ]

    def booting(self, node: Node) -> bool:
        """There are no custom actions here: they are written for a machine of their own, and as root."""
        del node
        return False

    def private(self, node: Node) -> tuple[Path, str]:
        path = self.paths.node(node.name, "spool", "commands")
        return path, str(path)

    def client_environment(self) -> dict[str, str]:
        """What makes Slurm's programs talk to this cluster."""
        return {"SLURM_CONF": str(self.paths.configuration / "slurm.conf")}

    @property
    def _munge(self) -> Path:
        return self.paths.top / "munge"

    @property
    def _socket(self) -> Path:
        return self._alias / self._munge.name / "socket"

    @property
    def _accounting_signs(self) -> tuple[Path, Path]:
        """The socket of the database, and the file that says that slurmdbd can be asked."""
        return self._alias / "mariadbd.socket", self.paths.configuration / ".slurmdbd-listens"

    @property
    def _devices(self) -> Path:
        return self.paths.top / "dev"

    @property
    def _spools(self) -> Path:
        return self.paths.top / "s"

    @property
    def _alias(self) -> Path:
        """A short name of the cluster's directory, for the sockets of munged and slurmstepd."""
        mark = hashlib.sha256(f"{os.geteuid()} {self.paths.top}".encode()).hexdigest()
        return Path(f"/tmp/pci{mark[:10]}")  # noqa: S108  (a link of ours, checked below)

    def _make_alias(self) -> None:
        self._spools.mkdir(mode=0o700, exist_ok=True)
        self.leave()
        try:
            self._alias.symlink_to(self.paths.top)
        except FileExistsError as error:
            raise PcinfraError(
                "is there, and is not the link that this cluster needs",
                where=str(self._alias),
                hint=f"rm {self._alias}",
            ) from error

    def _check_sockets(self, spec: Spec) -> None:
        name = max((node.name for node in spec.nodes), key=len, default="")
        step = self._alias / self._spools.name / name / f"{name}{_LONGEST_STEP}"
        if len(os.fsencode(step)) > _SOCKET_LIMIT:
            raise PcinfraError(
                f"the path of a socket would have more than {_SOCKET_LIMIT} bytes", where=str(step),
                hint="use shorter names of queues, or run as root",
            )  # fmt: skip

    def _make_devices(self, gpus: int) -> None:
        """Links to a character device: with anything else jobs get no CUDA_VISIBLE_DEVICES."""
        for number in range(gpus):
            link = self._devices / f"nvidia{number}"
            if not link.is_symlink():
                link.symlink_to(os.devnull)

    def _place(self, spec: Spec) -> conf.Place:
        host = _this_host()
        ports = self._ports(spec)
        accountants = accounting.slurm_conf(self._accounting(spec)) if spec.database else {}
        me = str(os.geteuid())
        return conf.Place(
            controller=f"{host}(127.0.0.1)",
            controller_port=ports[spec.head.name],
            ports=ports,
            host=host,
            slurm_user=me,
            daemon_user=me,
            state=str(self.paths.top / "state"),
            spool=str(self._alias / self._spools.name / "%n"),
            logs=str(self.paths.node(spec.head.name, "log")),
            node_log="../../%n/log/slurmd.log",
            run=str(self.paths.run),
            node_pid="slurmd.%n.pid",
            devices=str(self._devices),
            programs=str(self.paths.configuration / "pcluster"),
            munge_socket=str(self._socket),
            extra={"CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny", **accountants},
        )

    def _accounting(self, spec: Spec) -> accounting.Place:
        socket_, sign = map(str, self._accounting_signs)
        return accounting.Place(
            user=pwd.getpwuid(os.geteuid()).pw_name,
            become=_ending(),
            host=_this_host(),
            address="127.0.0.1",
            port=self._ports(spec)[_ACCOUNTING],
            data=str(self.paths.top / "database"),
            socket=socket_,
            logs=str(self.paths.node(spec.head.name, "log")),
            run=str(self.paths.run),
            sign=sign,
            munge=str(self._socket),
            extra=("CommunicationParameters=NoInAddrAny",),
        )

    def _ports(self, spec: Spec) -> dict[str, int]:
        """Return the port of every daemon: those of before, and free ones for who has none."""
        path = self.paths.run / _PORTS
        names = [spec.head.name, *(node.name for node in spec.nodes), *([_ACCOUNTING] if spec.database else [])]
        kept = json.loads(path.read_text(encoding="ascii")) if path.exists() else {}
        missing = [name for name in names if name not in kept]
        ports = {name: kept[name] for name in names if name in kept}
        ports |= dict(zip(missing, free_ports(len(missing)), strict=True))
        path.write_text(json.dumps(ports), encoding="ascii")
        return ports

    def _daemons(self, spec: Spec, node: Node) -> tuple[Daemon, ...]:
        if node == spec.head:
            accountants = accounting.daemons(self._accounting(spec)) if spec.database else ()
            return self._munged(), *accountants, self._slurmctld()
        return () if node in spec.logins else (self._slurmd(node),)

    def _munged(self) -> Daemon:
        files = {"key-file": "munge.key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = (f"--{option}={self._socket.parent / name}" for option, name in files.items())
        return Daemon("munged", _ending(_path("munged"), "--foreground", "--force", "--num-threads=2", *options))

    def _slurmctld(self) -> Daemon:
        port = _configured_port(self.paths.configuration / "slurm.conf")
        argv = _ending(_path("slurmctld"), "-D", "-f", str(self.paths.configuration / "slurm.conf"))
        listens, munge, *_ = map(str, self.signs())
        return Daemon("slurmctld", argv, after=munge, listens=port, announces=listens, restarts=True)

    def _slurmd(self, node: Node) -> Daemon:
        booted = ("-b",) if node.dynamic else ()
        file = str(self.paths.configuration / "slurm.conf")
        argv = _ending(_path("slurmd"), "-D", *booted, "-f", file, "-N", node.name)
        return Daemon("slurmd", argv, after=str(self.signs()[0]))


def _runs_on(spec: Spec) -> str:
    """Runs are kept on /lustre, which is not there under its name."""
    return "/lustre" if "/lustre" in spec.shared else "/home"


def free_ports(count: int) -> list[int]:
    """Return different ports of the loopback that nothing listens on, and that no connection is given by chance.

    A dynamic node takes its port long after it was chosen.
    """
    found: list[int] = []
    for port in random.sample(_QUIET, len(_QUIET)):
        if len(found) == count:
            return found
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    raise PcinfraError(f"{count} ports of the loopback are not free", where="127.0.0.1", hint="run as root")


def _check_loopback() -> None:
    """slurmctld listens where the host's own name points to (NoCtldInAddrAny); that must be this host alone."""
    host = socket.gethostname()
    try:
        address = socket.gethostbyname(host)
    except OSError:
        address = "nowhere"
    if not address.startswith("127."):
        raise PcinfraError(
            f"this machine's name points to {address}, and Slurm would listen there",
            where=host,
            hint=f"add '127.0.0.1 {host}' to /etc/hosts, or run as root: nodes then have a network of their own",
        )


def _this_host() -> str:
    return socket.gethostname().split(".")[0]


def _path(program: str) -> str:
    path = find(program)
    assert path is not None, program
    return path


def _ending(*argv: str) -> tuple[str, ...]:
    """A daemon that ends when its supervisor does."""
    return ("setpriv", "--pdeathsig", "KILL", "--", *argv)


def _configured_port(path: Path) -> int:
    lines = path.read_text(encoding="ascii").splitlines()
    return next(int(line.partition("=")[2]) for line in lines if line.startswith("SlurmctldPort="))
