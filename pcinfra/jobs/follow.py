"""Follows a run: its logs as they grow, merged line by line, until it has ended.

Logs are read by byte offset, so nothing is lost or doubled whatever happens to the connection in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pcinfra.errors import PcinfraError, Unreachable
from pcinfra.jobs.launcher import Chunk, Launcher, Look, State, Status

SHORTEST, LONGEST = 0.3, 5.0  # seconds between two looks: after news, and after long silence
PATIENCE = 12  # looks in a row without an answer, about a minute

_HELD = 64 * 1024  # bytes of an unfinished line that are held back; a carriage return may be half of its end


@dataclass(slots=True)
class Merge:
    """The logs of many nodes as one text: whole lines, with ``prefixes`` each behind its node's name."""

    prefixes: bool = False
    offsets: dict[str, int] = field(default_factory=dict)
    _held: dict[str, bytes] = field(default_factory=dict)
    _nodes: dict[str, str] = field(default_factory=dict)

    def take(self, chunk: Chunk) -> bytes:
        """Return what can be shown after ``chunk``. What was there before is passed over."""
        seen = self.offsets.get(chunk.log, 0)
        fresh = chunk.data[max(0, seen - chunk.offset) :] if chunk.offset <= seen else b""
        self.offsets[chunk.log] = seen + len(fresh)
        buffer = self._held.get(chunk.log, b"") + fresh
        lines = buffer.splitlines(keepends=True)
        rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        if len(rest) > _HELD:
            lines, rest = [*lines, rest], b""
        self._held[chunk.log] = rest
        self._nodes[chunk.log] = chunk.node
        return self._named(self._nodes[chunk.log], lines)

    def rest(self) -> bytes:
        """Return the unfinished last lines of all logs, each ended with a line break."""
        held, self._held = self._held, {}
        return b"".join(self._named(self._nodes[log], [text + b"\n"]) for log, text in held.items() if text)

    def _named(self, node: str, lines: list[bytes]) -> bytes:
        prefix = f"{node}: ".encode() if node and self.prefixes else b""
        return b"".join(prefix + line for line in lines)


@dataclass(slots=True)
class Follower:
    """Follows one run.

    Args:
        show: gets pieces of the log, in whole lines.
        note: gets a sentence whenever the state changes, or the head node is silent.
    """

    launcher: Launcher
    show: Callable[[bytes], None]
    note: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    logs: bool = True
    _merge: Merge = field(default_factory=Merge)
    _said: str = ""

    def follow(self, run: str) -> Status:
        """Return how ``run`` ended, once it has and all of its log has been shown."""
        pause, silent = SHORTEST, 0
        while True:
            try:
                look = self.launcher.look(run, self._merge.offsets if self.logs else None)
            except Unreachable as error:
                silent += 1
                self._bear(error, silent)
                look = None
            if look:
                run, silent = look.status.run, 0
                self._tell(look)
                if look.status.state.ended and not look.more:
                    self.show(self._merge.rest())
                    return look.status
            if look and look.more:
                continue
            pause = SHORTEST if look and look.chunks else min(pause * 1.4, LONGEST)
            self.sleep(pause)

    def print_now(self, run: str) -> Status:
        """Show what the logs hold now, and return where ``run`` stands."""
        while True:
            look = self.launcher.look(run, self._merge.offsets)
            self._show(look)
            if not look.more:
                self.show(self._merge.rest())
                return look.status

    def _tell(self, look: Look) -> None:
        sentence = in_words(look.status)
        if sentence != self._said and not look.status.state.ended:
            self.note(sentence)
        self._said = sentence
        self._show(look)

    def _show(self, look: Look) -> None:
        self._merge.prefixes = look.nodes > 1
        for chunk in look.chunks:
            text = self._merge.take(chunk)
            if text:
                self.show(text)

    def _bear(self, error: PcinfraError, silent: int) -> None:
        if silent >= PATIENCE:
            raise error
        if silent == 1:
            self.note(f"{error.why}; trying again")


def in_words(status: Status) -> str:
    """Return ``running on q-st-p5-1``, ``waiting: no free nodes for it yet`` and the like."""
    place = f" on {status.nodes}" if status.nodes and status.state in (State.RUNNING, State.STARTING) else ""
    why = f": {status.why}" if status.why else ""
    code = f", exit code {status.exit_code}" if status.exit_code else ""
    return f"{status.state}{place}{why}{code}"
