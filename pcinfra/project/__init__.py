"""``pcinfra.yaml`` as a typed, frozen value: :class:`Project`."""

from pcinfra.project.cluster_model import SHAPES, Accounting, Cluster, HeadNodeSettings, LoginNodes, Queue, Shape
from pcinfra.project.model import Adopt, Association, Bucket, Image, Lustre, Nodes, OpenZFS, Prerequisites, Project

__all__ = [
    "SHAPES",
    "Accounting",
    "Adopt",
    "Association",
    "Bucket",
    "Cluster",
    "HeadNodeSettings",
    "Image",
    "LoginNodes",
    "Lustre",
    "Nodes",
    "OpenZFS",
    "Prerequisites",
    "Project",
    "Queue",
    "Shape",
]
