"""What the head node and its Slurm say of themselves, in one round trip: for a diagnosis."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcinfra.engine.model import Action, Kind
from pcinfra.errors import CommandFailed, NotFound, Unreachable
from pcinfra.jobs.headnode import SsmHeadNode, decoded, encoder, head_node_id

if TYPE_CHECKING:
    from pcinfra.doors import Doors

_SCRIPT = Path(__file__).parent / "scripts" / "report.sh"
_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class ReadReport:
    """The result is text by file name; where the head node does not answer, one file that says so."""

    cluster: str

    def start(self, context: Doors, results: Mapping[str, Any]) -> dict[str, str]:
        try:
            head = SsmHeadNode(context.cloud, head_node_id(context.cloud, self.cluster), "")
            done = head.administer(f"{encoder()}\n{_SCRIPT.read_text()}", timeout=300).check()
        except (NotFound, Unreachable, CommandFailed) as error:
            return {"not-asked.txt": f"{error}\n"}
        return sections(decoded(done.stdout).decode(errors="replace"))


def sections(text: str) -> dict[str, str]:
    """Return the sections of what the script printed, by a file name made of each one's title."""
    found: dict[str, str] = {}
    for part in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        found[_NAME.sub("-", title).strip("-") + ".txt"] = body
    return found


def reading(cluster: str) -> Action:
    """Return the Action that asks the head node of ``cluster``."""
    return Action(f"read/report/{cluster}", Kind.READ, f"head node of {cluster}", "", ReadReport(cluster))
