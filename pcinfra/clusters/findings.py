"""What is wrong, or doubtful, in a cluster's configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pcinfra.errors import InputError, Problem

if TYPE_CHECKING:
    from pcinfra.clusters.sources import Locator


class Level(StrEnum):
    """pcluster's own levels."""

    ERROR = "ERROR"
    WARNING = "WARNING"
    INFO = "INFO"


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark about a configuration.

    Args:
        check: who says so: ``schema``, one of our rules, or the name of pcluster's validator.
        where: path in the rendered configuration; empty when the check does not say.
        hint: what to type; empty when nothing is known.
    """

    level: Level
    check: str
    where: str
    what: str
    hint: str = ""


def errors(findings: Sequence[Finding]) -> list[Finding]:
    """Return those that stand in the way."""
    return [finding for finding in findings if finding.level is Level.ERROR]


def refusal(cluster_name: str, findings: Sequence[Finding], locator: Locator | None = None) -> InputError:
    """Return the error that carries every finding of level ERROR, with its place in the project file if it is known."""
    if locator is None:
        file = f"cluster {cluster_name}"
        return InputError([Problem(file, 0, 0, f.where or f.check, f.what, f.hint) for f in errors(findings)])
    places = ((locator.place(path_of(finding.where)), finding) for finding in errors(findings))
    return InputError([Problem(p.file, p.line, p.column, p.key, f.what, f.hint) for p, f in places])


def path_of(where: str) -> tuple[str | int, ...]:
    """Return the path that ``Scheduling.SlurmQueues[0].Name`` is; empty for what is none."""
    if where.startswith("line "):
        return ()
    return tuple(int(step[1:-1]) if step[0] == "[" else step for step in re.findall(r"\[\d+\]|[^.\[\]]+", where))


def from_messages(messages: Any) -> list[Finding]:
    """Return the findings in marshmallow's nested ``messages``: keys are field names and list positions."""
    return [Finding(Level.ERROR, "schema", path, text) for path, text in _flat(messages, "")]


def _flat(messages: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(messages, dict):
        for key, below in messages.items():
            yield from _flat(below, _join(path, key))
    elif isinstance(messages, list | tuple):
        for below in messages:
            yield from _flat(below, path)
    else:
        yield path, str(messages)


def _join(path: str, key: object) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    if key == "_schema":
        return path
    return f"{path}.{key}" if path else str(key)
