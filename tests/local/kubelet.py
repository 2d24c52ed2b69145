"""Pods of one job as processes of this machine: kubelet and the operators' rules of starting them again, simulated.

The command and variables of each pod come from :mod:`tests.unit.jobs.kubernetes.operator`. What differs from a cluster
is said in :func:`placed`: names of pods are loopback, and who keeps the store is said instead of found out by its name.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Ours: a cluster has 5 s and 30 s (torch, ``dynamic_rendezvous.py``), which only makes the same take longer.
_PACE = "keep_alive_interval=1,last_call_timeout=1"


def placed(
    command: Sequence[str], variables: Mapping[str, str], host: str, port: int, first: bool
) -> tuple[list[str], dict[str, str]]:
    """Return a pod's command and variables with the pod ``host`` on this machine, at ``port``.

    Args:
        first: this is the pod that ``host`` names. torch finds that out by the names of the machine
            (``_matches_machine_hostname``), and here all pods have the same.
    """

    def here(text: str) -> str:
        for known in ("29500", "23456"):
            text = text.replace(f"{host}:{known}", f"127.0.0.1:{port}")
            text = str(port) if text == known else text
        return text.replace(host, "127.0.0.1")

    own = {"PET_RDZV_CONF": f"is_host={first},{_PACE}", "PET_LOCAL_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    return [here(word) for word in command], {name: here(value) for name, value in variables.items()} | own


@dataclass
class Pod:
    """One container. Its log goes on over its restarts."""

    command: list[str]
    variables: dict[str, str]
    folder: Path
    name: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        env = {**os.environ, **self.variables, "PATH": path}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=env, cwd=self.folder, stdout=log, stderr=log)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        assert self.process is not None
        return self.process.poll()

    def workers(self) -> list[int]:
        """The processes that the pod's torchrun has started, by their ids."""
        return _children(self.process.pid) if self.process else []

    def kill(self) -> None:
        """End all processes of the pod at once, as the loss of its node does. Each has a session of its own."""
        if self.process is None:
            return
        found = _below(self.process.pid)
        self.process.kill()
        self.process.wait()
        for pid in found:
            _kill(pid)


@dataclass
class Pods:
    """The pods of a job.

    Args:
        together: one that fails has all started again (JobSet's failurePolicy), else that one alone (OnFailure).
        most: how many restarts there are.
    """

    pods: list[Pod]
    together: bool
    most: int
    restarted: list[str] = field(default_factory=list)

    def start(self) -> None:
        for pod in self.pods:
            pod.start()

    def look(self) -> list[int | None]:
        """Start again what failed, as far as it may be, and return the exit codes."""
        for pod in self.pods:
            if not pod.code:
                continue
            if len(self.restarted) == self.most:
                break
            self.restarted.append(pod.name)
            again = self.pods if self.together else [pod]
            for each in again:
                each.kill()
            for each in again:
                each.start()
        return [pod.code for pod in self.pods]

    def stop(self) -> None:
        for pod in self.pods:
            pod.kill()


def torchrun(folder: Path) -> None:
    """Put a torchrun of this Python into the path of the pods."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "torchrun"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m torch.distributed.run "$@"\n')
    program.chmod(0o755)


def _below(pid: int) -> list[int]:
    return [each for child in _children(pid) for each in (child, *_below(child))]


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue  # it has just ended
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def lines(pods: Sequence[Pod]) -> list[dict[str, Any]]:
    """Return the JSON lines that the pods' processes have written."""
    found: list[dict[str, Any]] = []
    for pod in pods:
        for line in pod.log.read_text(errors="replace").splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            found += [said] if isinstance(said, dict) else []
    return found
