"""Every failure that pcinfra reports, in one tree.

::

    PcinfraError                exit 1   where, why, and what to type next
    ├── UsageError              exit 2   the command line is wrong
    ├── InputError              exit 2   a file is wrong: every Problem in it, at once
    ├── MissingTool             exit 1   a program or an extra is not installed
    ├── Refused                 exit 1   would lose data, or is not ours: not done without a yes
    ├── CommandFailed           exit 1   a subprocess ended with a status other than 0
    ├── CloudError              exit 1   a call to the cloud failed
    │   ├── CredentialsError             no credentials, or expired or invalid ones
    │   ├── AccessDenied                 the identity may not make this call
    │   ├── NotFound                     the thing does not exist
    │   ├── Conflict                     the thing exists already, or is busy
    │   └── Unreachable                  throttled, 5xx or no connection, after every retry
    ├── ResourceFailed          exit 1   a resource ended in a failed state: which one and why
    ├── PlanFailed              exit 1   one or more Actions of a Plan failed
    └── Interrupted             exit 130 Ctrl-C: what was running was left to finish

The command line prints ``str(error)`` and exits with ``error.exit_code``; no other place decides either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class PcinfraError(Exception):
    """A failure with a place, a reason and a way on.

    Args:
        why: one sentence: what is wrong.
        where: file, resource or call that it is about; empty when there is none.
        hint: what to type or change; empty when nothing helps.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, why: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.where}: {self.why}" if self.where else self.why
        return f"{head}\n  try: {self.hint}" if self.hint else head


class UsageError(PcinfraError):
    """The command line asks for something that cannot be."""

    exit_code = 2


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in one place of a file. ``line`` and ``column`` count from 1; 0 means the whole file."""

    file: str
    line: int
    column: int
    key: str
    why: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        subject = f"{self.key}: " if self.key else ""
        tail = f"\n  try: {self.hint}" if self.hint else ""
        return f"{place}: {subject}{self.why}{tail}"


class InputError(PcinfraError):
    """A file that the user wrote is wrong. Carries every problem found, in file order."""

    exit_code = 2

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))


class MissingTool(PcinfraError):
    """A program or an optional part of pcinfra is not installed; ``hint`` is the command that installs it."""


class Refused(PcinfraError):
    """Not done, because it would lose data or touch what is not ours."""


class CommandFailed(PcinfraError):
    """A subprocess ended with ``status`` (128 + signal when it was killed), having written ``stderr``."""

    def __init__(self, argv: list[str], status: int, stderr: str) -> None:
        tail = "\n".join(stderr.strip().splitlines()[-20:])
        super().__init__(f"exit status {status}" + (f"\n{tail}" if tail else ""), where=argv[0])
        self.argv = argv
        self.status = status
        self.stderr = stderr


class CloudError(PcinfraError):
    """A call to the cloud failed: ``service.operation`` answered ``code``."""

    def __init__(self, why: str, *, where: str = "", hint: str = "", code: str = "") -> None:
        super().__init__(why, where=where, hint=hint)
        self.code = code


class CredentialsError(CloudError):
    """No credentials were found, or those found have expired or are not valid."""


class AccessDenied(CloudError):
    """The identity in use may not make this call."""


class NotFound(CloudError):
    """The thing asked for does not exist."""


class Conflict(CloudError):
    """The thing exists already, belongs to somebody else, or is busy."""


class Unreachable(CloudError):
    """Throttled, a server error or no connection, still so after every retry."""


class ResourceFailed(PcinfraError):
    """A resource ended in a state that it cannot leave by itself."""


class PlanFailed(PcinfraError):
    """At least one Action of a Plan failed; ``where`` is the first one and ``why`` its root cause."""


class Interrupted(PcinfraError):
    """The user pressed Ctrl-C."""

    exit_code = 130
