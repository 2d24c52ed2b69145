"""What a stage is: its facts, its desired state and its teardown, all in one module.

A stage never acts by itself: ``up`` and ``down`` return Actions, made from the project and the facts alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from pcinfra.engine import Plan

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Project

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read from the account: the account itself, and one value of its own type for every stage."""

    account: str
    region: str
    values: Mapping[type, Any] = field(default_factory=dict)

    def of(self, kind: type[F]) -> F:
        """Return the facts of type ``kind``."""
        value: F = self.values[kind]
        return value

    def plus(self, value: object) -> Facts:
        """Return these facts and ``value``."""
        return Facts(self.account, self.region, {**self.values, type(value): value})


class Health(StrEnum):
    """How a resource is."""

    OK = "ok"
    BUSY = "busy"
    DIFFERS = "differs"
    FAILED = "failed"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Resource:
    """One line of ``pcinfra status``. ``since`` is when it was made, in ISO 8601, if that is known."""

    stage: str
    what: str
    id: str
    health: Health
    detail: str = ""
    since: str = ""


class Stage(Protocol):
    """One part of the infrastructure.

    ``needs`` names the stages whose facts :meth:`read` uses; they are read first.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]

    def read(self, project: Project, doors: Doors, facts: Facts) -> Any:
        """Return this stage's facts, a frozen dataclass of a type of its own. Changes nothing."""
        ...

    def up(self, project: Project, facts: Facts) -> Plan:
        """Return what must be done to make the facts what ``project`` says."""
        ...

    def down(self, project: Project, facts: Facts) -> Plan:
        """Return what must be done to leave nothing of this stage."""
        ...

    def status(self, project: Project, facts: Facts) -> list[Resource]:
        """Return what there is and should be."""
        ...

    def env(self, project: Project, facts: Facts) -> dict[str, str]:
        """Return this stage's variables, under the guide's names."""
        ...
