"""What is wrong, or doubtful, in a cluster's configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pcinfra.errors import InputError, Problem


class Level(StrEnum):
    """pcluster's own levels."""

    ERROR = "ERROR"
    WARNING = "WARNING"
    INFO = "INFO"


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark about a configuration.

    Args:
        check: who says so: ``schema``, or the name of pcluster's validator.
        where: path in the rendered configuration; empty when the check does not say.
        hint: the key of the project file to change, or what to type; empty when nothing is known.
    """

    level: Level
    check: str
    where: str
    what: str
    hint: str = ""


def errors(findings: Sequence[Finding]) -> list[Finding]:
    """Return those that stand in the way."""
    return [finding for finding in findings if finding.level is Level.ERROR]


def refusal(cluster_name: str, findings: Sequence[Finding]) -> InputError:
    """Return the error that carries every finding of level ERROR."""
    file = f"cluster {cluster_name}"
    return InputError([Problem(file, 0, 0, f.where or f.check, f.what, f.hint) for f in errors(findings)])


def from_messages(messages: Any, cluster_name: str) -> list[Finding]:
    """Return the findings in marshmallow's nested ``messages``: keys are field names and list positions."""
    return [
        Finding(Level.ERROR, "schema", path, text, source(path, cluster_name)) for path, text in _flat(messages, "")
    ]


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


# Where the values of a rendered configuration come from in the project file.
_SOURCES = (
    (r"Image\.Os", "os"),
    (r"HeadNode\.InstanceType", "head_node.instance_type"),
    (r"HeadNode\.LocalStorage\.RootVolume\.Size", "head_node.volume"),
    (r"Scheduling\.SlurmQueues\[(\d+)\]\.Name", r"queues[\1].name"),
    (r"Scheduling\.SlurmQueues\[(\d+)\]\.CapacityType", r"queues[\1].capacity_type"),
    (r"Scheduling\.SlurmQueues\[(\d+)\]\.ComputeResources\[0\]\.InstanceType", r"queues[\1].instance_type"),
    (r"Scheduling\.SlurmQueues\[(\d+)\]\.ComputeResources\[0\]\.MinCount", r"queues[\1].min_nodes"),
    (r"Scheduling\.SlurmQueues\[(\d+)\]\.ComputeResources\[0\]\.MaxCount", r"queues[\1].max_nodes"),
    (r"Scheduling\.SlurmQueues\[(\d+)\]\..*CapacityReservationId", r"queues[\1].capacity_reservation"),
)


def source(path: str, cluster_name: str) -> str:
    """Return the key of the project file that ``path`` was rendered from, as a hint; empty when there is none."""
    if path.startswith("Tags"):
        return "tags in pcinfra.yaml"
    for pattern, key in _SOURCES:
        match = re.fullmatch(pattern, path)
        if match:
            return f"clusters.{cluster_name}.{match.expand(key)} in pcinfra.yaml"
    return ""
