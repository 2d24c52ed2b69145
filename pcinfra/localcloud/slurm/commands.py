"""A command on a node: started, watched, and ended with its whole process group."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_NO_ENVIRONMENT: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Command:
    """What to run.

    Args:
        user: the cluster's user; empty: root. On the shared host everything runs as whoever started the cluster.
        environment: added to the one that a login has.
        directory: empty: the home directory.
    """

    argv: tuple[str, ...]
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left. ``status``: exit status, 128 + signal when it was killed."""

    status: int
    stdout: str
    stderr: str


class Running:
    """A command that was started. What it writes can be read while it runs.

    Its output goes to files, as SSM Agent's does: a process that it leaves in the background keeps nobody waiting.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], remove: Path | None = None) -> None:
        self._stdout: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._remove = remove
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            list(argv),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=self._stderr,
            start_new_session=True,
        )

    def wait(self, timeout: float | None = None) -> Result | None:
        """Return what the command left, or None when it still runs after ``timeout`` seconds."""
        if not _ends(self._process, timeout):
            return None
        status = self._process.wait()
        if self._remove:
            shutil.rmtree(self._remove, ignore_errors=True)
        return Result(status if status >= 0 else 128 - status, self.stdout, self.stderr)

    def cancel(self) -> None:
        """Kill the command and every process of its group. Nothing happens when it has ended."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def stdout(self) -> str:
        """What it has written so far; bytes that are no UTF-8 are replaced."""
        return _content(self._stdout)

    @property
    def stderr(self) -> str:
        return _content(self._stderr)


def _ends(process: subprocess.Popen[bytes], timeout: float | None) -> bool:
    """Return whether it ends within ``timeout`` seconds, as soon as it does: ``Popen.wait`` looks every 50 ms."""
    if timeout is None or process.poll() is not None:
        process.wait()
        return True
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:  # it has just been collected, or the kernel is older than Linux 5.3
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
        return process.returncode is not None
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(descriptor)


def _content(file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode("utf-8", errors="replace")
