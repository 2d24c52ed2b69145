"""``pcinfra.yaml`` as a typed, frozen value: :class:`Project`."""

from pcinfra.project.cluster_model import SHAPES, Accounting, Cluster, HeadNodeSettings, LoginNodes, Queue, Shape
from pcinfra.project.cluster_options import Hooks, Imds, Monitoring
from pcinfra.project.model import (
    Adopt,
    Association,
    Bucket,
    Database,
    Image,
    Lustre,
    Nodes,
    OpenZFS,
    Prerequisites,
    Project,
)

__all__ = [
    "SHAPES",
    "Accounting",
    "Adopt",
    "Association",
    "Bucket",
    "Cluster",
    "Database",
    "HeadNodeSettings",
    "Hooks",
    "Image",
    "Imds",
    "LoginNodes",
    "Lustre",
    "Monitoring",
    "Nodes",
    "OpenZFS",
    "Prerequisites",
    "Project",
    "Queue",
    "Shape",
]
