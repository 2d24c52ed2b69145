"""The only door to subprocesses.

Commands are argument lists, never strings for a shell. Fakes for tests implement :class:`Shell`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pcinfra.errors import CommandFailed, MissingTool

_KEPT = 200
"""Lines of a long command that are kept for its error."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What a finished command left: ``status`` is its exit status, 128 + signal when it was killed."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    def check(self) -> Completed:
        """Return self, or raise :class:`CommandFailed` when the status is not 0."""
        if self.status:
            raise CommandFailed(list(self.argv), self.status, self.stderr or self.stdout)
        return self


class Shell(Protocol):
    """Runs programs of this machine."""

    def which(self, program: str) -> str | None:
        """Return the path of ``program``, or None when it is not installed."""
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float | None = None,
    ) -> Completed:
        """Run to the end and return what it left, whatever its status. Ctrl-C at the terminal does not reach it.

        Args:
            env: the whole environment of the command; None means ours.
            timeout: seconds; the command is killed after them and :class:`CommandFailed` is raised.

        Raises:
            MissingTool: ``argv[0]`` is not installed.
        """
        ...

    def begin(self, argv: Sequence[str], *, env: Mapping[str, str]) -> None:
        """Start a program that waits for its standard input: the next :meth:`run` of these arguments and environment is
        handed to it. One that nobody runs ends with this process. Nothing happens when it cannot be started.
        """
        ...

    def stream(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Completed:
        """Run something long to its end while its lines are told as they come. Ctrl-C at the terminal ends it.

        Returns:
            What it left; ``stdout`` holds the last lines of both its streams, in their order.

        Raises:
            MissingTool: ``argv[0]`` is not installed.
        """
        ...


def _silent(_: str) -> None:
    return None


class Subprocess:
    """The :class:`Shell` of this machine; ``tell`` gets every line of what :meth:`stream` runs."""

    def __init__(self, tell: Callable[[str], None] = _silent) -> None:
        self._tell = tell
        self._begun: dict[_Call, subprocess.Popen[str]] = {}

    def which(self, program: str) -> str | None:
        return shutil.which(program)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float | None = None,
    ) -> Completed:
        command = tuple(argv)
        process = None if cwd else self._begun.pop(_call(command, env), None)
        if process is None or process.poll() is not None:
            process = _started(command, env, cwd)
        with process:
            try:
                out, err = process.communicate(stdin, timeout)
            except subprocess.TimeoutExpired as error:
                process.kill()
                raise CommandFailed(list(command), 124, f"no end after {timeout:g} s") from error
            except BaseException:
                process.kill()
                raise
        return Completed(command, _status(process.returncode), out, err)

    def begin(self, argv: Sequence[str], *, env: Mapping[str, str]) -> None:
        command = tuple(argv)
        with contextlib.suppress(MissingTool):
            process = self._begun[_call(command, env)] = _started(command, env)
            atexit.register(_end, process)

    def stream(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Completed:
        command = list(argv)
        last: deque[str] = deque(maxlen=_KEPT)
        try:
            process = subprocess.Popen(
                command,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except FileNotFoundError as error:
            raise MissingTool(f"{command[0]} is not installed", where=command[0]) from error
        with process:
            for line in process.stdout or ():
                last.append(line)
                self._tell(line.rstrip())
        return Completed(tuple(command), _status(process.returncode), "".join(last), "")


_Call = tuple[tuple[str, ...], frozenset[tuple[str, str]] | None]


def _call(command: tuple[str, ...], env: Mapping[str, str] | None) -> _Call:
    return command, None if env is None else frozenset(env.items())


def _started(command: tuple[str, ...], env: Mapping[str, str] | None, cwd: Path | None = None) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            command, env=env, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe, text=True, process_group=0
        )
    except FileNotFoundError as error:
        raise MissingTool(f"{command[0]} is not installed", where=command[0]) from error


def _end(process: subprocess.Popen[str]) -> None:
    """End what was begun and is not needed, with all that it has started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _status(code: int) -> int:
    return code if code >= 0 else 128 - code


def attach(argv: Sequence[str], env: Mapping[str, str] | None = None) -> int:
    """Run a program on our own terminal to its end and return its exit status; Ctrl-C goes to it, not to us.

    Raises:
        MissingTool: ``argv[0]`` is not installed.
    """
    try:
        process = subprocess.Popen(list(argv), env=env)
    except FileNotFoundError as error:
        raise MissingTool(f"{argv[0]} is not installed", where=argv[0]) from error
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return _status(process.wait())
    finally:
        signal.signal(signal.SIGINT, before)
