"""Times whole commands against each other, alternating, so that what else the machine does falls on all alike."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence


def medians(commands: Mapping[str, Sequence[str]], repeats: int = 15) -> dict[str, float]:
    """Return the median wall time of each command in seconds, after one run each that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(repeats + 1):
        for name, command in commands.items():
            begin = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if turn:
                times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def report(what: str, value: float, target: float, note: str = "") -> bool:
    """Print one ratio beside its target and return whether it is met."""
    met = value <= target
    print(f"{'ok  ' if met else 'MISS'} {what}: {value:.3f} (target ≤ {target:g}){'  ' + note if note else ''}")
    return met
