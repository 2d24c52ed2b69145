"""What can make an image. A new builder is one module and one line in REGISTRY; the order is that of ``auto``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcinfra.images.builders.buildah import Buildah
from pcinfra.images.builders.codebuild import CodeBuild
from pcinfra.images.builders.docker import Docker
from pcinfra.images.builders.engine import Engine
from pcinfra.images.builders.podman import Podman
from pcinfra.images.builders.record import Record
from pcinfra.images.model import Builder

if TYPE_CHECKING:
    from pcinfra.doors import Doors

REGISTRY: tuple[Builder, ...] = (Engine(Docker()), Engine(Podman()), Engine(Buildah()), CodeBuild(), Record())
AUTO = "auto"


def named(name: str) -> Builder:
    """Return the builder called ``name``."""
    return next(builder for builder in REGISTRY if builder.name == name)


def choose(doors: Doors, wanted: str = AUTO) -> Builder:
    """Return ``wanted``; for ``auto`` the first that can be used from here, and codebuild always can.

    The local cloud has no registry that could be pushed to: an image there is its manifest, whatever is wanted.
    """
    if not doors.target.registry:
        return Record()
    if wanted != AUTO:
        return named(wanted)
    return next(builder for builder in REGISTRY if not builder.why_not(doors))
