"""A cloud on a virtual clock: things that take as long as they are told to, and a count of every read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pcinfra.engine import Action, Event, Executor, Kind, Pending, Plan, VirtualTime
from pcinfra.errors import ResourceFailed


@dataclass
class World:
    """The context: when each thing ends, and what was read when."""

    clock: VirtualTime = field(default_factory=VirtualTime)
    ends: dict[str, float] = field(default_factory=dict)
    reads: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    broken: dict[str, Exception] = field(default_factory=dict)
    unreachable: int = 0
    kinds: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Look:
    """The one probe of this world; ``kind`` makes probes that do not share reads."""

    kind: str = ""

    @property
    def brief(self) -> Look:
        """The short form, for a crowd."""
        return Look("brief")

    def read(self, world: World, keys: frozenset[str]) -> Mapping[str, Any]:
        world.kinds.append(self.kind)
        world.reads.append((world.clock.now(), keys))
        if world.unreachable:
            world.unreachable -= 1
            from pcinfra.errors import Unreachable

            raise Unreachable("no answer")
        return {key: world.clock.now() >= world.ends[key] for key in keys}


@dataclass(frozen=True)
class Take:
    """Takes ``seconds`` in the cloud, after a call of ``call`` seconds."""

    name: str
    seconds: float
    call: float = 0.0
    kind: str = ""

    def start(self, world: World, results: Mapping[str, Any]) -> Any:
        world.clock.spend(self.call)
        if self.name in world.broken:
            raise world.broken[self.name]
        if not self.seconds:
            return self.name
        world.ends[self.name] = world.clock.now() + self.call + self.seconds

        def judge(done: bool | None) -> tuple[str] | None:
            if self.name + ":late" in world.broken and done:
                raise ResourceFailed("ended badly", where=self.name)
            return (self.name,) if done else None

        return Pending(Look(self.kind), self.name, judge)


def action(
    name: str, seconds: float = 0.0, after: str = "", call: float = 0.0, expected: float | None = None
) -> Action:
    """Return an Action ``s/name`` that takes ``seconds`` and is expected to."""
    waits = frozenset(f"s/{one}" for one in after.split())
    usual = seconds if expected is None else expected
    return Action(f"s/{name}", Kind.RUN, name, "because", Take(f"s/{name}", seconds, call), waits, seconds=usual)


def run(world: World, *actions: Action, limit: float | None = None) -> tuple[dict[str, Any], list[Event]]:
    """Carry out a Plan in ``world``; return its results and events."""
    events: list[Event] = []
    executor = Executor(world, world.clock, events.append, limit)
    return executor.run(Plan(actions)), events
