"""What is mounted where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, pairwise

from pcinfra.clusters.inputs import HEAD_SCRIPT
from pcinfra.clusters.overrides import Path
from pcinfra.clusters.rules.model import Config, Remark, warning

RESERVED = frozenset(
    ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/media", "/mnt", "/opt", "/opt/parallelcluster",
     "/opt/parallelcluster/shared", "/opt/parallelcluster/shared_login_nodes", "/opt/slurm", "/opt/intel", "/proc",
     "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var")  # noqa: S108  (names, none is used)
)  # fmt: skip
"""pcluster 3.16.1, SharedStorageMountDirValidator."""

LONGEST_NAME = 30


def mount_dirs(config: Config) -> Iterator[Remark]:
    """pcluster, SharedStorageMountDirValidator."""
    for path, where in _shared(config):
        if where in RESERVED:
            yield Remark(path, f"{where} belongs to the system", "another directory, such as /data")


def mounts_apart(config: Config) -> Iterator[Remark]:
    """pcluster, DuplicateMountDirValidator and OverlappingMountDirValidator: none in another, none twice."""
    shared = list(_shared(config))
    for (_, one), (path, other) in combinations(shared, 2):
        if one == other:
            yield Remark(path, f"{other} is mounted twice", "another directory")
        elif _within(one, other) or _within(other, one):
            yield Remark(path, f"{other} and {one} lie in each other", "another directory")
    for path, where in shared:
        for local in sorted(_local(config)):
            if where == local or _within(where, local) or _within(local, where):
                yield Remark(path, f"{where} and the nodes' own {local} lie in each other", "another directory")


def names(config: Config) -> Iterator[Remark]:
    """pcluster, SharedStorageNameValidator and DuplicateNameValidator."""
    seen: set[str] = set()
    for index, storage in enumerate(config.storage):
        path, name = ("SharedStorage", index, "Name"), storage["Name"]
        if len(name) > LONGEST_NAME:
            yield Remark(path, f"{name} has {len(name)} characters; {LONGEST_NAME} are possible", name[:LONGEST_NAME])
        elif name == "default" or not re.match(r"^[\w\s.:/=+\-@]*$", name):
            yield Remark(path, f"{name!r} cannot be the name of a file system")
        if name in seen:
            yield Remark(path, f"{name} is here twice", f"{name[:28]}-2")
        seen.add(name)


def counts(config: Config) -> Iterator[Remark]:
    """pcluster, NumberOfStorageValidator: new ones are at most 5 EBS, 1 EFS, 1 FSx and 1 RAID."""
    new: dict[str, list[Path]] = {}
    for index, storage in enumerate(config.storage):
        kind = storage["StorageType"]
        settings = storage.get(f"{kind}Settings", {})
        existing = bool(settings.get("FileSystemId") or settings.get("VolumeId") or settings.get("FileCacheId"))
        group = "RAID" if "Raid" in settings else "FSx" if kind.startswith("Fsx") else kind
        if not existing or kind == "Ebs":
            new.setdefault(group, []).append(("SharedStorage", index))
    for group, most in (("Ebs", 5), ("Efs", 1), ("FSx", 1), ("RAID", 1)):
        paths = new.get(group, [])
        if len(paths) > most:
            yield Remark(paths[most], f"{len(paths)} new file systems of {group}; {most} can be made with a cluster")


def kept(config: Config) -> Iterator[Remark]:
    """Ours: ``pcinfra submit`` writes a run's files to /lustre, and homes are to be the same everywhere.

    The nodes' scripts fail without the file system that they are told of (bootstrap/parts/lustre.sh).
    """
    there = {where for _, where in _shared(config)}
    action = config.data["HeadNode"].get("CustomActions", {}).get("OnNodeConfigured", {})
    arguments = [str(argument) for argument in action.get("Args", ())]
    needed = dict(pairwise(arguments)).get("--lustre", "/lustre")
    if str(action.get("Script", "")).endswith(HEAD_SCRIPT) and needed not in there:
        what = f"nothing is mounted at {needed}: the nodes' scripts fail without it"
        yield Remark(("SharedStorage",), what, "leave it mounted; or shape: minimal, which runs no scripts")
        return
    for where, why in (("/lustre", "pcinfra submit needs it"), ("/home", "homes differ from node to node")):
        if where not in there:
            yield warning(("SharedStorage",), f"nothing is mounted at {where}: {why}")


def _shared(config: Config) -> Iterator[tuple[Path, str]]:
    for index, storage in enumerate(config.storage):
        where = str(storage["MountDir"])
        yield ("SharedStorage", index, "MountDir"), where if where.startswith("/") else f"/{where}"


def _local(config: Config) -> set[str]:
    """Directories of local NVMe disks. pcluster, DEFAULT_EPHEMERAL_DIR: /scratch on every node that has such disks."""
    holders = [config.data["HeadNode"], *(queue.get("ComputeSettings", {}) for queue in config.queues)]
    said = [holder.get("LocalStorage", {}).get("EphemeralVolume", {}).get("MountDir") for holder in holders]
    found = {str(where) for where in said if where}
    if any(kind.nvme_disks for nodes in config.nodes for kind in nodes.known):
        found |= {"/scratch"} if not all(said[1:]) else set()
    return found


def _within(inner: str, outer: str) -> bool:
    return inner.startswith(outer.rstrip("/") + "/")


RULES = (mount_dirs, mounts_apart, names, counts, kept)
