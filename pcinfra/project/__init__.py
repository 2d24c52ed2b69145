"""``pcinfra.yaml`` as a typed, frozen value: :class:`Project`."""

from pcinfra.project.model import (
    Adopt,
    Association,
    Bucket,
    Cluster,
    HeadNodeSettings,
    Image,
    Lustre,
    OpenZFS,
    Prerequisites,
    Project,
    Queue,
)

__all__ = [
    "Adopt",
    "Association",
    "Bucket",
    "Cluster",
    "HeadNodeSettings",
    "Image",
    "Lustre",
    "OpenZFS",
    "Prerequisites",
    "Project",
    "Queue",
]
