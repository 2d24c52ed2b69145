"""Which process is which: a pid alone is recycled by the kernel, a pid with its start time is not."""

from __future__ import annotations

import subprocess
from pathlib import Path

_STATE, _START_TIME = 0, 19
"""Positions in ``/proc/PID/stat`` after the command's name; see proc_pid_stat(5), fields 3 and 22."""


def started(pid: int) -> str | None:
    """Return a text that tells this process from every other with the same pid; None when it does not run.

    A zombie does not run: it only waits to be collected by its parent.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _started_without_proc(pid)
    except (ProcessLookupError, PermissionError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[_STATE] in "ZX" else f"{_boot()}:{fields[_START_TIME]}"


def _boot() -> str:
    """Start times count from the boot, so that they repeat after the next one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started_without_proc(pid: int) -> str | None:
    command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split(maxsplit=1)
    return answer[1].strip() if len(answer) == 2 and not answer[0].startswith("Z") else None
