"""What a check is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Project


class Verdict(StrEnum):
    """How a thing is: as it should be, worth a look, or in the way."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of ``pcinfra doctor``.

    Args:
        found: what there is, or why it could not be found out.
        fix: what to type or change; empty when all is well.
    """

    what: str
    verdict: Verdict
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked at.

    Args:
        examine: reads and returns lines; changes nothing. What it cannot find out it lets raise.
        needs_project: whether it means nothing without a project file.
    """

    name: str
    examine: Callable[[Project, Doors], Iterable[Line]]
    needs_project: bool = True


def ok(what: str, found: str) -> Line:
    return Line(what, Verdict.OK, found)


def warning(what: str, found: str, fix: str = "") -> Line:
    return Line(what, Verdict.WARNING, found, fix)


def failure(what: str, found: str, fix: str) -> Line:
    return Line(what, Verdict.FAILURE, found, fix)
