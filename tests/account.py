"""One account of the local cloud, driven through the product's own parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pcinfra import stages
from pcinfra.aws import Aws, Target
from pcinfra.doors import Doors
from pcinfra.engine import Executor, Plan, Threads
from pcinfra.project import Project
from pcinfra.shell import Subprocess
from pcinfra.stages import Facts
from pcinfra.stages.sweep import Residue, sweeping


@dataclass
class Account:
    """The account behind ``target``, as one project sees it."""

    target: Target
    project: Project

    def __post_init__(self) -> None:
        self.cloud = Aws(self.target)
        self.doors = Doors(self.cloud, Subprocess(), self.target)

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        return self.cloud.call(service, operation, **parameters)

    def run(self, plan: Plan, limit: float = 120) -> dict[str, Any]:
        workers = Threads()
        try:
            return Executor(self.doors, workers, limit=limit).run(plan)
        finally:
            workers.close()

    def facts(self, contents: bool = False, closely: bool = False) -> Facts:
        return stages.facts_of(self.run(stages.reading(self.project, contents, closely)))

    def plan(self) -> Plan:
        return stages.up(self.project, self.facts())

    def up(self) -> Plan:
        """Bring everything up; return the plan that did it."""
        plan = self.plan()
        self.run(plan)
        return plan

    def down(self) -> Plan:
        """Take everything away; return the plan that did it."""
        plan = stages.down(self.project, self.facts(contents=True))
        self.run(plan)
        return plan

    def run_only(self, stage: str) -> None:
        """Take away one stage, and what needs it not."""
        plan = stages.down(self.project, self.facts())
        self.run(Plan(tuple(action for action in plan.actions if action.stage == stage)))

    def left(self) -> list[Residue]:
        plan = sweeping(self.project)
        results = self.run(plan)
        return [row for action in plan.actions for row in results[action.id]]
