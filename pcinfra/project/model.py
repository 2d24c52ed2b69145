"""The shape of ``pcinfra.yaml``, with every default visible.

Units are AWS's: capacities in GiB, Lustre throughput in MB/s per TiB, OpenZFS throughput in MB/s.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

EventType = Literal["NEW", "CHANGED", "DELETED"]
LustreDeploymentType = Literal["SCRATCH_2", "PERSISTENT_1", "PERSISTENT_2"]
OpenZFSDeploymentType = Literal["SINGLE_AZ_1", "SINGLE_AZ_2", "SINGLE_AZ_HA_1", "SINGLE_AZ_HA_2"]
CapacityType = Literal["ONDEMAND", "SPOT"]
OperatingSystem = Literal["ubuntu2204", "ubuntu2404", "alinux2023"]

ALL_EVENTS: tuple[EventType, ...] = ("NEW", "CHANGED", "DELETED")


class Section(BaseModel):
    """A mapping of the file: unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Lustre(Section):
    """FSx for Lustre, mounted at ``/lustre`` on every node."""

    deployment_type: LustreDeploymentType = "PERSISTENT_2"
    capacity: int = 1200
    throughput: int | None = 250
    compression: Literal["LZ4", "NONE"] = "LZ4"
    version: Literal["2.12", "2.15"] = "2.15"


class OpenZFS(Section):
    """FSx for OpenZFS, mounted at ``/home`` on every node."""

    deployment_type: OpenZFSDeploymentType = "SINGLE_AZ_HA_2"
    capacity: int = 512
    throughput: int = 320
    final_backup: bool = True


class Prerequisites(Section):
    """The CloudFormation stack with network and storage."""

    stack: str = "parallelcluster-prerequisites"
    vpc_name: str = "AWS ParallelCluster"
    s3_endpoint: bool = True
    lustre: Lustre = Lustre()
    openzfs: OpenZFS = OpenZFS()


class Bucket(Section):
    """The S3 bucket. ``name: auto`` is ``parallelcluster-<account>-<region>``."""

    name: str = "auto"
    old_versions_days: int = Field(default=30, ge=1, le=3650)


class Association(Section):
    """One FSx data repository association: a Lustre directory tied to an S3 prefix.

    ``auto_import`` and ``auto_export`` are FSx's event sets. ``batch_import`` loads the metadata of what
    the prefix holds already.
    """

    path: str
    prefix: str
    auto_import: tuple[EventType, ...] = ()
    auto_export: tuple[EventType, ...] = ()
    batch_import: bool = False


def default_associations() -> dict[str, Association]:
    """Return the guide's four, except that an ``rm`` on Lustre never deletes the only copy in S3."""
    keep: tuple[EventType, ...] = ("NEW", "CHANGED")
    return {
        "data": Association(path="/data", prefix="data/", auto_import=ALL_EVENTS, batch_import=True),
        "checkpoints": Association(
            path="/checkpoints", prefix="checkpoints/", auto_import=ALL_EVENTS, auto_export=keep
        ),
        "logs": Association(path="/logs", prefix="logs/", auto_export=ALL_EVENTS),
        "results": Association(path="/results", prefix="results/", auto_export=keep),
    }


class Image(Section):
    """The training image: where it is built from and where it is kept."""

    repository: str = "pytorch-training-custom"
    tag: str = "latest"
    context: str = "builtin:pytorch"
    immutable_tags: bool = False
    keep: int = Field(default=10, ge=1, le=1000)


class HeadNodeSettings(Section):
    """A cluster's head node. ``volume`` is its root volume in GiB."""

    instance_type: str = "m5.8xlarge"
    volume: int = Field(default=500, ge=40, le=16384)


class Queue(Section):
    """One Slurm queue of one instance type. ``min_nodes`` are static nodes, the rest come on demand."""

    name: str = "gpu"
    instance_type: str = "p5.48xlarge"
    min_nodes: int = Field(default=2, ge=0)
    max_nodes: int = Field(default=2, ge=1)
    capacity_type: CapacityType = "ONDEMAND"
    capacity_reservation: str | None = None


class Cluster(Section):
    """One ParallelCluster cluster: a shape and a few values."""

    shape: str = "gpu-efa"
    os: OperatingSystem = "ubuntu2204"
    head_node: HeadNodeSettings = HeadNodeSettings()
    queues: tuple[Queue, ...] = (Queue(),)


Tag = Annotated[str, Field(max_length=256)]


class Project(Section):
    """The whole of ``pcinfra.yaml``."""

    project: str = "training"
    region: str = "us-east-1"
    availability_zone: str = "auto"
    tags: dict[str, Tag] = {}
    prerequisites: Prerequisites = Prerequisites()
    bucket: Bucket = Bucket()
    associations: dict[str, Association] = Field(default_factory=default_associations)
    image: Image = Image()
    clusters: dict[str, Cluster] = Field(default_factory=lambda: {"train": Cluster()})

    def bucket_name(self, account: str) -> str:
        """Return the bucket's name in ``account`` (12 digits)."""
        return f"parallelcluster-{account}-{self.region}" if self.bucket.name == "auto" else self.bucket.name

    def tags_for(self, stage: str) -> dict[str, str]:
        """Return the tags of everything that ``stage`` makes; by them it is found again."""
        return {**self.tags, "pcinfra:project": self.project, "pcinfra:stage": stage}
