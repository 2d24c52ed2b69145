"""The images that were imported for the jobs of a cluster, and the removal of those that nobody uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pcinfra.errors import CommandFailed, Unreachable
from pcinfra.jobs.headnode import HeadNode

_SCRIPT = Path(__file__).parent / "scripts" / "prune.sh"


@dataclass(frozen=True, slots=True)
class Imported:
    """One imported image. ``size`` is in bytes, ``age`` in days since a job last asked for it.

    Args:
        what: ``in use``, ``used lately``, ``would go``, ``removed`` or ``cannot be removed``.
    """

    digest: str
    size: int
    age: int
    what: str


def prune(head: HeadNode, days: int, *, dry: bool = False) -> list[Imported]:
    """Remove the images that no job uses or waits for, and none has asked for in the last ``days``; return all.

    Args:
        dry: remove nothing.

    Raises:
        CommandFailed: Slurm does not say which jobs there are; nothing was removed.
    """
    done = head.run(f"DAYS={days:d} DRY={'yes' if dry else ''}\n{_SCRIPT.read_text()}", timeout=600.0)
    if done.status:
        raise CommandFailed(["head node"], done.status, done.stderr or done.stdout)
    lines = done.stdout.splitlines()
    if not lines or lines[-1] != "end":
        raise Unreachable("the head node's answer is cut off", where="images", hint="the same command again")
    return [_image(line) for line in lines if line.startswith("image ")]


def _image(line: str) -> Imported:
    _, digest, size, age, what = line.split(" ", 4)
    return Imported(digest, int(size), int(age), what)
