"""What is on Lustre and goes nowhere when the file system does: only a node can list it, FSx has no call for it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcinfra.engine.model import Action, Kind, Plan
from pcinfra.errors import CommandFailed, NotFound, PcinfraError, Unreachable
from pcinfra.jobs.headnode import SsmHeadNode, head_node_id

if TYPE_CHECKING:
    from pcinfra.doors import Doors

LUSTRE = "/lustre"
UNSAVED = "read/unsaved"
"""Id of the Action that looks."""

_MOUNTED = f"mountpoint -q {LUSTRE} || {{ echo {LUSTRE} is not mounted there >&2; exit 1; }}"
_SCRIPT = Path(__file__).parent / "scripts" / "unsaved.sh"


@dataclass(frozen=True, slots=True)
class Entry:
    """Files below one path, as the nodes see it. ``size`` is in bytes."""

    path: str
    files: int
    size: int

    def within(self, path: str) -> bool:
        """Return whether ``path`` is this one, or a directory above it."""
        above = path.rstrip("/")
        return self.path == above or self.path.startswith(f"{above}/")


@dataclass(frozen=True, slots=True)
class Unsaved:
    """What was found, the largest first; ``unknown`` is why nobody could look; ``partial``: more may be there."""

    entries: tuple[Entry, ...] = ()
    unknown: str = ""
    partial: bool = False

    def without(self, paths: Sequence[str]) -> tuple[Entry, ...]:
        """Return the entries that are below none of ``paths``; all of them where more was not seen.

        What was not seen is below the root only.
        """
        if self.partial and not any(Entry(LUSTRE, 0, 0).within(path) for path in paths):
            return self.entries or (Entry(LUSTRE, 0, 0),)
        return tuple(each for each in self.entries if not any(each.within(path) for path in paths))


@dataclass(frozen=True, slots=True)
class ReadUnsaved:
    """Ask the head node of the first of ``clusters`` that answers. The result is :class:`Unsaved`.

    Args:
        kept: directories whose files are in S3, seen from the root of the file system: ``/checkpoints``.
    """

    clusters: tuple[str, ...]
    kept: tuple[str, ...]

    def start(self, context: Doors, results: Mapping[str, Any]) -> Unsaved:
        found = Unsaved(unknown="no cluster runs whose head node could look")
        for cluster in self.clusters:
            try:
                head = SsmHeadNode(context.cloud, head_node_id(context.cloud, cluster), "")
                return parse(head.administer(f"{_MOUNTED}\n{script(self.kept)}", timeout=90).check().stdout)
            except (NotFound, Unreachable, CommandFailed) as error:
                why = " ".join(error.why.split()).removeprefix("exit status 1 ")
                found = Unsaved(unknown=f"the head node of {cluster} could not look: {why}")
        return found


def asking(clusters: Iterable[str], kept: Iterable[str]) -> Plan:
    """Return the Plan that looks; its Action is :data:`UNSAVED`."""
    operation = ReadUnsaved(tuple(clusters), tuple(kept))
    return Plan((Action(UNSAVED, Kind.READ, "what is on Lustre only", "", operation),))


def script(kept: Iterable[str], lustre: str = LUSTRE) -> str:
    """Return the bash script that lists what is in no directory of ``kept``."""
    paths = " ".join(map(shlex.quote, kept))
    return f"LUSTRE={shlex.quote(lustre)} KEPT=({paths})\n{_SCRIPT.read_text()}"


def parse(answer: str) -> Unsaved:
    """Return what the script printed.

    Raises:
        PcinfraError: the answer is cut off.
    """
    lines = answer.splitlines()
    if not lines or lines[-1] != "end":
        raise PcinfraError("the head node's answer is cut off", where=LUSTRE, hint="the same command again")
    partial = "incomplete" in lines
    rows = (line.split(" ", 2) for line in lines[:-1] if line != "incomplete")
    return Unsaved(tuple(Entry(f"{LUSTRE}/{path}", int(n), int(size)) for n, size, path in rows), partial=partial)
