"""Starts and ends supervisors. Everything it knows about what runs is in the cluster's directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pcinfra
from pcinfra.errors import ResourceFailed
from pcinfra.localcloud import identity
from pcinfra.localcloud.slurm.orders import Orders
from pcinfra.localcloud.slurm.paths import Paths
from pcinfra.localcloud.slurm.records import Process, Record, descendants, marked, wait_gone

BRIDGE = "bridge"

_START_TIMEOUT = 30.0
_SAVE_TIMEOUT = 10.0
"""Seconds that slurmctld, and then the database of the accounting, have to save their state before they are killed."""
_END_TIMEOUT = 10.0
_FALL_TIMEOUT = 1.0
"""Seconds that a supervisor has to notice that its node is gone."""
_POLL = 0.005


_children: set[int] = set()
"""Supervisors that this process has started and not yet collected."""


@contextmanager
def locked(paths: Paths) -> Iterator[None]:
    """Let nobody else start or stop this cluster meanwhile."""
    descriptor = os.open(paths.lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def generation(paths: Paths) -> str:
    """Return the mark of the present start; empty when the cluster is stopped."""
    try:
        return (paths.run / "generation").read_text(encoding="ascii")
    except OSError:
        return ""


def new_generation(paths: Paths) -> str:
    fresh = uuid.uuid4().hex
    (paths.run / "generation").write_text(fresh, encoding="ascii")
    return fresh


def start(paths: Paths, all_orders: Iterable[Orders]) -> None:
    """Start a supervisor for each of ``all_orders`` and return when every node can be entered."""
    started = {orders.node: _spawn(paths, orders) for orders in all_orders}
    end = time.monotonic() + _START_TIMEOUT
    for node, pid in started.items():
        while not _complete(alive(paths, node), pid):
            if identity.started(pid) is None or time.monotonic() > end:
                raise ResourceFailed("its supervisor did not start" + tail(_log(paths, node)), where=node)
            time.sleep(_POLL)


def _complete(record: Record | None, pid: int) -> bool:
    return record is not None and record.supervisor.pid == pid and record.init is not None


def _log(paths: Paths, node: str) -> Path:
    return paths.run / f"{node}.log"


def _spawn(paths: Paths, orders: Orders) -> int:
    """Return the pid of a new supervisor, in a session of its own."""
    path = paths.run / f"{orders.node}.orders"
    orders.write(path)
    package = str(Path(pcinfra.__file__).resolve().parent.parent)
    environment = {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "PYTHONPATH": package, "LANG": "C.UTF-8"}
    environment |= {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    argv = [sys.executable, "-S", "-m", "pcinfra.localcloud.slurm.supervisor", str(path)]
    create = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
    files = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(_log(paths, orders.node)), create, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    )
    pid = os.posix_spawn(argv[0], argv, environment, file_actions=files, setsid=True)
    _children.add(pid)
    return pid


def records(paths: Paths) -> dict[str, Record]:
    """Return what was recorded of every node and of the bridge, whether it still runs or not."""
    found = {path.stem: Record.read(path) for path in paths.run.glob("*.json")}
    return {name: record for name, record in found.items() if record}


def alive(paths: Paths, node: str) -> Record | None:
    """Return the record of a node that runs, or None."""
    record = Record.read(paths.run / f"{node}.json")
    return record if record and record.alive else None


def kill(record: Record) -> None:
    """End a node as losing its power would: at once, with every process."""
    _kill_all([record], "")


def end(paths: Paths, head: str) -> None:
    """End every process of the cluster, whoever started it.

    Args:
        head: the node whose daemons save their state first; empty: nobody needs it any more.

    Raises:
        ResourceFailed: something could not be killed.
    """
    mark = generation(paths)
    (paths.run / "generation").unlink(missing_ok=True)
    everything = records(paths)
    _let_save(everything.get(head))
    left = _kill_all(everything.values(), mark)
    if left:
        raise ResourceFailed(f"processes {[process.pid for process in left]} do not end", where=str(paths.top))
    for path in paths.run.glob("*.json"):
        path.unlink()


def _kill_all(nodes: Iterable[Record], mark: str) -> list[Process]:
    """Kill what the nodes stand on, let their supervisors go; return what does not end.

    In this order a supervisor collects its children. Not every machine's process 1 would.
    """
    standing = [record for record in nodes if record.alive or (record.init and record.init.alive)]
    supervisors = [record.supervisor for record in standing]
    victims = [record.init for record in standing if record.init and record.init not in supervisors]
    victims += descendants(supervisor.pid for supervisor in supervisors if supervisor.alive)
    victims += [process for process in marked(mark) if process not in supervisors] if mark else []
    for process in victims:
        process.kill()
    for supervisor in supervisors:
        supervisor.kill(signal.SIGTERM)
    for process in wait_gone(supervisors, _FALL_TIMEOUT):
        process.kill()
    left = wait_gone([*victims, *supervisors], _END_TIMEOUT)
    _collect()
    return left


def _collect() -> None:
    for pid in list(_children):
        try:
            ended = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            ended = True
        if ended:
            _children.discard(pid)


def _let_save(record: Record | None) -> None:
    if record is None:
        return
    first = record.init or record.supervisor
    first.kill(signal.SIGTERM)
    wait_gone([first], _SAVE_TIMEOUT)


def tail(path: Path, lines: int = 8) -> str:
    """Return the last lines of a log, each on a line of its own, or nothing."""
    with contextlib.suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        return "".join(f"\n  {line}" for line in text.splitlines()[-lines:])
    return ""
