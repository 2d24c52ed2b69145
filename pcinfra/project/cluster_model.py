"""The shape of one entry of ``clusters:``, with every default visible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from pcinfra.project import fleet
from pcinfra.project.cluster_options import DirectoryService, Hooks, Imds, Monitoring
from pcinfra.project.fields import (
    AmiId,
    DatabaseName,
    DatabaseUri,
    InstanceType,
    InstanceTypeOrAuto,
    QueueName,
    ReservationId,
    SecretArn,
    TagKey,
    TagValue,
)
from pcinfra.project.section import Section

CapacityType = Literal["ONDEMAND", "SPOT", "CAPACITY_BLOCK"]
OperatingSystem = Literal["ubuntu2204", "ubuntu2404", "alinux2023"]
PclusterVersion = Literal["3.14.0", "3.14.1", "3.14.2", "3.15.0", "3.15.1", "3.16.0", "3.16.1"]


class HeadNodeSettings(Section):
    """The head node: where people log in and Slurm is at home."""

    instance_type: InstanceTypeOrAuto = Field(
        "auto", description="EC2 instance type; auto is sized by the most nodes that the cluster can have."
    )
    volume: int = Field(500, ge=40, le=16384, description="GiB of its root volume.")


class LoginNodes(Section):
    """Machines to log in to besides the head node, behind one address."""

    count: int = Field(0, ge=0, le=100, description="How many; 0 makes none, and people log in to the head node.")
    instance_type: InstanceTypeOrAuto = Field("auto", description="EC2 instance type; auto is a small one.")
    gracetime_period: int = Field(
        10, ge=3, le=120, description="Minutes that people have to end their sessions before a login node stops."
    )


class Accounting(Section):
    """A MySQL database that keeps the history of all jobs (sacct, sreport) longer than the head node lives."""

    managed: bool = Field(
        False,
        description="Use the database that pcinfra makes, one for all clusters that say so: prerequisites.database. "
        "Without it, the others name one of yours.",
    )
    database_uri: DatabaseUri | None = Field(
        None, description="HOST:PORT of its server, reachable from the private subnet; null keeps no history."
    )
    database_user: str | None = Field(None, min_length=1, max_length=32, description="User of the database server.")
    password_secret: SecretArn | None = Field(
        None, description="ARN of the secret in Secrets Manager that holds the user's password as plain text."
    )
    database_name: DatabaseName | None = Field(
        None, description="Database on the server, also on the managed one; null is the cluster's name with _ for -."
    )


class Queue(Section):
    """A Slurm queue of one instance type, or of several that are alike."""

    name: QueueName = Field("gpu", description="Name of the queue: sbatch --partition NAME.")
    instance_type: InstanceType = Field("p5.48xlarge", description="EC2 instance type of its nodes.")
    other_instance_types: tuple[InstanceType, ...] = Field(
        (),
        max_length=20,
        description="Types that are taken when the first one is not to be had: as many vCPUs and GPUs, and no EFA.",
    )
    min_nodes: int = Field(2, ge=0, description="Nodes that always run (static nodes), and always cost.")
    max_nodes: int = Field(
        2, ge=1, description="Most nodes at a time; those above min_nodes come and go with the jobs."
    )
    capacity_type: CapacityType = Field(
        "ONDEMAND",
        description="SPOT is cheaper and may be taken away at any time. CAPACITY_BLOCK needs capacity_reservation.",
    )
    capacity_reservation: ReservationId | None = Field(
        None, description="Id (cr-...) of the On-Demand Capacity Reservation or Capacity Block to start the nodes in."
    )
    efa: bool | None = Field(None, description="Whether nodes talk to each other by EFA; null is what the type can.")
    placement_group: bool | None = Field(
        None, description="Whether nodes stand close together; null is with EFA and without a reservation."
    )
    exclusive: bool | None = Field(
        None, description="Whether a job has its nodes to itself; null is on types with EFA."
    )
    gpu_health_check: bool | None = Field(
        None, description="Whether DCGM tests the GPUs before each job; null is on types with 1 to 4 GPUs, where it "
        "is quick."
    )  # fmt: skip
    root_volume: int | None = Field(
        None, ge=45, le=16384, description="GiB of a node's root volume; null is 100 with local NVMe disks, else 200."
    )
    custom_ami: AmiId | None = Field(None, description="AMI (ami-...) of its nodes; null is that of the cluster.")

    @property
    def instance_types(self) -> tuple[str, ...]:
        """Every instance type that its nodes may have, the wanted one first."""
        return (self.instance_type, *self.other_instance_types)


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of cluster: ``cluster-configs/<name>.yaml.j2``, what it is for, and the queues that it usually has."""

    name: str
    purpose: str
    queues: tuple[Queue, ...]


_GPU = Queue()
_CPU = Queue(name="cpu", instance_type="c7i.8xlarge", min_nodes=0, max_nodes=10)

SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("gpu-efa", "training on GPU nodes with EFA, Lustre, OpenZFS and containers", (_GPU,)),
        Shape("cpu", "work without GPUs: nodes come with the jobs and go after them", (_CPU,)),
        Shape("mixed", "GPU nodes for training and CPU nodes for what comes before and after it", (_GPU, _CPU)),
        Shape(
            "capacity-block", "GPU nodes bought for a time in advance (EC2 Capacity Blocks for ML)",
            (_GPU.model_copy(update={"capacity_type": "CAPACITY_BLOCK"}),),
        ),
        Shape(
            "minimal", "the cheapest cluster that runs a job: to try things out, without containers",
            (Queue(name="cpu", instance_type="c7i.large", min_nodes=0, max_nodes=2),),
        ),
    )
}  # fmt: skip


def _usual_queues(values: Mapping[str, Any]) -> tuple[Queue, ...]:
    shape = SHAPES.get(values.get("shape", "gpu-efa"), SHAPES["gpu-efa"])
    return shape.queues


class Cluster(Section):
    """A ParallelCluster cluster: a shape and a few values."""

    shape: str = Field("gpu-efa", description=f"Template that it is made from: {', '.join(SHAPES)}.")
    pcluster_version: PclusterVersion = Field(
        "3.16.1", description="Version of ParallelCluster. Creating needs this very version of pcluster installed."
    )
    os: OperatingSystem = Field("ubuntu2204", description="Operating system of all its nodes.")
    custom_ami: AmiId | None = Field(
        None, description="AMI (ami-...) of all its nodes, made for pcluster_version and os; null is the official one."
    )
    head_node: HeadNodeSettings = HeadNodeSettings()
    login_nodes: LoginNodes = LoginNodes()
    queues: tuple[Queue, ...] = Field(
        default_factory=_usual_queues,
        min_length=1,
        max_length=50,
        description="Its Slurm queues, at most 50. Without this key it has those that its shape is for.",
    )
    scaledown_idletime: int = Field(
        10, ge=1, le=10080, description="Minutes without a job after which a node above min_nodes goes away."
    )
    accounting: Accounting = Accounting()
    imds: Imds = Imds()
    hooks: Hooks = Hooks()
    monitoring: Monitoring = Monitoring()
    directory_service: DirectoryService = Field(
        {}, description="An Active Directory or LDAP whose users may use the cluster, in ParallelCluster's own words: "
        "DomainName, DomainAddr, PasswordSecretArn, DomainReadOnlyUser, ..."
    )  # fmt: skip
    tags: dict[TagKey, TagValue] = Field(
        {}, description="Tags of everything that this cluster makes, besides those of the project."
    )
    overrides: dict[str, Any] = Field(
        {},
        description="Anything else of ParallelCluster's configuration, in its own words (HeadNode: ...). It is laid "
        "over what pcinfra writes: entries of lists are found by their Name, null takes a key away.",
    )

    @property
    def max_nodes(self) -> int:
        """The most compute nodes that it can have at a time."""
        return sum(queue.max_nodes for queue in self.queues)

    @property
    def head_node_type(self) -> str:
        """The instance type of its head node, with ``auto`` resolved."""
        return self.head_node_choice[0]

    @property
    def head_node_choice(self) -> tuple[str, str]:
        """The instance type of its head node and, where it is ``auto``, the reason; else an empty one."""
        if self.head_node.instance_type != "auto":
            return self.head_node.instance_type, ""
        return fleet.head_node(self.max_nodes, self.queues[0].instance_type)

    @property
    def login_node_choice(self) -> tuple[str, str]:
        """The instance type of its login nodes and, where it is ``auto``, the reason; else an empty one."""
        if self.login_nodes.instance_type != "auto":
            return self.login_nodes.instance_type, ""
        return fleet.login_node(self.queues[0].instance_type)

    @property
    def instance_types(self) -> tuple[str, ...]:
        """Every instance type that its machines may have, each once."""
        login = (self.login_node_choice[0],) if self.login_nodes.count else ()
        queues = (kind for queue in self.queues for kind in queue.instance_types)
        return tuple(dict.fromkeys((self.head_node_type, *login, *queues)))
