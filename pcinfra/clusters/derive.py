"""What a cluster's configuration follows from: each rule in one function, each result with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from pcinfra import catalog
from pcinfra.catalog import InstanceType
from pcinfra.clusters.inputs import ClusterInputs
from pcinfra.clusters.quoting import Derived
from pcinfra.errors import UsageError
from pcinfra.project import Cluster, Queue
from pcinfra.project.hooks import S3, url

SCRATCH = "/scratch"

# pcluster 3.16.1, constants.NODE_BOOTSTRAP_TIMEOUT: what it uses when nothing is said.
USUAL_TIMEOUT = 2100
# Large GPU instances were given 2,400 s for a compute node and 3,600 s for the head node in production on p5en.
GPU_TIMEOUT = 2400
HEAD_TIMEOUT = 3600
MANY_CARDS = 4


@dataclass(frozen=True, slots=True)
class Devices:
    """What each node of a queue must have, as arguments of its script; empty: there are none, or types differ."""

    gpus: str = ""
    efa: str = ""


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue as the templates see it: one queue, one compute resource, one instance type or several alike."""

    queue: Queue
    type: InstanceType
    resource: str
    allocation: Derived | None
    efa: Derived | bool
    placement_group: Derived | bool
    exclusive: Derived | bool
    health_check: Derived | bool | None
    root_volume: Derived
    scratch: Derived | None
    devices: Devices


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
        allocation=allocation(queue),
        efa=efa(queue, kind),
        placement_group=placement_group(queue, kind),
        exclusive=exclusive(queue, kind),
        health_check=health_check(queue, kind),
        root_volume=Derived(queue.root_volume, "GiB") if queue.root_volume else root_volume(kind),
        scratch=scratch(kind),
        devices=devices(queue, kind),
    )


def devices(queue: Queue, kind: InstanceType) -> Devices:
    if queue.other_instance_types:
        return Devices()
    cards = kind.efa_cards if uses_efa(queue, kind) else 0
    return Devices(gpus=str(kind.gpus or ""), efa=str(cards or ""))


def resource_name(kind: InstanceType) -> str:
    """Return the compute resource's name; it is a part of the node names (``gpu-st-p5-48xlarge-1``).

    pcluster, cluster_validators.NameValidator: ``^[a-z][a-z0-9-]*$``, at most 25 characters.
    """
    return kind.name.replace(".", "-")[:25].rstrip("-")


def allocation(queue: Queue) -> Derived | None:
    """How EC2 chooses among several types; None for one type, where there is nothing to choose.

    Source: ParallelCluster, SlurmQueues/AllocationStrategy (3.14: prioritized, in the order of Instances), and
    InstancesAllocationStrategyValidator: with SPOT the strategies that look at capacity, else price or priority.
    """
    if not queue.other_instance_types:
        return None
    if queue.capacity_type == "SPOT":
        return Derived("capacity-optimized", "the type that is least likely to be taken away")
    return Derived("prioritized", "in the order below: the first that is to be had")


def efa(queue: Queue, kind: InstanceType) -> Derived | bool:
    if queue.efa is not None:
        return queue.efa
    if queue.other_instance_types:
        return Derived(False, "nodes of several types do not talk by EFA")
    cards = f"{kind.efa_cards} EFA card{'' if kind.efa_cards == 1 else 's'} ({catalog.SOURCE})"
    return Derived(kind.efa_cards > 0, cards if kind.efa_cards else f"the type has no EFA ({catalog.SOURCE})")


def uses_efa(queue: Queue, kind: InstanceType) -> bool:
    """Return whether the queue's nodes talk by EFA."""
    found = efa(queue, kind)
    return bool(found.value) if isinstance(found, Derived) else found


def placement_group(queue: Queue, kind: InstanceType) -> Derived | bool:
    """pcluster, EfaPlacementGroupValidator: with EFA it must be said, except for capacity blocks.

    PlacementGroupCapacityTypeValidator and PlacementGroupCapacityReservationValidator: with a reservation made
    outside the group, a group leads to insufficient capacity although the reservation has room.
    """
    if queue.placement_group is not None:
        return queue.placement_group
    if queue.capacity_type == "CAPACITY_BLOCK":
        return Derived(False, "a capacity block is placed together by itself; a group would make capacity fail")
    if queue.capacity_reservation:
        return Derived(False, "the reservation was made outside any group of ours; a group would make capacity fail")
    if uses_efa(queue, kind):
        return Derived(True, "nodes close together: full EFA bandwidth and lowest latency")
    return Derived(False, "without EFA closeness gains little and capacity is harder to get")


def exclusive(queue: Queue, kind: InstanceType) -> Derived | bool:
    if queue.exclusive is not None:
        return queue.exclusive
    if uses_efa(queue, kind):
        return Derived(True, "a training job takes whole nodes; two jobs on one would share its EFA cards")
    return Derived(False, "small jobs may share a node")


FEW_GPUS = 4


def health_check(queue: Queue, kind: InstanceType) -> Derived | bool | None:
    """pcluster's check of the GPUs before each job; None on types without GPUs.

    It runs ``dcgmi diag -r 2`` in the prolog (ParallelCluster, HealthChecks/Gpu), which takes minutes on a node with
    8 GPUs and has hung there (aws-parallelcluster issue 6777).
    """
    if queue.gpu_health_check is not None:
        return queue.gpu_health_check
    if not kind.gpus:
        return None
    if kind.gpus <= FEW_GPUS:
        return Derived(True, "a node with a broken GPU is drained before a job meets it")
    return Derived(False, f"DCGM's level 2 takes minutes on {kind.gpus} GPUs, before every job")


def scratch(kind: InstanceType) -> Derived | None:
    """Local NVMe disks, striped by pcluster and mounted; None where there are none."""
    if not kind.nvme_disks:
        return None
    return Derived(SCRATCH, f"{kind.nvme_disks} local NVMe disk(s), {kind.nvme_gb} GB: container images live here")


def root_volume(kind: InstanceType) -> Derived:
    if kind.nvme_disks:
        return Derived(100, "GiB; the image needs 45, the rest is for packages and logs")
    return Derived(200, "GiB; no local NVMe, so container images live here too")


def head_type(cluster: Cluster) -> Derived | str:
    """The head node's instance type, with the reason where it is ``auto``."""
    name, why = cluster.head_node_choice
    return Derived(name, why) if why else name


def login_type(cluster: Cluster) -> Derived | str:
    """The login nodes' instance type, with the reason where it is ``auto``."""
    name, why = cluster.login_node_choice
    return Derived(name, why) if why else name


def imds(cluster: Cluster) -> Derived | str:
    if cluster.imds.version != "v2.0":
        return cluster.imds.version
    return Derived("v2.0", "session tokens only: a request forged through a web server on the node gets no credentials")


def secured(cluster: Cluster) -> Derived | bool:
    if not cluster.imds.secured:
        return False
    return Derived(True, "only root and the node's administrators reach its credentials, not every user's job")


def hooks(name: str, cluster: Cluster, bucket: str) -> tuple[tuple[str, Derived], ...]:
    """The head node's arguments for programs around each job. Slurm's Prolog and Epilog belong to ParallelCluster."""
    why = "into /opt/slurm/etc/scripts/{}.d: Slurm runs it as root on each node, {} a job"
    return tuple(
        (f"--{kind}", Derived(url(bucket, name, kind, entry), why.format(kind, when)))
        for kind, when in (("prolog", "before"), ("epilog", "after"))
        for entry in getattr(cluster.hooks, kind)
    )


ULTRASERVER = "p6e-gb200."
"""Instances of an UltraServer, whose GPUs NVLink joins across nodes."""


def slurm_settings(queues: tuple[QueueView, ...]) -> tuple[tuple[str, Derived], ...]:
    """Slurm's settings for UltraServers. Source: ParallelCluster, "Support NVIDIA-Imex with p6e-gb200 instance"."""
    if not any(view.type.name.startswith(ULTRASERVER) for view in queues):
        return ()
    why = "UltraServers: all nodes of a job begin IMEX in their prolog before its first task"
    return (("PrologFlags", Derived("Alloc,NoHold", why)), ("MessageTimeout", Derived(240, "seconds; that takes long")))


def foreign_objects(cluster: Cluster, own: str) -> tuple[tuple[str, Derived], ...]:
    """Bucket and key of each object outside the project's own bucket that the head node must read."""
    elsewhere = (entry for entry in dict.fromkeys(cluster.hooks.urls) if entry.startswith(S3))
    parts = (entry.removeprefix(S3).partition("/") for entry in elsewhere)
    return tuple((bucket, Derived(key, "this object alone, to read")) for bucket, _, key in parts if bucket != own)


USUAL_IDLE_TIME = 10


def idle_time(cluster: Cluster) -> Derived | int:
    if cluster.scaledown_idletime != USUAL_IDLE_TIME:
        return cluster.scaledown_idletime
    why = "minutes; as long as a node takes to start: waiting longer costs more than starting again"
    return Derived(USUAL_IDLE_TIME, why)


def head_timeout(queues: tuple[QueueView, ...]) -> Derived:
    """The head node signals success only after its static nodes are up, so its time holds theirs."""
    if _slow(queues):
        return Derived(HEAD_TIMEOUT, "seconds; the head node reports only when its static GPU nodes are up")
    return Derived(USUAL_TIMEOUT, "seconds; pcluster's default")


def compute_timeout(queues: tuple[QueueView, ...]) -> Derived:
    if _slow(queues):
        return Derived(GPU_TIMEOUT, "seconds; large GPU nodes start slower than pcluster's default of 2100 allows")
    return Derived(USUAL_TIMEOUT, "seconds; pcluster's default")


_OWN_POLICY = "the project's own: Systems Manager, images and secrets of `nodes`; pcluster takes policies by ARN only"
_AWS_POLICIES = {
    "AmazonSSMManagedInstanceCore": "Session Manager and Run Command; the stack has no NodePolicy, which grants less",
    "AmazonEC2ContainerRegistryPullOnly": "pull images of every repository; the stack has no NodePolicy",
}
"""What nodes need where there is no policy of the project's own: with a stack that was made by hand."""


def policies(inputs: ClusterInputs) -> tuple[Derived, ...]:
    """Return the ARNs of the policies of every node's role (pcluster, AdditionalIamPolicySchema: ARNs only)."""
    if inputs.node_policy:
        return (Derived(inputs.node_policy, _OWN_POLICY),)
    start = f"arn:{inputs.partition}:iam::aws:policy/"
    return tuple(Derived(start + name, why) for name, why in _AWS_POLICIES.items())


@dataclass(frozen=True, slots=True)
class AccountingView:
    """The database that slurmdbd writes to, as the templates see it; ``group`` is None for one of the user's own."""

    uri: Derived | str
    user: str
    secret: str
    group: Derived | None


def accounting(cluster: Cluster, inputs: ClusterInputs) -> AccountingView | None:
    """Return the cluster's accounting database; None for a cluster without one.

    slurmdbd runs on the head node alone, so nothing else is in the database's client group (ParallelCluster, "Slurm
    accounting with AWS ParallelCluster").
    """
    said = cluster.accounting
    if said.managed and inputs.database:
        uri = Derived(inputs.database.uri, "the project's own: TLS only, and reached from head nodes only")
        group = Derived(inputs.database.group, "lets slurmdbd reach the accounting database; other nodes cannot")
        return AccountingView(uri, inputs.database.user, inputs.database.secret, group)
    if said.database_uri is None:
        return None
    return AccountingView(said.database_uri, said.database_user or "", said.password_secret or "", None)


def same_architecture(cluster: Cluster, queues: tuple[QueueView, ...], where: str) -> None:
    """Refuse a mixture of architectures (pcluster, InstanceArchitectureCompatibilityValidator).

    Raises:
        UsageError: the head node's type is not in the catalog, or a queue's has another architecture.
    """
    head = catalog.find(cluster.head_node_type, f"{where}.head_node.instance_type")
    for index, view in enumerate(queues):
        for kind in (catalog.find(name) for name in view.queue.instance_types):
            if kind.architecture != head.architecture:
                raise UsageError(
                    f"{kind.name} is {kind.architecture}, the head node ({head.name}) is {head.architecture}",
                    where=f"{where}.queues[{index}].instance_type",
                    hint=f"a head node of {kind.architecture}: one Slurm is built for all nodes",
                )


def _slow(queues: tuple[QueueView, ...]) -> bool:
    return any(view.type.gpus >= 8 or view.type.efa_cards >= MANY_CARDS for view in queues)
