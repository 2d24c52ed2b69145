"""What a cluster's configuration follows from: each rule in one function, each result with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from pcinfra import catalog
from pcinfra.catalog import InstanceType
from pcinfra.clusters.quoting import Derived
from pcinfra.errors import UsageError
from pcinfra.project import Cluster, Queue

SCRATCH = "/scratch"

# pcluster 3.16.1, constants.NODE_BOOTSTRAP_TIMEOUT: what it uses when nothing is said.
USUAL_TIMEOUT = 2100
# Large GPU instances were given 2,400 s for a compute node and 3,600 s for the head node in production on p5en.
GPU_TIMEOUT = 2400
HEAD_TIMEOUT = 3600


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue as the templates see it: one queue, one compute resource, one instance type."""

    queue: Queue
    type: InstanceType
    resource: str
    efa: Derived
    placement_group: Derived
    exclusive: Derived
    root_volume: Derived
    scratch: Derived | None


def queue_view(queue: Queue, where: str) -> QueueView:
    """Return everything that follows from ``queue``.

    Raises:
        UsageError: its instance type is not in the catalog.
    """
    kind = catalog.find(queue.instance_type, f"{where}.instance_type")
    return QueueView(
        queue=queue,
        type=kind,
        resource=resource_name(kind),
        efa=efa(kind),
        placement_group=placement_group(queue, kind),
        exclusive=exclusive(kind),
        root_volume=root_volume(kind),
        scratch=scratch(kind),
    )


def resource_name(kind: InstanceType) -> str:
    """Return the compute resource's name; it is a part of the node names (``gpu-st-p5-48xlarge-1``).

    pcluster, cluster_validators.NameValidator: ``^[a-z][a-z0-9-]*$``, at most 25 characters.
    """
    return kind.name.replace(".", "-")[:25].rstrip("-")


def efa(kind: InstanceType) -> Derived:
    cards = f"{kind.efa_cards} EFA card{'' if kind.efa_cards == 1 else 's'} ({catalog.SOURCE})"
    return Derived(kind.efa_cards > 0, cards if kind.efa_cards else f"the type has no EFA ({catalog.SOURCE})")


def placement_group(queue: Queue, kind: InstanceType) -> Derived:
    """pcluster, EfaPlacementGroupValidator: with EFA it must be said, except for capacity blocks.

    PlacementGroupCapacityTypeValidator and PlacementGroupCapacityReservationValidator: with a reservation made
    outside the group, a group leads to insufficient capacity although the reservation has room.
    """
    if queue.capacity_type == "CAPACITY_BLOCK":
        return Derived(False, "a capacity block is placed together by itself; a group would make capacity fail")
    if queue.capacity_reservation:
        return Derived(False, "the reservation was made outside any group of ours; a group would make capacity fail")
    if kind.efa_cards:
        return Derived(True, "nodes close together: full EFA bandwidth and lowest latency")
    return Derived(False, "without EFA closeness gains little and capacity is harder to get")


def exclusive(kind: InstanceType) -> Derived:
    if kind.efa_cards:
        return Derived(True, "a training job takes whole nodes; two jobs on one would share its EFA cards")
    return Derived(False, "small jobs may share a node")


def scratch(kind: InstanceType) -> Derived | None:
    """Local NVMe disks, striped by pcluster and mounted; None where there are none."""
    if not kind.nvme_disks:
        return None
    return Derived(SCRATCH, f"{kind.nvme_disks} local NVMe disk(s), {kind.nvme_gb} GB: container images live here")


def root_volume(kind: InstanceType) -> Derived:
    if kind.nvme_disks:
        return Derived(100, "GiB; the image needs 45, the rest is for packages and logs")
    return Derived(200, "GiB; no local NVMe, so container images live here too")


def head_timeout(queues: tuple[QueueView, ...]) -> Derived:
    """The head node signals success only after its static nodes are up, so its time holds theirs."""
    if _slow(queues):
        return Derived(HEAD_TIMEOUT, "seconds; the head node reports only when its static GPU nodes are up")
    return Derived(USUAL_TIMEOUT, "seconds; pcluster's default")


def compute_timeout(queues: tuple[QueueView, ...]) -> Derived:
    if _slow(queues):
        return Derived(GPU_TIMEOUT, "seconds; large GPU nodes start slower than pcluster's default of 2100 allows")
    return Derived(USUAL_TIMEOUT, "seconds; pcluster's default")


_POLICIES = {
    "AmazonSSMManagedInstanceCore": "Session Manager and Run Command, the only way in",
    "AmazonEC2ContainerRegistryPullOnly": "pull images; pcluster takes policies by ARN only, so not for one repository",
}


def managed_policy(name: str, partition: str) -> Derived:
    """Return the ARN of one of AWS's own policies (pcluster, AdditionalIamPolicySchema: ARNs only)."""
    return Derived(f"arn:{partition}:iam::aws:policy/{name}", _POLICIES[name])


def same_architecture(cluster: Cluster, queues: tuple[QueueView, ...], where: str) -> None:
    """Refuse a mixture of architectures (pcluster, InstanceArchitectureCompatibilityValidator).

    Raises:
        UsageError: the head node's type is not in the catalog, or a queue's has another architecture.
    """
    head = catalog.find(cluster.head_node.instance_type, f"{where}.head_node.instance_type")
    for index, view in enumerate(queues):
        if view.type.architecture != head.architecture:
            raise UsageError(
                f"{view.type.name} is {view.type.architecture}, the head node ({head.name}) is {head.architecture}",
                where=f"{where}.queues[{index}].instance_type",
                hint=f"a head node of {view.type.architecture}: one Slurm is built for all nodes",
            )


def _slow(queues: tuple[QueueView, ...]) -> bool:
    return any(view.type.gpus >= 8 for view in queues)
