"""What the user sees: tables, live progress, JSON.

On a terminal, running Actions are one live line each; elsewhere every event is one plain line, so that a log file
reads well. Results go to standard output, progress to standard error.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pcinfra.engine import Action, Event, Kind, Plan, Step

_MARK = {
    Step.FINISHED: ("✓", "green"),
    Step.FAILED: ("✗", "red"),
    Step.SKIPPED: ("-", "dim"),
    Step.STARTED: ("·", "dim"),
}
_SIGN = {
    Kind.CREATE: ("+", "green"),
    Kind.UPDATE: ("~", "yellow"),
    Kind.REPLACE: ("±", "red"),
    Kind.DELETE: ("-", "red"),
    Kind.RUN: ("▸", "cyan"),
    Kind.READ: ("?", "dim"),
}


def out() -> Console:
    """Return the console of standard output."""
    return _console(sys.stdout)


def err() -> Console:
    """Return the console of standard error."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    """A pipe or a file has no width: lines stay whole there."""
    terminal = stream.isatty()
    return Console(file=stream, highlight=False, soft_wrap=not terminal, width=None if terminal else 1000)


def print_json(value: Any) -> None:
    """Print ``value`` as indented JSON."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print ``rows`` under ``columns``; the cells may hold anything and are shown as they are."""
    out().print(table(columns, rows))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], whole: Sequence[str] = ()) -> Table:
    """Return what :func:`print_table` prints. What is in the columns of ``whole`` is folded last: it gets copied."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in whole)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return made


def print_plan(plan: Plan) -> None:
    """Print each Action of ``plan`` with its reason, its changes and what it would lose."""
    console = out()
    for action in plan.actions:
        _print_action(console, action)
    for note in plan.notes:
        console.print(f"  note: {note}", style="dim", markup=False)
    if not plan.actions:
        console.print("Nothing to change.")
        return
    loses = ", [bold red]and it loses data[/]" if plan.losses else ""
    kinds = Counter(action.kind for action in plan.actions)
    counts = ", ".join(f"{number} to {kind}" for kind, number in kinds.items())
    console.print(f"\n{counts}; about {duration(plan.critical_path())} on AWS{loses}")


def _print_action(console: Console, action: Action) -> None:
    sign, colour = _SIGN[action.kind]
    takes = f" · about {duration(action.seconds)}" if action.seconds >= 20 else ""
    replaces = " [bold red]is replaced[/]" if action.kind is Kind.REPLACE else ""
    console.print(f"[{colour}]{sign}[/] {escape(action.what)}{replaces}  [dim]{escape(action.why)}{takes}[/]")
    for change in action.changes if action.kind is not Kind.CREATE else ():
        before = "" if change.before is None else f"{change.before} → "
        console.print(f"    {change.key}: {before}{change.after or '(none)'}", markup=False)
    if action.loses:
        console.print(f"    [bold red]loses[/] {escape(action.loses)}")


def duration(seconds: float) -> str:
    """Return ``seconds`` as ``0.4 s``, ``12 s``, ``3 min 5 s`` or ``2 h 4 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def age(since: str) -> str:
    """Return how long ago the moment ``since`` (ISO 8601 with a zone) was, as ``5 min``, ``3 h`` or ``12 d``."""
    if not since:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


@contextmanager
def progress(plan: Plan) -> Iterator[Callable[[Event], None]]:
    """Show a Plan being carried out; yields the observer to hand to the Executor."""
    console = err()
    if not console.is_terminal:
        yield lambda event: _plain(console, event)
        return
    lines = _Lines(console)
    with Live(console=console, transient=True, refresh_per_second=8, get_renderable=lines.render):
        yield lines.take


def _plain(console: Console, event: Event) -> None:
    if event.step in _MARK and event.step is not Step.STARTED:
        console.print(_line(event))


def _line(event: Event) -> Text:
    mark, colour = _MARK[event.step]
    verb = f"{event.action.kind} " if event.action.kind is not Kind.RUN else ""
    line = Text.assemble((f"{mark} ", colour), f"{verb}{event.action.what}")
    if event.step is not Step.SKIPPED:
        line.append(f"  {duration(event.seconds)}", "dim")
    if event.step is Step.FAILED:
        line.append(f"\n  {event.text}", "red")
    return line


class _Lines:
    """The live view: ended Actions scroll up, running ones stay at the bottom with their age."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._running: dict[str, tuple[Action, str]] = {}
        self._since: dict[str, float] = {}

    def take(self, event: Event) -> None:
        action = event.action
        if event.step in (Step.STARTED, Step.PROGRESS):
            self._running[action.id] = (action, event.text)
            self._since.setdefault(action.id, self._console.get_time())
            return
        self._running.pop(action.id, None)
        self._console.print(_line(event))

    def render(self) -> Table:
        table = Table.grid(padding=(0, 1))
        now = self._console.get_time()
        for action, text in list(self._running.values()):
            age = now - self._since[action.id]
            usual = f" of about {duration(action.seconds)}" if action.seconds >= 20 else ""
            table.add_row(Text("…", "cyan"), Text(action.what), Text(f"{duration(age)}{usual}  {text}", "dim"))
        return table
