"""Which processes are a cluster's: recorded by pid and start time, so that nothing else is ever killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pcinfra.localcloud import identity

MARK = "PCINFRA_SLURM_GENERATION"
"""Variable that every daemon of a shared-host node carries; its value is in no other cluster's processes."""

_POLL = 0.005


@dataclass(frozen=True, slots=True)
class Process:
    """One process, which no later one with the same pid is taken for."""

    pid: int
    started: str

    @classmethod
    def find(cls, pid: int) -> Process | None:
        started = identity.started(pid)
        return None if started is None else cls(pid, started)

    @property
    def alive(self) -> bool:
        return identity.started(self.pid) == self.started

    def kill(self, signal_number: int = signal.SIGKILL) -> None:
        """Send the signal, if the process still runs."""
        with contextlib.suppress(ProcessLookupError):
            if self.alive:
                os.kill(self.pid, signal_number)


@dataclass(frozen=True, slots=True)
class Record:
    """The processes of one node.

    Args:
        supervisor: holds the node.
        init: what the node stands and falls with: the first process of its pid namespace, or the supervisor itself
            where there is none; None until the node can be entered.
    """

    supervisor: Process
    init: Process | None = None

    def write(self, path: Path) -> None:
        """Replace the file at once, so that no reader sees half of it."""
        processes = {"supervisor": self.supervisor, "init": self.init}
        text = json.dumps({name: [p.pid, p.started] for name, p in processes.items() if p})
        draft = path.with_suffix(".new")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """Return None when there is no record, or one that was never finished."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            init = Process(*content["init"]) if "init" in content else None
            return cls(Process(*content["supervisor"]), init)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def alive(self) -> bool:
        return self.supervisor.alive


def wait_gone(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Wait until none of them runs; return those that still do after ``seconds``."""
    end = time.monotonic() + seconds
    left = [process for process in processes if process.alive]
    while left and time.monotonic() < end:
        time.sleep(_POLL)
        left = [process for process in left if process.alive]
    return left


def descendants(roots: Iterable[int]) -> list[Process]:
    """Return every process that descends from one of ``roots``, these not included."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    pending, found = list(roots), []
    while pending:
        below = children.get(pending.pop(), [])
        pending += below
        found += below
    return [process for process in map(Process.find, found) if process]


def marked(generation: str) -> list[Process]:
    """Return the processes that carry this generation's mark."""
    wanted = f"{MARK}={generation}".encode()
    found = [pid for pid in _pids() if wanted in _environ(pid).split(b"\0")]
    return [process for process in map(Process.find, found) if process]


def _pids() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def _parents() -> Iterator[tuple[int, int]]:
    for pid in _pids():
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            yield pid, int(stat.rpartition(")")[2].split()[1])


def _environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
