"""Order of work: who waits for whom, and as much as possible at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping

from pcinfra.localcloud.cfn.errors import CfnError

Graph = Mapping[str, frozenset[str]]
"""Name to the names it waits for. Names outside the keys are taken as done."""


def check_acyclic(graph: Graph) -> None:
    """Refuse a cycle, as CloudFormation does when it validates a template.

    Raises:
        CfnError: naming every resource that is part of, or behind, a cycle.
    """
    left = {name: set(needs) & set(graph) for name, needs in graph.items()}
    for name, needs in left.items():
        if name in needs:
            raise CfnError(f"Circular dependency between resources: [{name}]")
    while True:
        ready = [name for name, needs in left.items() if not needs]
        if not ready:
            break
        for name in ready:
            del left[name]
        for needs in left.values():
            needs.difference_update(ready)
    if left:
        raise CfnError(f"Circular dependency between resources: [{', '.join(sorted(left))}]")


def reverse(graph: Graph) -> dict[str, frozenset[str]]:
    """The order of deletion: who is needed waits for who needs it."""
    return {name: frozenset(other for other, needs in graph.items() if name in needs) for name in graph}


def run(graph: Graph, work: Callable[[str], None], *, stop: Callable[[], bool], limit: int = 32) -> set[str]:
    """Call ``work`` for every name, each the moment that everything it waits for has ended, up to ``limit`` at once.

    ``work`` reports failure through its own means and must not raise. Once ``stop()`` is true nothing new starts.

    Returns:
        The names that were never started.
    """
    waiting = {name: set(needs) & set(graph) for name, needs in graph.items()}
    ended: queue.Queue[str] = queue.Queue()
    running: set[str] = set()

    def one(name: str) -> None:
        try:
            work(name)
        finally:
            ended.put(name)

    while True:
        if not stop():
            _start(waiting, running, one, limit)
        if not running:
            return set(waiting)
        name = ended.get()
        running.discard(name)
        for needs in waiting.values():
            needs.discard(name)


def _start(waiting: dict[str, set[str]], running: set[str], one: Callable[[str], None], limit: int) -> None:
    for name in [name for name, needs in waiting.items() if not needs]:
        if len(running) >= limit:
            return
        del waiting[name]
        running.add(name)
        threading.Thread(target=one, args=(name,), name=f"cfn-{name}", daemon=True).start()


def closure(graph: Graph, name: str) -> set[str]:
    """Everything that ``name`` waits for, directly or not."""
    found: set[str] = set()
    left = list(graph.get(name, ()))
    while left:
        need = left.pop()
        if need not in found:
            found.add(need)
            left.extend(graph.get(need, ()))
    return found
