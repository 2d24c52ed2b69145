"""Follows a run: its logs as they grow, merged line by line, until it has ended.

Logs are read by byte offset, so nothing is lost or doubled whatever happens to the connection in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pcinfra.errors import CommandFailed, PcinfraError, Unreachable
from pcinfra.jobs.launcher import EVERYTHING, Chunk, Launcher, Look, State, Status, Wait, Wanted

SHORTEST, LONGEST = 0.3, 5.0  # seconds between two looks: after news, and after long silence
PATIENT = 5.0  # seconds for which a look may wait for news, where it can; then it needs no pause after it
RHYTHM = 1.0  # seconds: no log is taken for slower than that right after it has said something
# A pause is at least so many times as long as what a look cost this machine: at most 5 % of a core. The first look
# does not count: it makes the connection.
CALM = 20.0
PATIENCE = 600.0  # seconds for which nobody may answer: a head node that starts again is back by then

_HELD = 64 * 1024  # bytes of an unfinished line that are held back; a carriage return may be half of its end


@dataclass(slots=True)
class Merge:
    """The logs of many nodes as one text: whole lines, with ``prefixes`` each behind its node's name."""

    prefixes: bool = False
    offsets: dict[str, int] = field(default_factory=dict)
    _held: dict[str, bytes] = field(default_factory=dict)
    _nodes: dict[str, str] = field(default_factory=dict)
    _inside: set[str] = field(default_factory=set)

    def begin(self, log: str, offset: int) -> None:
        """Want nothing of ``log`` before ``offset``, nor the line that is under way there; the first word counts."""
        if log not in self.offsets:
            self.offsets[log] = offset
            if offset:
                self._inside.add(log)

    def take(self, chunk: Chunk) -> bytes:
        """Return what can be shown after ``chunk``. What was there before is passed over."""
        seen = self.offsets.get(chunk.log, 0)
        fresh = chunk.data[max(0, seen - chunk.offset) :] if chunk.offset <= seen else b""
        self.offsets[chunk.log] = seen + len(fresh)
        if chunk.log in self._inside:
            _, end, fresh = fresh.partition(b"\n")
            if end:
                self._inside.remove(chunk.log)
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
    """Follows one run, through all its attempts.

    Args:
        show: gets pieces of the log, in whole lines.
        note: gets a sentence whenever the state changes, or the head node is silent.
        logs: False: only its state is followed.
        renew: returns a launcher in place of one that does not answer, whose head node may be another by now.
    """

    launcher: Launcher
    show: Callable[[bytes], None]
    note: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    logs: bool = True
    wanted: Wanted = EVERYTHING
    renew: Callable[[], Launcher] | None = None
    clock: Callable[[], float] = time.monotonic
    cost: Callable[[], float] = time.process_time
    _merge: Merge = field(default_factory=Merge)
    _said: str = ""

    def follow(self, run: str) -> Status:
        """Return how ``run`` ended, once it has and all of its log has been shown.

        Raises:
            Unreachable: nobody answered for ``PATIENCE`` seconds.
        """
        pause, looks, usual = SHORTEST, 0, 0.0
        heard = news = self.clock()
        while True:
            spent, began = self.cost(), self.clock()
            look = self._look(run, heard, Wait(PATIENT, max(began - news, usual)))
            looks += 1
            if look:
                run, heard = look.status.run, self.clock()
                if self._tell(look):
                    news, usual = heard, min((heard - news) / 2, RHYTHM)
                if look.status.state.ended and not look.more:
                    self.show(self._merge.rest())
                    return look.status
            pause = SHORTEST if look and look.chunks else min(pause * 1.4, LONGEST)
            rest = CALM * (self.cost() - spent) if looks > 1 else 0.0
            if look and look.waited is not None:
                rest = max(rest, SHORTEST if look.chunks else 0.0) - (self.clock() - began)
            elif not (look and look.more):
                rest = max(pause, rest)
            if rest > 0:
                self.sleep(rest)

    def print_now(self, run: str) -> Status:
        """Show what the logs hold now, and return where ``run`` stands."""
        while True:
            look = self.launcher.look(run, self._merge.offsets, self.wanted)
            self._show(look)
            if not look.more:
                self.show(self._merge.rest())
                return look.status

    def _look(self, run: str, heard: float, wait: Wait) -> Look | None:
        """Return a look, or None when nobody answers; the next look then asks whoever is there by that time."""
        try:
            return self.launcher.look(run, self._merge.offsets if self.logs else None, self.wanted, wait)
        except Unreachable as error:
            self._bear(error, heard)
        except CommandFailed as error:  # the head node itself went down meanwhile
            if not self._merge.offsets and not self._said:
                raise
            self._bear(error, heard)
        if self.renew:
            try:
                self.launcher = self.renew()
            except PcinfraError as error:
                self._bear(error, heard)
        return None

    def _bear(self, error: PcinfraError, heard: float) -> None:
        if self.clock() - heard > PATIENCE:
            raise error
        sentence = f"{error.why}; trying again"
        if sentence != self._said:
            self.note(sentence)
        self._said = sentence

    def _tell(self, look: Look) -> bool:
        """Note where the run stands, show what is new in its logs, and return whether there was news."""
        sentence = _place(look.status)
        moved = sentence != self._said
        if moved and not look.status.state.ended:
            self.note(sentence)
        self._said = sentence
        self._show(look)
        return moved or bool(look.chunks)

    def _show(self, look: Look) -> None:
        self._merge.prefixes = look.nodes > 1
        for log, offset in look.begins.items():
            self._merge.begin(log, offset)
        for chunk in look.chunks:
            text = self._merge.take(chunk)
            if text:
                self.show(text)


def _place(status: Status) -> str:
    """Return where a run stands, and in which attempt, once there has been more than one."""
    number = len(status.attempts)
    return in_words(status) + (f" (attempt {number})" if number > 1 else "")


def in_words(status: Status) -> str:
    """Return ``running on q-st-p5-1``, ``waiting: no free nodes for it yet`` and the like."""
    place = f" on {status.nodes}" if status.nodes and status.state in (State.RUNNING, State.STARTING) else ""
    why = f": {status.why}" if status.why else ""
    code = f", exit code {status.exit_code}" if status.exit_code else ""
    return f"{status.state}{place}{why}{code}"
