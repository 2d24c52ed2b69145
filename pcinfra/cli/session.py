"""What every command is handed: the project, the door to the cloud and the way to run a Plan.

Nothing is read or contacted before it is asked for.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pcinfra.aws import Aws, Target
    from pcinfra.clusters.reservations import Reservation
    from pcinfra.doors import Doors
    from pcinfra.engine import Plan
    from pcinfra.project import Project
    from pcinfra.shell import Shell
    from pcinfra.stages import Facts


REFRESHED = Path(".pcinfra") / "instances.csv"
"""Beside the project file: the catalog of instance types as EC2 last told it."""

_ALONE = ("init", "local", "schema", "completion")
"""Commands that no global option changes."""


@dataclass
class Session:
    """The global options of one invocation."""

    local: bool = False
    project_file: str | None = None
    profile: str = ""
    jobs: int = 16
    debug: bool = False
    backends: dict[str, Any] = field(default_factory=dict, compare=False)
    head_nodes: dict[str, str] = field(default_factory=dict, compare=False)
    capacity: dict[str, Reservation | None] = field(default_factory=dict, compare=False)

    def typed(self, text: str) -> str:
        """Return ``text`` with the commands in it as they must be typed for the same project and target."""
        from pcinfra.cli.main import COMMANDS

        flags = ["--local"] if self.local else []
        flags += ["-f", self.project_file] if self.project_file else []
        flags += ["--profile", self.profile] if self.profile else []
        commands = "|".join(name for name in COMMANDS if name not in _ALONE)
        program = " ".join(("pcinfra", shlex.join(flags))) if flags else "pcinfra"
        return re.sub(rf"\bpcinfra (?=({commands})\b)", lambda _: f"{program} ", text)

    @cached_property
    def project(self) -> Project:
        """The project file, read and checked.

        Raises:
            InputError: it is missing or wrong.
        """
        from pcinfra.project.load import load

        self.use_refreshed_catalog()
        return load(Path(self.project_file) if self.project_file else None)

    @property
    def folder(self) -> Path:
        """The folder of the project file; this one where there is none."""
        from pcinfra.errors import InputError
        from pcinfra.project.load import find

        try:
            return find(Path(self.project_file) if self.project_file else None).parent
        except InputError:
            return Path()

    def use_refreshed_catalog(self) -> None:
        """Let what ``pcinfra instances --refresh`` wrote for this project win over what came with pcinfra."""
        from pcinfra import catalog

        catalog.use(self.folder / REFRESHED)

    @property
    def has_project(self) -> bool:
        """Whether there is a project file, right or wrong."""
        from pcinfra.errors import InputError
        from pcinfra.project.load import find

        try:
            return bool(find(Path(self.project_file) if self.project_file else None))
        except InputError:
            return False

    @cached_property
    def target(self) -> Target:
        """Where the calls go; starts the local cloud when it is meant and does not run."""
        return self.target_in(self.project.region)

    def target_in(self, region: str) -> Target:
        """Return where the calls go for another region."""
        from pcinfra.aws import Target

        if not self.local:
            return Target(region=region, profile=self.profile)
        from pcinfra.cli.local import endpoint

        return endpoint(region)

    @cached_property
    def cloud(self) -> Aws:
        """The door to the account."""
        from pcinfra.aws import Aws

        return Aws(self.target)

    def forget(self) -> None:
        """Forget where the calls went: a local cloud that was started again may be somewhere else."""
        for name in ("cloud", "target"):
            vars(self).pop(name, None)
        self.backends.clear()
        self.head_nodes.clear()

    @cached_property
    def shell(self) -> Shell:
        from pcinfra.cli.streams import tell
        from pcinfra.shell import Subprocess

        return Subprocess(tell)

    @property
    def doors(self) -> Doors:
        """The context of every operation."""
        from pcinfra.doors import Doors

        return Doors(self.cloud, self.shell, self.target)

    def facts(self, contents: bool = False, closely: bool = False) -> Facts:
        """Read what there is, every stage as soon as those that it needs are read.

        Raises:
            CloudError: the account could not be read.
        """
        from pcinfra import stages

        return stages.facts_of(self.read(stages.reading(self.project, contents, closely)))

    def read(self, plan: Plan) -> dict[str, Any]:
        """Carry out a Plan that only reads, silently; its first failure is raised as it is, and so is Ctrl-C."""
        from pcinfra.engine import Executor, Threads
        from pcinfra.errors import Interrupted, PlanFailed

        workers = Threads(self.jobs)
        try:
            return Executor(self.doors, workers).run(plan)
        except PlanFailed as error:
            raise error.__cause__ or error from None
        except Interrupted:
            raise KeyboardInterrupt from None
        finally:
            workers.close()

    def run(self, plan: Plan, results: Mapping[str, Any] | None = None, limit: float | None = None) -> dict[str, Any]:
        """Carry out ``plan`` with live progress; see :meth:`pcinfra.engine.Executor.run`."""
        from pcinfra.engine import Executor, Threads
        from pcinfra.ui import progress

        workers = Threads(self.jobs)
        try:
            with progress(plan) as observer:
                return Executor(self.doors, workers, observer, limit).run(plan, results)
        finally:
            workers.close()


def hurried(session: Session) -> Aws:
    """Return the account for somebody who waits at a terminal: a call fails within seconds, not minutes."""
    from pcinfra.aws import Patience

    return session.cloud.hurried(Patience(attempts=3, connect=5, read=20))
