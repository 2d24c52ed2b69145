"""The nouns of planning: Action, Plan, and what an Action does when its turn comes.

An Action is data: it can be printed, compared and counted without being carried out. Its ``operation`` is data
too (a frozen dataclass) with one method, ``start``, that makes the change. What takes long on the other side is
not waited for inside ``start``: it returns a :class:`Pending`, and one poller waits for all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol


class Kind(StrEnum):
    """What an Action does to the thing that it names."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    RUN = "run"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Change:
    """One setting of an Action: its value before (None: there was none) and after (None: it goes)."""

    key: str
    before: str | None
    after: str | None


class Probe(Protocol):
    """One question to the cloud that answers for many things at once.

    Hashable and comparable: Pendings with equal probes share one ``read`` per tick. It may have an attribute ``brief``,
    a Probe that takes fewer calls and tells only what a judge needs: a crowd is asked with that.
    """

    def read(self, context: Any, keys: frozenset[str]) -> Mapping[str, Any]:
        """Return the present state of each key; a key that is gone is left out."""
        ...


@dataclass(frozen=True, slots=True)
class Pending:
    """A change that was asked for and is not finished.

    Args:
        probe: reads the state of the thing, together with others.
        key: which of the probe's things this is.
        judge: gets the state (None when the thing is gone) and returns None to go on waiting, or a one-element
            tuple with the result; raises :class:`~pcinfra.errors.ResourceFailed` when it can never succeed.
        progress: gets the state and returns a short text for the display.
    """

    probe: Probe
    key: str
    judge: Callable[[Any], tuple[Any] | None]
    progress: Callable[[Any], str] = lambda _: ""


class Operation(Protocol):
    """The change itself, as data with one method."""

    def start(self, context: Any, results: Mapping[str, Any]) -> Any:
        """Make the change, or ask for it.

        Args:
            context: what the Executor was given: the door to the cloud.
            results: what earlier Actions returned, by Action id.

        Returns:
            The Action's result, or a :class:`Pending` that will yield it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Action:
    """One change.

    Args:
        id: ``stage/thing``, unique in its Plan.
        what: the thing, in the user's words: ``stack parallelcluster-prerequisites``.
        why: why it is needed: ``does not exist``, ``policy differs``.
        after: ids of the Actions it waits for; ids that are not in the Plan are already true and ignored.
        loses: the data it destroys, in words; empty when none.
        seconds: how long it usually takes; the poller and the display use it.
        changes: what it changes, setting by setting.
    """

    id: str
    kind: Kind
    what: str
    why: str
    operation: Operation
    after: frozenset[str] = frozenset()
    loses: str = ""
    seconds: float = 1.0
    changes: tuple[Change, ...] = ()

    @property
    def stage(self) -> str:
        return self.id.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Plan:
    """A graph of Actions, in the order given; ``notes`` are said to the user with it.

    Raises:
        ValueError: two Actions share an id, or they wait for each other in a circle.
    """

    actions: tuple[Action, ...] = ()
    notes: tuple[str, ...] = ()
    _graph: dict[str, frozenset[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {action.id for action in self.actions}
        if len(ids) != len(self.actions):
            raise ValueError("two actions share an id")
        graph = {action.id: action.after & ids for action in self.actions}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            raise ValueError(f"actions wait for each other: {' -> '.join(error.args[1])}") from error
        object.__setattr__(self, "_graph", graph)

    def __add__(self, other: Plan) -> Plan:
        return Plan(self.actions + other.actions, self.notes + other.notes)

    def without(self, *action_ids: str) -> Plan:
        """Return this Plan without some Actions; what waited for them waits for what they waited for."""
        passed = frozenset().union(*(self._graph.get(action_id, frozenset()) for action_id in action_ids))
        kept = (action for action in self.actions if action.id not in action_ids)
        actions = tuple(
            replace(action, after=action.after | passed) if action.after & set(action_ids) else action
            for action in kept
        )
        return Plan(actions, self.notes)

    @property
    def losses(self) -> tuple[Action, ...]:
        """The Actions that destroy data."""
        return tuple(action for action in self.actions if action.loses)

    def waits_for(self, action_id: str) -> frozenset[str]:
        """Return the ids inside this Plan that ``action_id`` waits for."""
        return self._graph[action_id]

    def critical_path(self) -> float:
        """Return the shortest possible time for the whole, in seconds, from each Action's ``seconds``."""
        seconds = {action.id: action.seconds for action in self.actions}
        ends: dict[str, float] = {}
        for action_id in TopologicalSorter(self._graph).static_order():
            ends[action_id] = max((ends[before] for before in self._graph[action_id]), default=0.0) + seconds[action_id]
        return max(ends.values(), default=0.0)
