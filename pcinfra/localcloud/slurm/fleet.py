"""Starts and ends supervisors. Everything it knows about what runs is in the cluster's directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pcinfra
from pcinfra.errors import ResourceFailed
from pcinfra.localcloud.slurm.orders import Orders
from pcinfra.localcloud.slurm.paths import Paths
from pcinfra.localcloud.slurm.records import Process, Record, descendants, marked, wait_gone

BRIDGE = "bridge"

_START_TIMEOUT = 10.0
_SAVE_TIMEOUT = 3.0
"""Seconds that slurmctld has to save its state before it is killed."""
_END_TIMEOUT = 10.0
_POLL = 0.005


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
    """Start a supervisor for each of ``all_orders`` and return when every node has its first process."""
    started = {orders.node: _spawn(paths, orders) for orders in all_orders}
    end = time.monotonic() + _START_TIMEOUT
    for node, process in started.items():
        while (record := alive(paths, node)) is None or not _complete(record, process):
            if process.poll() is not None or time.monotonic() > end:
                raise ResourceFailed("its supervisor did not start" + tail(_log(paths, node)), where=node)
            time.sleep(_POLL)


def _complete(record: Record, process: subprocess.Popen[bytes]) -> bool:
    return record.supervisor.pid == process.pid and record.init is not None


def _log(paths: Paths, node: str) -> Path:
    return paths.run / f"{node}.log"


def _spawn(paths: Paths, orders: Orders) -> subprocess.Popen[bytes]:
    path = paths.run / f"{orders.node}.orders"
    orders.write(path)
    package = str(Path(pcinfra.__file__).resolve().parent.parent)
    environment = {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "PYTHONPATH": package, "LANG": "C.UTF-8"}
    with _log(paths, orders.node).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-S", "-m", "pcinfra.localcloud.slurm.supervisor", str(path)],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


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
    victims = [record.init] if record.init else []
    if record.init in (None, record.supervisor):
        victims = descendants([record.supervisor.pid]) if record.supervisor.alive else []
    for process in (*filter(None, victims), record.supervisor):
        process.kill()
    wait_gone([record.supervisor, *filter(None, victims)], _END_TIMEOUT)


def end(paths: Paths, head: str) -> None:
    """End every process of the cluster, whoever started it. The controller may save its state first.

    Raises:
        ResourceFailed: something could not be killed.
    """
    mark = generation(paths)
    (paths.run / "generation").unlink(missing_ok=True)
    everything = records(paths)
    _let_save(everything.get(head))
    victims = [process for record in everything.values() for process in _processes(record)]
    victims += descendants(process.pid for process in victims if process.alive) + (marked(mark) if mark else [])
    for process in victims:
        process.kill()
    left = wait_gone(victims, _END_TIMEOUT)
    if left:
        raise ResourceFailed(f"processes {[process.pid for process in left]} do not end", where=str(paths.top))
    for path in paths.run.glob("*.json"):
        path.unlink()


def _processes(record: Record) -> list[Process]:
    return [record.supervisor, *filter(None, [record.init])]


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
