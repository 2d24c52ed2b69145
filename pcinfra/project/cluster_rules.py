"""What must hold between the values of ``clusters:``. Each rule is pure and names its source.

Here are the rules about keys of ours, without which nothing can be rendered. What AWS and ParallelCluster ask of the
rendered configuration, overrides included, is in :mod:`pcinfra.clusters.rules`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pcinfra import catalog
from pcinfra.project.cluster_model import SHAPES, Accounting, Cluster, Queue
from pcinfra.project.model import Project
from pcinfra.project.positions import Finding, KeyPath, Rule
from pcinfra.project.wording import nearest, one_of

MAX_CLUSTER_TAGS = 40


def cluster_names(project: Project) -> Iterator[Finding]:
    """A cluster is a CloudFormation stack of its name, and stack names are unique in a region.

    Source: ParallelCluster, "AWS CloudFormation"; CloudFormation API reference, CreateStack.
    """
    for name in project.clusters:
        if name == project.prerequisites.stack:
            also = (("prerequisites", "stack"),)
            yield Finding(("clusters", name), "has the name of the prerequisites stack", "choose another name", also)


def shapes(project: Project) -> Iterator[Finding]:
    """A shape is a template in ``cluster-configs``."""
    for name, cluster in project.clusters.items():
        if cluster.shape not in SHAPES:
            hint = f"shape: {nearest(cluster.shape, list(SHAPES)) or next(iter(SHAPES))}"
            yield Finding(("clusters", name, "shape"), f"must be {one_of(list(SHAPES))}", hint)


def instance_types(project: Project) -> Iterator[Finding]:
    """Only types in the list can be used: a cluster takes GPUs and network cards from it.

    Source: EC2 DescribeInstanceTypes, kept in :mod:`pcinfra.catalog`.
    """
    known = set(catalog.names())
    for path, kind in _instance_types(project):
        if kind not in known and kind != "auto":
            family = [name for name in catalog.names() if name.partition(".")[0] == kind.partition(".")[0]]
            near = nearest(kind, family or catalog.names()) or "p5.48xlarge"
            hint = near if isinstance(path[-1], int) else f"{path[-1]}: {near}"
            yield Finding(path, f"{kind} is not in the list of EC2 instance types", hint)


def _instance_types(project: Project) -> Iterator[tuple[KeyPath, str]]:
    for name, cluster in project.clusters.items():
        here: KeyPath = ("clusters", name)
        yield (*here, "head_node", "instance_type"), cluster.head_node.instance_type
        yield (*here, "login_nodes", "instance_type"), cluster.login_nodes.instance_type
        for index, queue in enumerate(cluster.queues):
            yield (*here, "queues", index, "instance_type"), queue.instance_type
            for place, kind in enumerate(queue.other_instance_types):
                yield (*here, "queues", index, "other_instance_types", place), kind


def accounting(project: Project) -> Iterator[Finding]:
    """A database has an address, a user and a password. Source: ParallelCluster, SlurmSettings/Database."""
    examples = {
        "database_user": "database_user: slurm",
        "password_secret": "password_secret: arn:aws:secretsmanager:us-east-1:123456789012:secret:slurm-AbCdEf",
    }
    for name, cluster in project.clusters.items():
        here: KeyPath = ("clusters", name, "accounting")
        said = cluster.accounting
        if said.managed:
            yield from _managed(here, said, project)
            continue
        missing = [key for key in examples if getattr(said, key) is None]
        if said.database_uri and missing:
            why = f"needs {' and '.join(missing)} too"
            also = tuple((*here, key) for key in missing)
            yield Finding((*here, "database_uri"), why, examples[missing[0]], also)
        if not said.database_uri and said != type(said)():
            given = next(key for key in type(said).model_fields if getattr(said, key) is not None)
            yield Finding((*here, given), "says nothing without database_uri", "database_uri: db.example.com:3306",
                          ((*here, "database_uri"),))  # fmt: skip


def _managed(here: KeyPath, said: Accounting, project: Project) -> Iterator[Finding]:
    """The stack's database has an address, a user and a password of its own, and stands in a network of the stack's."""
    also = ((*here, "managed"),)
    for name in ("database_uri", "database_user", "password_secret"):
        if getattr(said, name) is not None:
            yield Finding(
                (*here, name), "is for a database of yours, and accounting.managed is true", "remove it", also
            )
    if project.prerequisites.adopt.vpc:
        why = "needs a second private subnet, and none is made in an adopted VPC"
        hint = "a database of yours: database_uri, database_user, password_secret"
        yield Finding((*here, "managed"), why, hint, (("prerequisites", "adopt", "vpc"),))


def database_capacity(project: Project) -> Iterator[Finding]:
    """Source: RDS API reference, ServerlessV2ScalingConfiguration: the most is not less than the least."""
    database, path = project.prerequisites.database, ("prerequisites", "database")
    if database.min_capacity > database.max_capacity:
        why = f"is less than min_capacity, {database.min_capacity:g}"
        hint = f"max_capacity: {database.min_capacity:g}"
        yield Finding((*path, "max_capacity"), why, hint, ((*path, "min_capacity"),))


def hooks(project: Project) -> Iterator[Finding]:
    """The nodes' scripts install them, and ``minimal`` runs none."""
    for name, cluster in project.clusters.items():
        if cluster.shape == "minimal":
            asked = {
                "hooks": bool(cluster.hooks.urls),
                "monitoring": cluster.monitoring.exporters or cluster.monitoring.dcgm,
            }
            here: KeyPath = ("clusters", name)
            for key in (key for key, there in asked.items() if there):
                yield Finding((*here, key), "shape minimal runs no script that could install them", "shape: cpu",
                              ((*here, "shape"),))  # fmt: skip


def tags(project: Project) -> Iterator[Finding]:
    """A cluster's tags and the project's go onto the same resources.

    Source: ParallelCluster 3.16.1, MAX_TAGS_COUNT; IAM user guide, "Tags for IAM resources": keys in any case are one.
    """
    common = project.tags_for("cluster")
    for name, cluster in project.clusters.items():
        here = ("clusters", name, "tags")
        together = len(common | cluster.tags)
        if cluster.tags and together > MAX_CLUSTER_TAGS:
            why = f"are {together} with those of the project and of pcinfra; {MAX_CLUSTER_TAGS} are possible"
            yield Finding(here, why, "fewer tags", (("tags",),))
        seen = {key.lower(): key for key in common}
        for key in cluster.tags:
            other = seen.setdefault(key.lower(), key)
            if other != key:
                yield Finding((*here, key), f"differs from {other} in capital letters only", "keep one of them")


def queues(project: Project) -> Iterator[Finding]:
    """Queue names are unique in a cluster, and each queue's numbers fit. Source: ParallelCluster, SlurmQueues."""
    for name, cluster in project.clusters.items():
        yield from _unique_queues(("clusters", name, "queues"), cluster)
        for index, queue in enumerate(cluster.queues):
            yield from _queue(("clusters", name, "queues", index), queue)


def _unique_queues(path: KeyPath, cluster: Cluster) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, queue in enumerate(cluster.queues):
        if queue.name in seen:
            hint = f"name: {queue.name[:22]}-{index + 1}"
            yield Finding((*path, index, "name"), f"{queue.name} is also another queue of this cluster", hint)
        seen.add(queue.name)


def _queue(path: KeyPath, queue: Queue) -> Iterator[Finding]:
    if queue.min_nodes > queue.max_nodes:
        why = f"min_nodes is {queue.min_nodes} and max_nodes {queue.max_nodes}: the least is more than the most"
        yield Finding((*path, "min_nodes"), why, f"max_nodes: {queue.min_nodes}", ((*path, "max_nodes"),))
    if queue.capacity_reservation and queue.capacity_type == "SPOT":
        why = "Spot instances cannot start in a capacity reservation"
        hint = "capacity_type: ONDEMAND"
        yield Finding((*path, "capacity_reservation"), why, hint, ((*path, "capacity_type"),))
    if queue.capacity_type == "CAPACITY_BLOCK":
        yield from _capacity_block(path, queue)
    if queue.other_instance_types:
        yield from _several_types(path, queue)


def _several_types(path: KeyPath, queue: Queue) -> Iterator[Finding]:
    """Several types are an alternative to EFA and to a named reservation.

    Source: ParallelCluster 3.16.1, EfaMultiAzValidator and InstancesEFAValidator; CapacityReservationTarget: "when
    you specify CapacityReservationId with Instances" is refused. Schema: no type twice.
    """
    here = (*path, "other_instance_types")
    seen: set[str] = {queue.instance_type}
    for index, kind in enumerate(queue.other_instance_types):
        if kind in seen:
            yield Finding((*here, index), f"{kind} is here twice", "remove it", ((*path, "instance_type"),))
        seen.add(kind)
    if queue.efa:
        yield Finding(here, "EFA needs nodes of one type", "efa: false", ((*path, "efa"),))
    if queue.capacity_reservation:
        why = "a capacity reservation is of one type"
        yield Finding(here, why, "remove other_instance_types", ((*path, "capacity_reservation"),))


def _capacity_block(path: KeyPath, queue: Queue) -> Iterator[Finding]:
    """A capacity block is named, and all its nodes are static.

    Source: ParallelCluster, "Launch instances with Capacity Blocks (CB)": MinCount equals MaxCount, above 0.
    """
    kind = ((*path, "capacity_type"),)
    if not queue.capacity_reservation:
        why = "CAPACITY_BLOCK needs the id of the capacity block"
        yield Finding((*path, "capacity_type"), why, "capacity_reservation: cr-0123456789abcdef0", kind)
    if queue.min_nodes < queue.max_nodes:
        why = f"the nodes of a capacity block are all static, so min_nodes must be max_nodes ({queue.max_nodes})"
        yield Finding((*path, "min_nodes"), why, f"min_nodes: {queue.max_nodes}", (*kind, (*path, "max_nodes")))


RULES: tuple[Rule[Project], ...] = (
    cluster_names, shapes, instance_types, queues, accounting, database_capacity, hooks, tags,
)  # fmt: skip
