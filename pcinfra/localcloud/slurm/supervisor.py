"""The process that holds one node: ``python -m pcinfra.localcloud.slurm.supervisor ORDERS``.

In namespaces it makes the node's network, forks the node's first process (which builds the root file system, starts
the daemons and collects what ends), and passes the local cloud's port through. On the shared host it starts the
daemons itself. Without a node it holds the bridge. When it dies, so does the node.

It writes its record before anything else, and goes no further once its orders have been withdrawn: whoever starts
or stops a cluster may be killed at any moment, and the next one finds everything. When its record is gone, nobody
could ever find it to stop it (the folder was removed), and it ends by itself.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pcinfra.localcloud.slurm import kernel, network, rootfs
from pcinfra.localcloud.slurm.orders import PROGRAMS, RESTART, Daemon, Orders
from pcinfra.localcloud.slurm.records import MARK, Process, Record, descendants

BRIDGE_NODE = "bridge"
"""Name of the record of the process that holds the bridge; no Slurm node is called so, for theirs have a dash."""

_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, RESTART}
RESTART_WAIT = 20.0
"""Seconds that a daemon has to end before it is killed and started again."""

_DEFAULTS = [signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ]
"""Signals that Python or whoever started us may ignore; jobs would inherit that through the daemons."""

_WAIT_FOR_CONTROLLER = 30.0
_LOOK = 2.0
"""Seconds between two looks at whether the record is still there."""
_POLL = 0.01


def main(path: str) -> None:
    orders = Orders.read(Path(path))
    os.chdir("/")
    record = _record(orders)
    if _withdrawn(orders):
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    if orders.node == BRIDGE_NODE:
        _hold_bridge(orders, record)
    elif orders.bridge:
        _hold_node(orders, record)
    else:
        kernel.adopt_orphans()
        _ready(orders, Record(record.supervisor, record.supervisor))
        _run_daemons(orders, Path(orders.logs), {MARK: orders.generation}, lambda: _forgotten(orders))


def _record(orders: Orders) -> Record:
    me = Process.find(os.getpid())
    assert me is not None
    record = Record(me)
    record.write(Path(orders.run, f"{orders.node}.json"))
    return record


def _withdrawn(orders: Orders) -> bool:
    try:
        return Path(orders.run, "generation").read_text(encoding="ascii") != orders.generation
    except OSError:
        return True


def _forgotten(orders: Orders) -> bool:
    return not os.path.exists(Path(orders.run, f"{orders.node}.json"))


def _hold_bridge(orders: Orders, record: Record) -> None:
    network.make_bridge()
    _ready(orders, Record(record.supervisor, record.supervisor))
    while _signal({signal.SIGTERM}, lambda: _forgotten(orders)) is None:
        pass


def _ready(orders: Orders, record: Record) -> None:
    record.write(Path(orders.run, f"{orders.node}.json"))


def _hold_node(orders: Orders, record: Record) -> None:
    host, processes = (os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("net", "pid"))
    network.join(orders.bridge, orders.address)
    listener = network.listen(orders.relay) if orders.relay else None
    service = network.listen(80, network.METADATA) if orders.relay else None
    kernel.unshare(kernel.NEWPID | kernel.NEWUTS | kernel.NEWIPC)
    kernel.sethostname(orders.node)
    alive, hold = os.pipe()
    init = os.fork()
    if init == 0:
        os.close(hold)
        _be_init(orders, alive)
    kernel.setns(host, kernel.NEWNET)
    kernel.setns(processes, kernel.NEWPID)  # else there could be no threads
    _ready(orders, Record(record.supervisor, Process.find(init)))
    if listener:
        threading.Thread(target=network.relay, args=(listener, orders.relay), daemon=True).start()
        told = (service, orders.relay, orders.metadata)
        threading.Thread(target=network.relay, args=told, daemon=True).start()
    while os.waitpid(init, os.WNOHANG)[0] == 0:
        if _signal({signal.SIGCHLD}, lambda: _forgotten(orders)) == signal.SIGTERM:
            os.kill(init, signal.SIGKILL)
            os.waitpid(init, 0)
            return


def _signal(wanted: set[signal.Signals], forgotten: Callable[[], bool]) -> int | None:
    """Return the next signal of ``wanted``, SIGTERM if this process has been forgotten, or None after a while."""
    found = signal.sigtimedwait(wanted, _LOOK)
    if found is None:
        return signal.SIGTERM if forgotten() else None
    return found.si_signo


def _be_init(orders: Orders, alive: int) -> None:
    """Be the node's process 1; never returns. ``alive`` is at its end once the supervisor is gone."""
    try:
        kernel.die_with_parent(signal.SIGKILL)
        if select.select([alive], [], [], 0)[0]:
            os._exit(1)  # it died before it could take us along
        rootfs.enter(rootfs.Layout(orders.binds, orders.volatile, orders.gpus))
        _run_daemons(orders, Path("/var/log"), {}, lambda: False)
    except BaseException as error:
        print(f"{orders.node}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(1)


def _run_daemons(orders: Orders, logs: Path, mark: dict[str, str], forgotten: Callable[[], bool]) -> None:
    """Start the daemons and collect whatever ends, until SIGTERM or ``forgotten``: then end the daemons and return.

    At :data:`RESTART` those of the daemons that can be restarted are.
    """
    environment = {"PATH": PROGRAMS, "LANG": "C.UTF-8", **orders.environment, **mark}
    running: dict[int, str] = {}
    try:
        for daemon in orders.daemons:
            if not _bring_up(daemon, logs, environment, running):
                break
        while (caught := _signal(_SIGNALS, forgotten)) != signal.SIGTERM:
            if caught == RESTART:
                _restart(orders.daemons, logs, environment, running)
            if caught:
                _collect(running, logs)
    finally:
        _end(running)


def _bring_up(daemon: Daemon, logs: Path, environment: dict[str, str], running: dict[int, str]) -> bool:
    """Start it; return whether those that follow may be started."""
    pid = _start(daemon, logs, environment)
    if not daemon.detaches:
        running[pid] = daemon.name
        _announce(daemon, pid)
    elif status := os.waitpid(pid, 0)[1]:
        _note_end(logs, daemon.name, status)
        return not daemon.required
    return True


def _restart(daemons: Iterable[Daemon], logs: Path, environment: dict[str, str], running: dict[int, str]) -> None:
    for daemon in daemons:
        if daemon.restarts:
            for pid in [pid for pid, name in running.items() if name == daemon.name]:
                _stop(pid)
                del running[pid]
            (logs / f"{daemon.name}.ended").unlink(missing_ok=True)
            _bring_up(daemon, logs, environment, running)


def _stop(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    if not _wait_until(lambda: os.waitid(os.P_PID, pid, _JUST_LOOK) is not None, RESTART_WAIT):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _start(daemon: Daemon, logs: Path, environment: dict[str, str]) -> int:
    _wait_until(lambda: not daemon.after or os.path.exists(daemon.after))
    log = os.open(logs / f"{daemon.name}.stderr", os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    files = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    try:
        return os.posix_spawnp(
            daemon.argv[0], daemon.argv, environment, file_actions=files, setsigmask=[], setsigdef=_DEFAULTS
        )
    finally:
        os.close(log)
        os.close(null)


def _announce(daemon: Daemon, pid: int) -> None:
    if daemon.announces:
        _wait_until(lambda: _listening(daemon.listens) or os.waitid(os.P_PID, pid, _JUST_LOOK) is not None)
        Path(daemon.announces).touch()


_JUST_LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT


def _wait_until(met: Callable[[], bool], seconds: float = _WAIT_FOR_CONTROLLER) -> bool:
    end = time.monotonic() + seconds
    while not (done := met()) and time.monotonic() < end:
        time.sleep(_POLL)
    return done


def _listening(port: int) -> bool:
    """Look it up rather than connect: a connection that says nothing is an error in the daemon's log."""
    wanted = f":{port:04X} "
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        if any(wanted in line.split(": ", 1)[1][:40] and line.split()[3] == "0A" for line in lines):
            return True
    return False


def _collect(running: dict[int, str], logs: Path) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in running:
            _note_end(logs, running.pop(pid), status)


def _note_end(logs: Path, name: str, status: int) -> None:
    """Leave the exit status of a daemon where whoever waits for the cluster finds it."""
    (logs / f"{name}.ended").write_text(str(os.waitstatus_to_exitcode(status)), encoding="ascii")


def _end(running: dict[int, str]) -> None:
    """The last one first: what stands on another still has it while it ends (slurmctld on slurmdbd)."""
    for pid in reversed(running):
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    for process in descendants([os.getpid()]):
        process.kill()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


if __name__ == "__main__":
    main(sys.argv[1])
