"""What a supervisor is told to do: one JSON file per node, written before it starts."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of every daemon and of root's commands."""


RESTART = signal.SIGHUP
"""What makes a node's first process end and start again those of its daemons that can be restarted."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """One program of a node.

    Args:
        argv: it must stay in the foreground, unless ``detaches``.
        detaches: it goes to the background by itself and ends with status 0 once it can be used; those that
            follow in the list are started only then.
        after: the file that must exist before it is started.
        listens: TCP port of this node on which it accepts connections when it is ready.
        announces: the file that is made when it is ready.
        restarts: it is started again at :data:`RESTART`.
        required: when it fails, those that follow are not started.
    """

    name: str
    argv: tuple[str, ...]
    detaches: bool = False
    after: str = ""
    listens: int = 0
    announces: str = ""
    restarts: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True)
class Orders:
    """What the supervisor of one node does.

    Args:
        node: name and, in namespaces, host name.
        run: directory for records, on the host.
        generation: what ``run/generation`` says as long as these orders stand.
        logs: directory for the daemons' logs, on the host.
        bridge: path of the network namespace with the cluster's bridge; empty: no namespaces at all.
        relay: port of the host's loopback that is passed on to the node's loopback; 0: none.
        metadata: path under which the local cloud answers for the node's metadata service, at that port.
        binds: see :class:`pcinfra.localcloud.slurm.rootfs.Layout`, as are ``volatile`` and ``gpus``.
    """

    node: str
    run: str
    generation: str
    logs: str
    daemons: tuple[Daemon, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    bridge: str = ""
    address: str = ""
    relay: int = 0
    metadata: str = ""
    binds: Mapping[str, str] = field(default_factory=dict)
    volatile: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Orders:
        content = json.loads(path.read_text(encoding="utf-8"))
        daemons = tuple(Daemon(**{**daemon, "argv": tuple(daemon["argv"])}) for daemon in content.pop("daemons"))
        return cls(daemons=daemons, **content)
