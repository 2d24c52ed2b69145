"""How close ``up`` comes to the shortest possible time, on a virtual clock.

The plan is the real one for an empty account; only what takes long on AWS is simulated, with published durations
(minutes): both file systems with their network 10.5, four associations of 1.25 one after the other, image build 7
and push 5, bucket and scripts 1 together. The estimates by which the poller looks are the plan's own; reality
differs from them by up to 20 % in either direction.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report
from pcinfra.engine import Action, Executor, Pending, Plan, VirtualTime
from pcinfra.project import Project
from pcinfra.stages import Facts, up
from pcinfra.stages.associations import AssociationFacts
from pcinfra.stages.bucket import BucketFacts
from pcinfra.stages.image import ImageFacts, ImagesFacts
from pcinfra.stages.prerequisites import StackFacts
from pcinfra.stages.scripts import ScriptFacts

MINUTES = {"prerequisites": 10.5, "associations": 1.25, "image/image/pytorch": 12.0}
OTHERS = 2.0  # seconds: a call or two


@dataclass
class World:
    clock: VirtualTime = field(default_factory=VirtualTime)
    ends: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    stage: str

    def read(self, world: World, keys: frozenset[str]) -> Mapping[str, bool]:
        return {key: world.clock.now() >= world.ends[key] for key in keys}


@dataclass(frozen=True)
class Take:
    action_id: str
    seconds: float

    def start(self, world: World, results: Mapping[str, Any]) -> Pending:
        world.ends[self.action_id] = world.clock.now() + self.seconds
        return Pending(Look(self.action_id), self.action_id, lambda done: (None,) if done else None)


def empty_account() -> Facts:
    facts = Facts("123456789012", "us-east-1")
    scripts = {path.name: path for path in (Path(__file__).resolve().parents[1] / "bootstrap").glob("*.sh")}
    images = ImagesFacts({"pytorch": ImageFacts(None, "0" * 64, "docker")})
    for value in (
        StackFacts(None, "us-east-1a"), images, BucketFacts("bucket"),
        ScriptFacts({}, scripts), AssociationFacts("", {}),
    ):  # fmt: skip
        facts = facts.plus(value)
    return facts


def duration(action: Action) -> float:
    return 60 * MINUTES[key] if (key := next((k for k in MINUTES if action.id.startswith(k)), "")) else OTHERS


def simulate(plan: Plan, luck: random.Random) -> tuple[float, float, float]:
    """Return the makespan, the critical path and the sum of all durations, in seconds."""
    real = {action.id: duration(action) * luck.uniform(0.8, 1.2) for action in plan.actions}
    acting = Plan(tuple(replace(a, operation=Take(a.id, real[a.id])) for a in plan.actions))
    ideal = Plan(tuple(replace(a, seconds=real[a.id]) for a in plan.actions)).critical_path()
    world = World()
    Executor(world, world.clock).run(acting)
    return world.clock.now(), ideal, sum(real.values())


def main() -> int:
    plan = up(Project(), empty_account())
    runs = [simulate(plan, random.Random(seed)) for seed in range(50)]
    made, ideal, naive = (mean(run[i] for run in runs) for i in range(3))
    print(f"     {len(plan.actions)} actions, 50 runs: critical path {ideal / 60:.1f} min, ours {made / 60:.1f} min")
    print(f"     one after the other: {naive / 60:.1f} min, {naive / made:.2f} times ours")
    return 0 if report("makespan / critical path", mean(run[0] / run[1] for run in runs), 1.02) else 1


if __name__ == "__main__":
    sys.exit(main())
