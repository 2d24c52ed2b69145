"""``--only STAGE`` and ``--skip STAGE``: a part of a Plan, if that part can stand alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pcinfra.engine import Action, Plan

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """The stages asked for: all but ``skip``, or only ``only``."""

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    def of(self, plan: Plan) -> Plan:
        """Return the part of ``plan`` that is asked for.

        Raises:
            UsageError: it waits for an Action of a stage that is left out.
        """
        from pcinfra.engine import Plan

        if not self.only and not self.skip:
            return plan
        wanted = self._stages()
        chosen = tuple(action for action in plan.actions if action.stage in wanted)
        left_out = {action.id: action for action in plan.actions if action.stage not in wanted}
        for action in chosen:
            if action.after & set(left_out):
                raise self._cannot(action.what, [left_out[i] for i in left_out if i in action.after], wanted)
        names = ", ".join(dict.fromkeys(action.stage for action in left_out.values()))
        note = (f"left out: {len(left_out)} action(s) of {names}",) if left_out else ()
        return Plan(chosen, plan.notes + note)

    def _stages(self) -> set[str]:
        from pcinfra import stages

        names = [stage.name for stage in stages.REGISTRY]
        return {name for name in names if (not self.only or name in self.only) and name not in self.skip}

    def _cannot(self, what: str, first: list[Action], wanted: set[str]) -> Exception:
        """Return the error that says what has to be done ``first``, and which stages do all of it."""
        from pcinfra import stages
        from pcinfra.errors import UsageError

        needed = {action.stage for action in first}
        more = [stage.name for stage in stages.REGISTRY if stage.name in wanted | needed]
        reasons = "; ".join(f"{action.what} ({action.why}), stage {action.stage}" for action in first)
        return UsageError(f"needs {reasons}", where=what, hint=" ".join(f"--only {name}" for name in more))


def stage_name(_: click.Context, __: click.Parameter, value: Any) -> Any:
    """Check the names of stages that an option was given; ``a,b`` is both.

    Raises:
        UsageError: there is no such stage.
    """
    from difflib import get_close_matches

    from pcinfra import stages
    from pcinfra.errors import UsageError

    names = [stage.name for stage in stages.REGISTRY]
    given = tuple(name for text in value for name in text.split(","))
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, 1)
            raise UsageError(f"no stage {name!r}", hint=near[0] if near else f"one of: {', '.join(names)}")
    return given


def one_stage(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str:
    """Check the name of the one stage that an option was given; empty when it was not."""
    return str(stage_name(ctx, parameter, (value,))[0]) if value else ""


def options(command: Command) -> Command:
    """Add ``--only`` and ``--skip``."""
    skip = click.option(
        "--skip", multiple=True, metavar="STAGE", callback=stage_name, help="Leave a stage out; more than once or a,b."
    )
    only = click.option(
        "--only", multiple=True, metavar="STAGE", callback=stage_name,
        help="Only this stage: prerequisites, image, bucket, scripts or associations; more than once or a,b.",
    )  # fmt: skip
    return only(skip(command))
