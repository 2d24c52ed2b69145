"""What runs and what is mounted on this machine, to see that a cluster leaves nothing."""

from __future__ import annotations

import os
from pathlib import Path


def namespaces() -> set[str]:
    """Return every namespace that some process of this machine is in."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for kind in ("mnt", "pid", "net", "uts", "ipc"):
            try:
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
            except OSError:
                continue
    return found


def mounts_below(directory: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(directory) in line]


def processes_about(directory: Path) -> list[str]:
    """Return the command lines and working directories that name ``directory``, but of this process and its parents."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line and int(pid) != os.getpid():
            found.append(line)
    return found


def supervisors(directory: Path) -> list[str]:
    return [line for line in processes_about(directory) if "slurm.supervisor" in line]
