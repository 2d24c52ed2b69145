"""Nodes in namespaces of their own: needs root; paths, addresses and users are as on AWS."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pcinfra.errors import ResourceFailed
from pcinfra.localcloud.slurm import accounting, accounts, conf, packages
from pcinfra.localcloud.slurm.commands import Command
from pcinfra.localcloud.slurm.orders import PROGRAMS, Daemon, Orders
from pcinfra.localcloud.slurm.paths import Paths
from pcinfra.localcloud.slurm.records import Record
from pcinfra.localcloud.slurm.spec import Node, Spec

_CONTROLLER_UP = "/opt/slurm/etc/.slurmctld-listens"
_USER_PROGRAMS = f"/opt/slurm/bin:{PROGRAMS}"
_MUNGED = (
    "munged --key-file=/etc/munge/munge.key --socket=/run/munge/munge.socket.2 --pid-file=/run/munge/munged.pid "
    "--log-file=/var/log/munge/munged.log --seed-file=/run/munge/munged.seed --num-threads=2"
)
BOOT = ("OnNodeStart", "OnNodeConfigured")
"""Programs in ``/var/spool/parallelcluster`` that a node runs as it boots, if they are there: before everything else,
and last. Each leaves ``NAME.done`` when it ends well; without it the node does not go on.
"""

_PROGRAMS = {
    "bin": [
        *("sacct", "sacctmgr", "salloc", "sattach", "sbatch", "sbcast", "scancel", "scontrol", "sdiag"),
        *("sinfo", "sprio", "squeue", "sreport", "srun", "sstat", "strigger"),
    ],
    "sbin": ["slurmctld", "slurmd", "slurmdbd"],
}
"""What is below /opt/slurm on ParallelCluster's images."""


@dataclass(frozen=True, slots=True)
class NamespacedNodes:
    """How namespaced nodes are prepared, started and entered."""

    paths: Paths
    bridged: bool = True

    def prepare(self, spec: Spec, uid: int) -> None:
        """Write every file that the nodes need, without touching what users have written."""
        _check_namespaces()
        self.paths.top.chmod(0o755)
        self.describe(spec, uid)
        accounts.make_home(self.paths.shared("/home"), spec.user, uid)
        self._shared_storage(spec)
        self._programs()

    def describe(self, spec: Spec, uid: int) -> None:
        """Write what changes with the cluster: its names and Slurm's configuration."""
        accounts.make_etc(self.paths.etc, spec, uid)
        self._configuration(spec)

    def leave(self) -> None:
        """Nothing of these nodes is outside the cluster's directory."""

    def signs(self) -> tuple[Path, ...]:
        """The files that say that the controller can be asked, the last to appear first."""
        return (self.paths.configuration / Path(_CONTROLLER_UP).name,)

    def orders(self, spec: Spec, node: Node, generation: str, bridge: str) -> Orders:
        own = self.paths.node
        self._private(node)
        binds = {
            "/etc": self.paths.etc,
            "/etc/hostname": own(node.name, "hostname"),
            "/opt/slurm": self.paths.slurm,
            "/root": own(node.name, "root"),
            "/tmp": own(node.name, "tmp"),  # noqa: S108  (the node's, not the host's)
            "/var/log": own(node.name, "log"),
            "/var/spool": own(node.name, "spool"),
            "/var/tmp": own(node.name, "vartmp"),  # noqa: S108
            **{mount: self.paths.shared(mount) for mount in spec.shared},
            **({node.scratch: own(node.name, "scratch")} if node.scratch else {}),
        }
        munge, slurm = (accounts.daemon_account(self.paths.etc, name) for name in ("munge", "slurm"))
        return Orders(
            node=node.name,
            run=str(self.paths.run),
            generation=generation,
            logs=str(own(node.name, "log")),
            daemons=self._daemons(spec, node),
            environment=spec.environment,
            bridge=bridge,
            address=node.address,
            relay=spec.endpoint,
            metadata=f"/_pcinfra/metadata/{spec.name}/{node.name}",
            binds={inside: str(path) for inside, path in binds.items()},
            volatile={
                "/run": "mode=755",
                "/run/lock": "mode=1777",
                "/run/munge": f"mode=755,uid={munge.uid},gid={munge.gid}",
                "/run/slurm": f"mode=755,uid={slurm.uid},gid={slurm.gid}",
            },
            gpus=node.gpus,
        )

    def enter(self, spec: Spec, node: Node, record: Record, command: Command) -> list[str]:
        """Return the command line that runs ``command`` on the node."""
        assert record.init is not None
        user = command.user or "root"
        environment = {
            "HOME": f"/home/{user}" if command.user else "/root",
            "USER": user,
            "LOGNAME": user,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "PATH": _USER_PROGRAMS if command.user else PROGRAMS,
            **spec.environment,
            **command.environment,
        }
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"] if command.user else []
        where = command.directory or environment["HOME"]
        return [
            *("nsenter", "--target", str(record.init.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--"),
            *become,
            *("env", "--ignore-environment", "--default-signal", f"--chdir={where}"),
            *(f"{name}={value}" for name, value in environment.items()),
            *command.argv,
        ]

    def booting(self, node: Node) -> bool:
        """Return whether a program of its boot has not ended well (yet)."""
        folder = self._boot(node)
        return any((folder / name).exists() and not (folder / f"{name}.done").exists() for name in BOOT)

    def _boot(self, node: Node) -> Path:
        return self.paths.node(node.name, "spool", "parallelcluster")

    def _daemons(self, spec: Spec, node: Node) -> tuple[Daemon, ...]:
        """As on ParallelCluster's machines: a head node's last action comes when Slurm runs, the others' before."""
        before, after = (self._program(node, name) for name in BOOT)
        if node == spec.head:
            accountants = accounting.daemons(_accounting(spec)) if spec.database else ()
            return *before, _munged(), *accountants, _slurmctld(), *after
        return *before, _munged(), *after, *(() if node in spec.logins else (_slurmd(node),))

    def _program(self, node: Node, name: str) -> tuple[Daemon, ...]:
        if not (self._boot(node) / name).exists():
            return ()
        return (Daemon(name, ("bash", f"/var/spool/parallelcluster/{name}"), detaches=True, required=True),)

    def private(self, node: Node) -> tuple[Path, str]:
        """Return a directory that only root can use, as the host and as the node call it."""
        return self.paths.node(node.name, "spool", "commands"), "/var/spool/commands"

    def _shared_storage(self, spec: Spec) -> None:
        """ParallelCluster makes the top of every shared file system writable for all, as /tmp is."""
        for mount in spec.shared:
            self.paths.shared(mount).chmod(0o755 if mount == "/home" else 0o1777)

    def _programs(self) -> None:
        for folder, names in _PROGRAMS.items():
            (self.paths.slurm / folder).mkdir(exist_ok=True)
            for name in names:
                link = self.paths.slurm / folder / name
                path = packages.find(name)
                if path and not link.is_symlink() and not link.exists():
                    link.symlink_to(path)

    def _configuration(self, spec: Spec) -> None:
        options = accounting.slurm_conf(_accounting(spec)) if spec.database else {}
        place = conf.Place(f"{spec.head.name}({spec.head.address})", run="/run/slurm", extra=options)
        write_configuration(self.paths.configuration, spec, place, {"PATH": PROGRAMS})
        if spec.database:
            file = self.paths.configuration / "slurmdbd.conf"
            accounting.write(file, accounting.slurmdbd_conf(spec.database, _accounting(spec)))
            _give(file, self.paths.etc, "slurm")

    def _private(self, node: Node) -> None:
        own = self.paths.node
        modes = {"log": 0o755, "spool": 0o755, "root": 0o700, "tmp": 0o1777, "vartmp": 0o1777, "scratch": 0o1777}
        for below, mode in modes.items():
            own(node.name, below).mkdir(parents=True, exist_ok=True)
            own(node.name, below).chmod(mode)
        own(node.name, "hostname").write_text(f"{node.name}\n", encoding="ascii")
        for account, path in (
            ("munge", own(node.name, "log", "munge")),
            ("slurm", own(node.name, "spool", "slurm.state")),
            ("slurm", own(node.name, "spool", "slurm.database")),
        ):
            path.mkdir(exist_ok=True)
            _give(path, self.paths.etc, account)
        for name in ("slurmctld.log", conf.JOB_LOG, *accounting.LOGS):
            log = own(node.name, "log", name)
            log.touch()
            _give(log, self.paths.etc, "slurm")


def _check_namespaces() -> None:
    """In most containers not even root may make namespaces."""
    argv = ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--mount-proc", "true"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ResourceFailed(
            f"this machine does not let root make namespaces: {done.stderr.strip()}",
            where="unshare",
            hint="run pcinfra as an ordinary user, or start its container with --privileged",
        )


def write_configuration(folder: Path, spec: Spec, place: conf.Place, environment: Mapping[str, str]) -> None:
    """Write the files that slurmctld and slurmd read, and the programs that slurmctld runs in ``environment``.

    Each file is replaced at once: a daemon may be reading it.
    """
    files = {
        "slurm.conf": conf.slurm_conf(spec, place),
        "gres.conf": conf.gres_conf(spec.nodes, place),
        "cgroup.conf": conf.cgroup_conf(packages.version()),
    }
    (folder / "pcluster").mkdir(exist_ok=True)
    programs = {f"pcluster/{what}": conf.power_program(spec, what, environment) for what in ("resume", "suspend")}
    for name, text in {**files, **programs}.items():
        draft = folder / f"{name}.new"
        draft.write_text(text, encoding="utf-8")
        draft.chmod(0o755 if name in programs else 0o644)
        draft.replace(folder / name)


def _give(path: Path, etc: Path, account: str) -> None:
    owner = accounts.daemon_account(etc, account)
    os.chown(path, owner.uid, owner.gid)


def _accounting(spec: Spec) -> accounting.Place:
    return accounting.Place(
        user="slurm",
        become=("setpriv", "--reuid=slurm", "--regid=slurm", "--clear-groups", "--"),
        host=spec.head.name,
        address=spec.head.address,
        data="/var/spool/slurm.database/data",
        socket="/run/slurm/mariadbd.socket",
        logs="/var/log",
        run="/run/slurm",
        sign="/run/slurm/slurmdbd.listens",
    )


def _munged() -> Daemon:
    become = ("setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "--")
    return Daemon("munged", (*become, *_MUNGED.split()), detaches=True)


def _slurmctld() -> Daemon:
    argv = ("slurmctld", "-D", "-f", "/opt/slurm/etc/slurm.conf")
    return Daemon("slurmctld", argv, listens=conf.CONTROLLER_PORT, announces=_CONTROLLER_UP, restarts=True)


def _slurmd(node: Node) -> Daemon:
    """With ``-b`` it says that its machine has just started: Slurm waits for that of a dynamic node."""
    booted = ("-b",) if node.dynamic else ()
    return Daemon("slurmd", ("slurmd", "-D", *booted, "-f", "/opt/slurm/etc/slurm.conf"), after=_CONTROLLER_UP)
