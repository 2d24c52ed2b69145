"""One command on the head node as the cluster's user: its words exactly as given, its output as it comes, its status.

It runs apart from the SSM command that starts it, so that it may take as long and write as much as it likes; its
output is read by offset, which loses nothing when an answer does.
"""

from __future__ import annotations

import shlex
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pcinfra.errors import CommandFailed, PcinfraError, Unreachable, UsageError
from pcinfra.jobs.headnode import HeadNode, decoded, encoder
from pcinfra.shell import Completed

MAX_STDIN = 4 * 2**20
"""Bytes of standard input: they travel in SSM commands of 30 kB each."""

PATIENCE = 12  # looks in a row without an answer
_WAITS = (5, 20, 50)  # tenths of a second that the head node waits for news, the first looks first
_SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(slots=True)
class Execution:
    """A command on the way.

    Args:
        head: scripts of it start in a directory that is there whatever is mounted: made with ``runs="/tmp"``.
        out: gets what it writes to standard output; ``err`` to standard error.
    """

    head: HeadNode
    out: Callable[[bytes], None]
    err: Callable[[bytes], None]
    sleep: Callable[[float], None] = time.sleep
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    _told: dict[str, int] = field(default_factory=lambda: {"out": 0, "err": 0})

    def run(self, argv: Sequence[str], stdin: bytes = b"") -> int:
        """Run ``argv`` to its end and return its exit status, 128 + signal when it was killed.

        Raises:
            UsageError: it cannot be sent: a NUL in it, or too much standard input.
            Unreachable: the head node does not answer any more; the command may go on.
        """
        if any("\0" in word for word in argv):
            raise UsageError("a command cannot have a NUL in it")
        if len(stdin) > MAX_STDIN:
            raise UsageError(f"{len(stdin)} bytes of standard input; at most {MAX_STDIN} can be sent",
                             hint="pcinfra data push, and read the file from /lustre")  # fmt: skip
        if stdin:
            self.head.put({f".pcinfra-exec-{self.id}/in": stdin})
        words = f"set -- {shlex.join(argv)}"
        status = self._take(self.head.run("\n".join([words, self._script("exec-start"), self._looking(_WAITS[0])])))
        return self._follow() if status is None else status

    def end(self) -> None:
        """End the command and all that it started; nothing happens when it has ended."""
        self.head.run(self._script("exec-end"))

    def _follow(self) -> int:
        silent = looks = 0
        while True:
            try:
                status = self._take(self.head.run(self._looking(_WAITS[min(looks, len(_WAITS) - 1)])))
            except Unreachable:
                silent += 1
                if silent > PATIENCE:
                    raise
                self.sleep(min(silent, 5))
                continue
            looks, silent = looks + 1, 0
            if status is not None:
                return status

    def _script(self, name: str) -> str:
        return f"ID={self.id}\n{(_SCRIPTS / f'{name}.sh').read_text()}"

    def _looking(self, wait: int) -> str:
        where = f"OUT={self._told['out']} ERR={self._told['err']} WAIT={wait}"
        return "\n".join([encoder(), where, self._script("exec-look")])

    def _take(self, done: Completed) -> int | None:
        """Pass on what is new; return the exit status once everything has been told."""
        if done.status:
            raise CommandFailed(["head node"], done.status, done.stderr or done.stdout)
        status: int | None = None
        for line in done.stdout.splitlines():
            key, _, rest = line.partition(" ")
            if key in self._told:
                data = decoded(rest)
                self._told[key] += len(data)
                (self.out if key == "out" else self.err)(data)
            elif key == "status":
                said, whole = rest.split()
                status = int(said) if said != "running" and whole == "yes" else None
        if "status " not in done.stdout:
            raise PcinfraError("the head node's answer cannot be read", where="exec")
        return status
