"""``pcinfra doctor``: all its checks together against the slowest of them, in one run with real sleeps.

Every check of the registry is made as long as a round trip to AWS or a slow program takes; they are as many as the
registry has, and run as the command runs them.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report
from pcinfra.doctor import REGISTRY, Check, Line, examination, lines_of
from pcinfra.doctor.model import ok
from pcinfra.engine import Executor, Threads
from pcinfra.project import Project

TARGET = 1.3


def lasting(name: str, seconds: float) -> Check:
    def examine(project: Project, doors: Any) -> Iterator[Line]:
        time.sleep(seconds)
        yield ok(name, f"{seconds:.2f} s")

    return Check(name, examine)


def makespan(checks: list[Check]) -> float:
    plan = examination(checks, Project())
    workers = Threads(len(plan.actions))
    begin = time.perf_counter()
    found = lines_of(plan, Executor(None, workers).run(plan))
    seconds = time.perf_counter() - begin
    workers.close()
    assert len(found) == len(checks)
    return seconds


def main() -> int:
    chance = random.Random(7)
    durations = {check.name: chance.uniform(0.05, 1.0) for check in REGISTRY}
    together = makespan([lasting(name, seconds) for name, seconds in durations.items()])
    slowest = max(makespan([lasting(name, seconds)]) for name, seconds in durations.items())
    note = f"{len(durations)} checks, {together:.2f} s; one after the other {sum(durations.values()):.2f} s"
    return 0 if report("doctor's makespan / its slowest check", together / slowest, TARGET, note) else 1


if __name__ == "__main__":
    sys.exit(main())
