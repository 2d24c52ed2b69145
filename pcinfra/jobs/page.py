"""A report as one HTML page that needs nothing else: no network, no script, light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import jinja2

from pcinfra.jobs.report import Report, Span

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_STEPS = (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 7 * 86400, 30 * 86400)
_TICKS = 8
_MONTHS = (365 * 86400,)


@dataclass(frozen=True, slots=True)
class Scale:
    """Places of moments on a line, in percent of its width."""

    start: float
    end: float

    def at(self, moment: float) -> str:
        width = max(self.end - self.start, 1.0)
        return f"{min(100.0, max(0.0, 100 * (moment - self.start) / width)):.3f}%"

    def width(self, span: Span) -> str:
        return f"{100 * span.seconds / max(self.end - self.start, 1.0):.3f}%"

    def ticks(self) -> list[tuple[str, str]]:
        """Return the places and the names of some round times (UTC)."""
        length = max(self.end - self.start, 1.0)
        step = next((each for each in (*_STEPS, *_MONTHS) if length / each <= _TICKS), length)
        first = -(-self.start // step) * step
        moments = (first + step * index for index in range(int((self.end - first) // step) + 1))
        form = "%H:%M:%S" if step < 60 else "%H:%M" if length < 86400 else "%d %b %H:%M" if step < 86400 else "%d %b"
        return [(self.at(moment), _utc(moment).strftime(form)) for moment in moments]


def page(
    found: Report, costs: Sequence[str], *, facts: Mapping[str, str], sums: Mapping[str, str], notes: Sequence[str]
) -> str:
    """Return the page.

    Args:
        costs: of each attempt, in words.
        facts: what the run is, by name.
        sums: the figures of the whole run, by name.
        notes: what is to be known about the figures.
    """
    return _template().render(
        report=found, costs=costs, facts=facts, sums=sums, notes=notes, scale=Scale(found.start, found.until)
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(clock=clock, words=words)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))


def clock(moment: float) -> str:
    """Return a moment as ``2026-01-31 12:00:05 UTC``."""
    return _utc(moment).strftime("%Y-%m-%d %H:%M:%S UTC")


def words(seconds: float) -> str:
    """Return a time as ``0 s``, ``12 s``, ``3 min 5 s``, ``2 h 4 min`` or ``3 d 2 h``."""
    whole = round(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{whole} s"


def _utc(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)
