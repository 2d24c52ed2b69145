"""A node of a cluster as a scratch root, with programs on PATH for what only a real node has."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pcinfra import assets

HEAD = assets.folder("bootstrap") / "head-node-enroot-pyxis-setup.sh"
COMPUTE = assets.folder("bootstrap") / "compute-node-enroot-pyxis-setup.sh"

ACCOUNT = ("--account", "123456789012", "--region", "eu-west-1")

ENROOT_CONF = """\
#ENROOT_TEMP_PATH          ${TMPDIR:-/tmp}
ENROOT_RUNTIME_PATH        /run/enroot/user-$(id -u)
ENROOT_CONFIG_PATH         /var/enroot/config
ENROOT_CACHE_PATH          /var/enroot/cache/group-$(id -g)
ENROOT_DATA_PATH           /run/enroot/data/user-$(id -u)
ENROOT_ROOTFS_WRITABLE     yes
"""
HOOK = """\
#! /usr/bin/env bash
set -eu
command -v scontrol
"""
REPORTS = ("lustre/.pcinfra", "var/log/pcinfra")
STUBS = {
    "mountpoint": 'grep -qxF -- "$2" "$STATE/mounts"',
    "mount": 'echo "mount: $1: not in fstab" >&2; exit 32',
    "aws": "exit 1",
    "modinfo": "exit 1",
    "sysctl": 'echo "sysctl $*" >>"$STATE/calls"',
    "curl": """\
        case "$*" in
          *"-X PUT"*"/api/token") echo TOKEN ;;
          *"aws-ec2-metadata-token: TOKEN"*instance-identity/document) cat "$STATE/identity" ;;
          *) exit 22 ;;
        esac""",
}


class Node:
    """A node of a cluster: a scratch root, and a PATH of stubs in front of the system's own programs."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.state = folder / "state"
        self.stubs = folder / "stubs"
        for made in (self.root, self.state, self.stubs):
            made.mkdir()
        for name, body in STUBS.items():
            program(self.stubs / name, body)
        program(self.root / "opt/slurm/bin/scontrol", 'echo "scontrol $*" >>"$STATE/calls"')
        self.add("opt/parallelcluster/examples/enroot/enroot.conf", ENROOT_CONF)
        self.add("opt/parallelcluster/examples/pyxis/pyxis.conf", "required /usr/local/lib/slurm/spank_pyxis.so\n")
        self.add("opt/parallelcluster/examples/spank/plugstack.conf", "include /opt/slurm/etc/plugstack.conf.d/*\n")
        self.add("usr/share/enroot/hooks.d/50-slurm-pmi.sh", HOOK)
        self.add("usr/share/enroot/hooks.d/50-slurm-pytorch.sh", HOOK)
        for reports in REPORTS:
            (self.root / reports).mkdir(parents=True)
        self.mounted("/lustre")
        for name in ("data", "checkpoints", "logs", "results"):
            (self.root / "lustre" / name).mkdir(parents=True, mode=0o755)

    def add(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def mounted(self, *places: str) -> None:
        (self.state / "mounts").write_text("".join(f"{self.root}{place}\n" for place in places))

    def env(self) -> dict[str, str]:
        path = f"{self.stubs}:{os.environ['PATH']}"
        return {"PATH": path, "PCINFRA_ROOT": str(self.root), "STATE": str(self.state)}

    def run(
        self, script: Path, *arguments: str, through: tuple[str, ...] = (), extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        argv = [*through, "bash", str(script), *arguments]
        return subprocess.run(
            argv, env=self.env() | dict(extra or {}), capture_output=True, text=True, check=False, timeout=120
        )

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def calls(self) -> list[str]:
        calls = self.state / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def tree(self) -> dict[str, tuple[int, int, str]]:
        """Every path with its mode, its time of change and its text, but for the reports of the node."""
        paths = {str(path.relative_to(self.root)): path for path in sorted(self.root.rglob("*"))}
        return {name: look(path) for name, path in paths.items() if not name.startswith(REPORTS)}

    def report(self) -> Any:
        """What the node says of itself, the same in both places."""
        (shared,) = (self.root / "lustre/.pcinfra/nodes").iterdir()
        assert shared.read_text() == self.read("var/log/pcinfra/node.json")
        return json.loads(shared.read_text())

    def fake(self, name: str, body: str) -> None:
        """Put a program on PATH."""
        program(self.stubs / name, body)

    def efa(self, devices: int) -> None:
        """Show EFA devices as the kernel does."""
        for number in range(devices):
            place = self.root / f"sys/class/infiniband/rdmap{number}s0/device"
            place.mkdir(parents=True)
            (place / "driver").symlink_to("../../../../bus/pci/drivers/efa")


def status(done: subprocess.CompletedProcess[str]) -> Any:
    """The status line of a script that has run. There is one, and it is the last."""
    lines = [line for line in done.stderr.splitlines() if "pcinfra-status" in line]
    assert lines == done.stderr.splitlines()[-1:]
    return json.loads(lines[0].partition("pcinfra-status ")[2])


def look(path: Path) -> tuple[int, int, str]:
    status = path.stat()
    return status.st_mode, status.st_mtime_ns, path.read_text() if path.is_file() else ""


def program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777
