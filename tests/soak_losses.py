"""What ``make soak-jobs`` looks for in a training: its steps, their losses, and how many of them a restart lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INTERVAL = 10  # steps between two checkpoints

Event = dict[str, Any]


def events_in(text: str) -> list[Event]:
    found = (line[line.index("{") :] for line in text.splitlines() if '"event": "' in line and line.endswith("}"))
    return [json.loads(line) for line in found]


def losses(events: Sequence[Event]) -> dict[int, float]:
    return {event["step"]: event["loss"] for event in events if event["event"] == "step"}


def compare(events: Sequence[Event], whole: dict[int, float], steps: int) -> list[int]:
    """Check a run against the losses of an undisturbed one; return how many steps each of its restarts lost.

    Raises:
        AssertionError: they differ, or more was lost than since the last checkpoint.
    """
    reached, lost = 0, []
    for event in events:
        if event["event"] == "start" and (reached or event["step"]):
            lost.append(reached - event["step"])
            assert lost[-1] <= INTERVAL, f"went on at step {event['step']} after {reached}"
        if event["event"] == "step":
            assert event["loss"] == whole[event["step"]], f"another loss: {event}"
            reached = event["step"]
    assert reached == steps, f"the last step is {reached}"
    assert set(losses(events)) == set(range(1, steps + 1)), "steps are missing"
    return lost


@dataclass(frozen=True)
class Row:
    """What became of one kind. ``lost``: the steps that each restart lost."""

    kind: str
    kills: int
    runs: int
    bad: int
    lost: list[int]
    seconds: float

    def __str__(self) -> str:
        mean = f"{sum(self.lost) / len(self.lost):.1f}" if self.lost else "-"
        cells = [self.kills, self.runs, self.bad, len(self.lost), mean, max(self.lost, default="-")]
        return f"{self.kind:<10}" + "".join(f"{cell!s:>10}" for cell in [*cells, f"{self.seconds:.0f}"])


_COLUMNS = ("kills", "runs", "badly", "restarts", "lost", "worst", "seconds")
HEADER = " " * 10 + "".join(f"{name:>10}" for name in _COLUMNS)
