"""All checks at the same time, as a Plan that only reads."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.doctor.model import Check, Line, warning
from pcinfra.engine import Action, Kind, Plan
from pcinfra.errors import AccessDenied, CloudError, CredentialsError, PcinfraError
from pcinfra.project import Project

if TYPE_CHECKING:
    from pcinfra.doors import Doors

LIMIT = 20.0
"""Seconds that one check may take."""


def examination(checks: Sequence[Check], project: Project | None, limit: float = LIMIT) -> Plan:
    """Return the Plan that makes ``checks``, none waiting for another. Each Action's result is a list of lines.

    Args:
        project: None where there is no project file; what needs one is then not checked.
    """
    return Plan(
        tuple(
            Action(f"doctor/{check.name}", Kind.READ, check.name, "", Examine(check, project, limit))
            for check in checks
            if project is not None or not check.needs_project
        )
    )


def lines_of(plan: Plan, results: Mapping[str, Any]) -> list[Line]:
    """Return what was found, in the order of the checks."""
    return [line for action in plan.actions for line in results[action.id]]


@dataclass(frozen=True, slots=True)
class Examine:
    """Make one check. Whatever keeps it from being made is a warning, never a failure of the Plan."""

    check: Check
    project: Project | None
    limit: float

    def start(self, doors: Doors, results: Mapping[str, Any]) -> list[Line]:
        outcome: list[list[Line] | Exception] = []
        # A daemon: a program or a connection that hangs must keep neither the others nor the process waiting.
        worker = threading.Thread(target=self._make, args=(doors, outcome), daemon=True, name=self.check.name)
        worker.start()
        worker.join(self.limit)
        if not outcome:
            return [warning(self.check.name, f"not checked: no answer within {self.limit:g} s", _AGAIN)]
        found = outcome[0]
        return [_not_checked(self.check.name, found)] if isinstance(found, Exception) else found

    def _make(self, doors: Doors, outcome: list[list[Line] | Exception]) -> None:
        try:
            outcome.append(list(self.check.examine(self.project or Project(), doors)))
        except Exception as error:
            outcome.append(error)


_AGAIN = "pcinfra doctor"


def _not_checked(name: str, error: Exception) -> Line:
    """Return the line for a check that could not be made."""
    if isinstance(error, CredentialsError):
        return warning(name, "not checked: that needs credentials")
    if isinstance(error, AccessDenied):
        return warning(name, f"not checked: you may not call {error.where}", "pcinfra iam-policy --for doctor")
    if isinstance(error, CloudError) and error.code == "NotImplemented":
        return warning(name, f"not checked: {error.why.removeprefix('NotImplemented: ')}")
    if isinstance(error, PcinfraError):
        where = f" ({error.where})" if error.where else ""
        return warning(name, f"not checked: {error.why}{where}", error.hint)
    return warning(name, f"not checked: {type(error).__name__}: {error}", "pcinfra --debug doctor")
