"""Starts, stops and finds the background process. Imports nothing heavy: every command with ``--local`` runs this."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pcinfra.errors import MissingTool, NotFound, PcinfraError
from pcinfra.localcloud import ACCOUNT, CREDENTIALS, HOST, UNSAVED, identity

if TYPE_CHECKING:
    from pcinfra.localcloud.slurm.cluster import SlurmCluster

START_TIMEOUT = 30.0
"""Seconds until the process must answer; about one second is usual."""

STOP_TIMEOUT = 60.0
"""Seconds that a stopping process has to end its Slurm nodes and to save its state, before it is killed."""

_LOG_LIMIT = 5 * 2**20
"""Bytes of log after which a start begins a new one."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the local cloud answers, in every region."""

    url: str
    account: str = ACCOUNT
    credentials: tuple[str, str] = CREDENTIALS


@dataclass(frozen=True, slots=True)
class Status:
    """How the local cloud of one directory is.

    Args:
        url: empty when it is stopped.
        uptime: seconds since it began to answer.
        resources: number of resources by kind, those kept for the next start when it is stopped.
    """

    directory: Path
    url: str = ""
    pid: int = 0
    uptime: float = 0.0
    resources: dict[str, int] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return bool(self.url)


@dataclass(frozen=True, slots=True)
class _Record:
    """The pid file: the process that owns the directory."""

    pid: int
    started: str
    port: int
    since: float

    @property
    def alive(self) -> bool:
        return identity.started(self.pid) == self.started

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=2):
            return True
        return False


class LocalCloud:
    """The local cloud of one directory. At most one process serves it at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.log = self.directory / "server.log"
        self._pid_file = self.directory / "server.json"
        self._port_file = self.directory / "port"

    def ensure(self) -> Endpoint:
        """Return where it answers, having started it if need be.

        Raises:
            MissingTool: the local cloud is not installed.
            PcinfraError: it does not start; carries the end of its log.
        """
        record = self._record()
        if record and record.alive and record.answers():
            return Endpoint(record.url)
        return self.start()

    def start(self) -> Endpoint:
        """Start it unless it runs. Two at once start one. Raises what :meth:`ensure` raises."""
        _require_installed()
        with self._locked() as lock:
            record = self._record()
            if record and record.alive:
                if record.answers():
                    return Endpoint(record.url)
                self._end(record)
            self._pid_file.unlink(missing_ok=True)
            return Endpoint(self._launch(lock).url)

    def stop(self) -> bool:
        """End the process, its state saved and its machines stopped; return whether there was one.

        Raises:
            PcinfraError: it has ended, and its state could not be saved.
        """
        if not self.directory.is_dir():
            return False
        with self._locked():
            running, saved = self._stop()
        if not saved:
            raise PcinfraError(
                f"stopped, but {UNSAVED}{self._why_unsaved()}; the next start finds what was saved before",
                where="local cloud",
                hint=f"df -h {self.directory}   (then pcinfra local start, and do again what is missing)",
            )
        return running

    def reset(self) -> None:
        """Stop it and forget everything it held: resources, objects, logs."""
        if not self.directory.is_dir():
            return
        with self._locked():
            self._stop()
            for entry in self.directory.iterdir():
                if entry.name != "lock":
                    _remove(entry)

    def status(self) -> Status:
        """Return how it is, without starting it."""
        record = self._record()
        if not (record and record.alive):
            return Status(self.directory, resources=self._saved_resources())
        resources = _ask_resources(record.url)
        return Status(self.directory, record.url, record.pid, time.time() - record.since, resources)

    def fail_node(self, node: str, cluster: str = "") -> str:
        """Kill the machine of a compute or login node and return its cluster's name.

        Raises:
            NotFound: no machine of that name runs, or several do and ``cluster`` does not say which.
        """
        found = self._machine(node, cluster)
        found.crash(node)
        return found.spec.name

    def interrupt(self, node: str, cluster: str = "", seconds: int | None = 120) -> str:
        """Let EC2 announce that it takes a node's Spot Instance in so many seconds, and take it then; None: only that
        it may do so soon. Returns its cluster's name.

        Raises:
            NotFound: no machine of that name runs, several do, or it is no Spot Instance.
        """
        name = self._machine(node, cluster).spec.name
        path = f"interrupt/{name}/{urllib.parse.quote(node, safe='')}"
        hint = "capacity_type: SPOT in its queue;   pcinfra local fail-node   ends any other"
        body = b"soon" if seconds is None else str(seconds).encode()
        self._ask(path, body, f"{node} is no Spot Instance, and EC2 takes no other", hint)
        return name

    def _machine(self, node: str, cluster: str) -> SlurmCluster:
        from pcinfra.localcloud.slurm.cluster import SlurmCluster

        found = []
        for place in sorted((self.directory / "clusters").glob(f"{glob.escape(cluster) or '*'}/spec.json")):
            held = SlurmCluster.load(place.parent)
            if any(each.name == node for each in held.spec.machines) and held.up(node):
                found.append(held)
        if len(found) != 1:
            raise _not_one(node, [held.spec.name for held in found])
        return found[0]

    def limit(self, instance_type: str, count: int | None) -> None:
        """Let EC2 have so many instances of a type; None: any number.

        Raises:
            PcinfraError: it does not run, or does not understand.
        """
        path = f"capacity/{urllib.parse.quote(instance_type, safe='')}"
        body = b"" if count is None else str(count).encode()
        self._ask(path, body, f"EC2 knows no instance type {instance_type!r}", "pcinfra instances")

    def end_reservation(self, identity: str, seconds: int) -> None:
        """Let nodes of a reservation begin to be terminated in so many seconds, as far as EC2 tells.

        Raises:
            PcinfraError: it does not run, or there is no such reservation.
        """
        path = f"reservations/{urllib.parse.quote(identity, safe='')}"
        hint = "aws ec2 describe-capacity-reservations"
        self._ask(path, str(seconds).encode(), f"EC2 has no reservation {identity!r}", hint)

    def _ask(self, path: str, body: bytes, unknown: str, hint: str) -> None:
        record = self._record()
        if not (record and record.alive):
            raise PcinfraError("it does not run", where="local cloud", hint="pcinfra local start")
        try:
            urllib.request.urlopen(f"{record.url}/_pcinfra/{path}", data=body, timeout=10).close()  # noqa: S310 - our own
        except OSError as error:
            raise NotFound(unknown if "404" in str(error) else str(error), where="local cloud", hint=hint) from error

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock.fileno()

    def _record(self) -> _Record | None:
        try:
            return _Record(**json.loads(self._pid_file.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return None

    def _launch(self, lock: int) -> _Record:
        """Start the process and wait until it answers.

        It holds the lock as well until it can be found: whoever comes when this process was ended meanwhile waits.
        """
        ready, tell = os.pipe()
        try:
            process = self._spawn(tell, lock)
        finally:
            os.close(tell)
        port = _wait_for_port(ready)
        if not port:
            self._give_up(process)
        record = _Record(process.pid, identity.started(process.pid) or "", port, time.time())
        self._port_file.write_text(str(port), encoding="ascii")
        return record

    def _spawn(self, tell: int, lock: int) -> subprocess.Popen[bytes]:
        """Detached: an own session without a terminal, so that Ctrl-C and a closed window do not reach it."""
        self._make_room_for_log()
        command = [sys.executable, "-m", "pcinfra.localcloud.server", str(self.directory)]
        command += ["--port", str(self._last_port()), "--ready-fd", str(tell), "--lock-fd", str(lock)]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=_environment(),
                pass_fds=[tell, lock],
                start_new_session=True,
            )

    def _make_room_for_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))

    def _last_port(self) -> int:
        try:
            return int(self._port_file.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0

    def _give_up(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        self._pid_file.unlink(missing_ok=True)
        reason = self.directory / "refused"
        if reason.exists():
            why, _, hint = reason.read_text(encoding="utf-8").partition("\n")
            reason.unlink()
            raise PcinfraError(why, where="local cloud", hint=hint.strip())
        raise PcinfraError(
            f"it did not start; the end of its log:\n{self.log_tail()}", where="local cloud", hint=f"less {self.log}"
        )

    def _stop(self) -> tuple[bool, bool]:
        """Return whether it ran, and whether its state is saved: then it has removed its pid file."""
        record = self._record()
        running = bool(record and record.alive)
        if record and running:
            self._end(record)
        saved = not (running and self._pid_file.exists())
        self._stop_machines()
        self._pid_file.unlink(missing_ok=True)
        return running, saved

    def _why_unsaved(self) -> str:
        _, _, why = self.log_tail(3).rpartition(UNSAVED)
        return why.strip() or f"it did not end within {STOP_TIMEOUT:g} s"

    def _stop_machines(self) -> None:
        """A process that was killed, not stopped, leaves its Slurm nodes running."""
        if any((self.directory / "clusters").glob("*")):
            from pcinfra.localcloud.headnode import HeadNodes

            HeadNodes(self.directory, _no_client, lambda: 0).stop_all()

    def _end(self, record: _Record) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGTERM)
        if not _wait_for_end(record, STOP_TIMEOUT):
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
            _wait_for_end(record, 5)

    def _saved_resources(self) -> dict[str, int]:
        from pcinfra.localcloud.snapshot import read_header

        return dict(read_header(self.directory / "state").get("resources", {}))


def _not_one(node: str, clusters: list[str]) -> NotFound:
    if clusters:
        return NotFound(f"clusters {', '.join(clusters)} have it", where=node, hint=f"--cluster {clusters[0]}")
    return NotFound("no machine of that name runs", where=node, hint="sinfo -N on the head node names the nodes")


def _require_installed() -> None:
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        raise MissingTool("the local cloud is not installed", where="moto", hint="pip install 'pcinfra[local]'")


def _no_client(service: str, _: str) -> NoReturn:
    raise AssertionError(f"a stop makes no call to {service}")


def _environment() -> dict[str, str]:
    """The process's own AWS calls stay inside it: nothing of the caller's AWS configuration reaches it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _wait_for_port(ready: int) -> int:
    """Return the port that the process writes when it answers; 0 when it ends or is too slow."""
    with os.fdopen(ready, "rb") as pipe:
        readable, _, _ = select.select([pipe], [], [], START_TIMEOUT)
        said = pipe.readline().strip() if readable else b""
    return int(said or 0)


def _wait_for_end(record: _Record, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while record.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _ask_resources(url: str) -> dict[str, int]:
    try:
        with urllib.request.urlopen(f"{url}/_pcinfra/resources", timeout=10) as answer:  # noqa: S310 - our own
            resources: dict[str, Any] = json.load(answer)
    except OSError:
        return {}
    return {kind: int(count) for kind, count in resources.items()}


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)
