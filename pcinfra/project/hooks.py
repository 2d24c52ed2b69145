"""Programs around a job, above all those of this machine: where they are, whether they can be used, their place in S3.

Source: ParallelCluster 3.6 release notes: Prolog and Epilog are /opt/slurm/etc/scripts/{prolog,epilog}.d/*, so that
each is a file of its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pcinfra.project.cluster_options import HOOK_NAME
from pcinfra.project.positions import Finding

if TYPE_CHECKING:
    from pcinfra.project.model import Project

KINDS = ("prolog", "epilog")
S3 = "s3://"
MOST = 20
LIMIT = 1 << 20
"""Bytes of a program; ours: the head node puts it into /opt/slurm, which every node mounts."""

FOLDER = "scripts/bootstrap/hooks/"
"""Keys of the bucket that they lie under."""


@dataclass(frozen=True, slots=True)
class HookFile:
    """A program of this machine. ``key`` is where in the project's bucket it belongs."""

    cluster: str
    kind: str
    path: Path

    @property
    def key(self) -> str:
        return f"{FOLDER}{self.cluster}/{self.kind}/{self.path.name}"


def local_files(project: Project) -> tuple[HookFile, ...]:
    """Return the programs of this machine that the project's clusters name."""
    return tuple(
        HookFile(name, kind, Path(entry))
        for name, cluster in project.clusters.items()
        for kind in KINDS
        for entry in getattr(cluster.hooks, kind)
        if not entry.startswith(S3)
    )


def url(bucket: str, cluster: str, kind: str, entry: str) -> str:
    """Return the address in S3 of an entry of ``hooks:``; one that is an address already stays."""
    return entry if entry.startswith(S3) else f"{S3}{bucket}/{HookFile(cluster, kind, Path(entry)).key}"


def rule(folder: Path) -> Callable[[Project], Iterator[Finding]]:
    """Return the rule that looks at the programs of this machine; ``folder`` is where the project file lies."""

    def hook_files(project: Project) -> Iterator[Finding]:
        for name, cluster in project.clusters.items():
            for kind in KINDS:
                seen: dict[str, int] = {}
                for index, entry in enumerate(getattr(cluster.hooks, kind)):
                    yield from _look(entry, folder, ("clusters", name, "hooks", kind), index, seen)

    return hook_files


def _look(entry: str, folder: Path, path: tuple[str | int, ...], index: int, seen: dict[str, int]) -> Iterator[Finding]:
    """Yield what is wrong with one entry. ``seen`` has the place of each name, and gets those of this one."""
    files = [] if entry.startswith(S3) else _files(entry, folder)
    if not entry.startswith(S3) and not files:
        what = "is a folder without a file in it" if (folder / entry).is_dir() else "does not exist"
        yield Finding((*path, index), f"{_shown(entry, folder)} {what}", "a program of yours, or s3://BUCKET/KEY")
    if len(files) > MOST:
        yield Finding((*path, index), f"has {len(files)} programs; at most {MOST}", "one program that runs the others")
        return
    for file in files:
        wrong = _wrong(file)
        if wrong:
            yield Finding((*path, index), f"{file.name} {wrong[0]}", wrong[1])
    for name in [file.name for file in files] or [entry.rpartition("/")[2]]:
        if seen.setdefault(name, index) != index:
            also = ((*path, seen[name]),)
            yield Finding((*path, index), f"{name} is also the name of another one", "another name", also)


def _wrong(file: Path) -> tuple[str, str] | None:
    try:
        size, start = file.stat().st_size, file.open("rb").read(2)
    except OSError as error:
        return f"cannot be read: {error.strerror}", f"chmod a+r {file}"
    if not HOOK_NAME.fullmatch(file.name):
        return "has a name that Slurm would pass over or split", "letters, digits and . _ - in its name"
    if start != b"#!":
        return "is not a program: it does not begin with #!", "#!/bin/bash in its first line"
    return (f"has {size:,} bytes; at most {LIMIT:,}", "a program that fetches the rest") if size > LIMIT else None


def anchored(project: Project, folder: Path, shown: Callable[[Path], str]) -> Project:
    """Return the project with each program of this machine by its path from here; a folder gives all its files.

    Args:
        shown: makes the path of a file as short as it can be.
    """
    if not local_files(project):
        return project
    clusters = {}
    for name, cluster in project.clusters.items():
        found = {
            kind: tuple(
                one
                for entry in getattr(cluster.hooks, kind)
                for one in ([entry] if entry.startswith(S3) else [shown(file) for file in _files(entry, folder)])
            )
            for kind in KINDS
        }
        clusters[name] = cluster.model_copy(update={"hooks": cluster.hooks.model_copy(update=found)})
    return project.model_copy(update={"clusters": clusters})


def _files(entry: str, folder: Path) -> list[Path]:
    """Return the file of an entry, or the files in its folder in the order of their names; hidden ones are none."""
    try:
        path = folder / Path(entry).expanduser()
    except RuntimeError:  # ~NAME, and nobody has that name
        return []
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    return [path] if path.is_file() else []


def _shown(entry: str, folder: Path) -> str:
    return entry if folder == Path() or Path(entry).is_absolute() else f"{entry} (in {folder})"
