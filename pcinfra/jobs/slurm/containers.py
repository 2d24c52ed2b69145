"""How Enroot and Pyxis want to be told of an image and of mounts."""

from __future__ import annotations

import re

from pcinfra.jobs.spec import JobSpec


def enroot_uri(image: str) -> str:
    """Return an image as ``enroot import`` and ``srun --container-image`` take it.

    A ``#`` stands between registry and repository, which every release understands; without it, those before 4.0
    look for everything on Docker Hub. What is on Docker Hub has none. A release of 3.x knows no tag with a digest, so
    a digest makes the tag go (Enroot, doc/cmd/import.md).
    """
    if image.startswith("/"):
        return image
    name = image.removeprefix("docker://")
    if "@" in name:
        name = re.sub(r":[\w.-]+@", "@", name)
    registry, slash, rest = name.partition("/")
    if "#" in name or not slash or not re.search(r"[.:]|^localhost$", registry):
        return name
    return f"{registry}#{rest}"


def digest(image: str) -> str:
    """Return the hex digits of an image's digest; empty where its address may mean another image tomorrow."""
    found = re.search(r"@sha256:([0-9a-f]{64})$", image)
    return found[1] if found else ""


def mounts(spec: JobSpec) -> str:
    """Return ``--container-mounts``: what the job file says, and the paths that it names, where they are."""
    said = [f"{mount.source}:{mount.inside}" + (":ro" if mount.read_only else "") for mount in spec.mounts]
    inside = {mount.inside for mount in spec.mounts}
    named = dict.fromkeys(path for path in (spec.data, spec.checkpoints) if path and path not in inside)
    return ",".join([*said, *(f"{path}:{path}" for path in named)])


def pyxis_options(spec: JobSpec) -> tuple[str, ...]:
    """Return srun's options for what the container may do (pyxis, README, "srun options")."""
    wanted = spec.container_options
    return (
        "--container-writable" if wanted.writable else "--container-readonly",
        "--container-mount-home" if wanted.mount_home else "--no-container-mount-home",
        "--container-remap-root" if wanted.remap_root else "--no-container-remap-root",
        "--container-entrypoint" if wanted.entrypoint else "--no-container-entrypoint",
    )
