"""Watching twenty stacks for twenty minutes behind a throttle, on a virtual clock.

The Executor, its poller and the probe are the real ones. The account answers five calls a second, of which others take
four on average; a call that finds no token is sent again as botocore's retry mode "standard" does it, and counts again.
Half of the stacks end within a fifth of their usual time, the rest anywhere in the twenty minutes.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report
from pcinfra import cloudformation
from pcinfra.cloudformation import StackProbe
from pcinfra.engine import Action, Event, Executor, Kind, Pending, Plan, Step, VirtualTime
from pcinfra.errors import Unreachable

STACKS, MINUTES, USUAL = 20, 20, 630.0
TOKENS, OTHERS, ATTEMPTS = 5.0, 4.0, 8


@dataclass
class Account:
    """CloudFormation behind a token bucket. It is the Executor's context, and the cloud that the probe asks."""

    luck: random.Random
    clock: VirtualTime = field(default_factory=VirtualTime)
    ends: dict[str, float] = field(default_factory=dict)
    calls: int = 0
    tokens: float = TOKENS
    filled: float = 0.0
    spent: float = 0.0

    @property
    def cloud(self) -> Account:
        return self

    def pages(self, service: str, operation: str, key: str, /, **parameters: Any) -> list[Any]:
        return list(self.call(service, operation, **parameters)[key])

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        self.spent = 0.0
        for attempt in range(ATTEMPTS):
            self.calls += 1
            if self._take():
                names = [parameters["StackName"]] if "StackName" in parameters else list(self.ends)
                return {"Stacks": [self._stack(name) for name in names], "StackEvents": []}
            self._wait(self.luck.random() * min(2**attempt, 20))
        raise Unreachable("Throttling: Rate exceeded")

    def _wait(self, seconds: float) -> None:
        self.spent += seconds
        self.clock.spend(seconds)

    def _take(self) -> bool:
        now = self.clock.now() + self.spent
        if now > self.filled:
            others = sum(self.luck.random() < 0.5 for _ in range(round((now - self.filled) * OTHERS * 2)))
            self.tokens = min(TOKENS, max(0.0, self.tokens + (now - self.filled) * TOKENS - others))
            self.filled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def _stack(self, name: str) -> dict[str, Any]:
        done = self.clock.now() + self.spent >= self.ends[name]
        return {"StackName": name, "StackId": name, "StackStatus": f"CREATE_{'COMPLETE' if done else 'IN_PROGRESS'}"}


@dataclass(frozen=True)
class Create:
    name: str
    seconds: float

    def start(self, account: Account, results: Mapping[str, Any]) -> Pending:
        account.ends[self.name] = account.clock.now() + self.seconds
        return Pending(StackProbe(), self.name, cloudformation.until_ready(self.name, ""), cloudformation.progress)


def simulate(seed: int) -> tuple[float, list[float]]:
    """Return the calls a minute, and by how many seconds each end was noticed late."""
    luck = random.Random(seed)
    account, noticed = Account(luck), dict[str, float]()
    times = [USUAL * luck.uniform(0.8, 1.2) if n % 2 else luck.uniform(60, 60 * MINUTES) for n in range(STACKS - 1)]
    times.append(60.0 * MINUTES)
    plan = Plan(
        tuple(
            Action(f"s/{n}", Kind.CREATE, f"stack s{n}", "", Create(f"s{n}", seconds), seconds=USUAL)
            for n, seconds in enumerate(times)
        )
    )

    def observe(event: Event) -> None:
        if event.step is Step.FINISHED:
            noticed[event.action.id.removeprefix("s/")] = account.clock.now()

    Executor(account, account.clock, observe).run(plan)
    lags = [noticed[str(n)] - account.ends[f"s{n}"] for n in range(STACKS)]
    return account.calls / MINUTES, lags


def main() -> int:
    runs = [simulate(seed) for seed in range(50)]
    calls, lags = [run[0] for run in runs], [lag for run in runs for lag in run[1]]
    late = quantiles(lags, n=20)[-1]
    print(f"     {STACKS} stacks, {MINUTES} min, {len(runs)} runs, no failure: {mean(calls):.1f} calls a minute")
    print(f"     an end is noticed after {mean(lags):.1f} s on average, {max(lags):.1f} s at most")
    fine = report("calls a minute, the worst run", max(calls), 8)
    return 0 if report("95th percentile of the lag, seconds", late, 10) and fine else 1


if __name__ == "__main__":
    sys.exit(main())
