"""The only door to subprocesses.

Commands are argument lists, never strings for a shell. Fakes for tests implement :class:`Shell`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pcinfra.errors import CommandFailed, MissingTool


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


class Subprocess:
    """The :class:`Shell` of this machine."""

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
        command = list(argv)
        try:
            done = subprocess.run(
                command,
                input=stdin,
                env=env,
                cwd=cwd,
                timeout=timeout,
                text=True,
                capture_output=True,
                check=False,
                process_group=0,
            )
        except FileNotFoundError as error:
            raise MissingTool(f"{command[0]} is not installed", where=command[0]) from error
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(command, 124, f"no end after {timeout:g} s") from error
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        return Completed(tuple(command), status, done.stdout, done.stderr)
