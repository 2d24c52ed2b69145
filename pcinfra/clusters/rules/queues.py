"""Queues and their nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pcinfra import catalog
from pcinfra.clusters.overrides import Path
from pcinfra.clusters.rules.model import QUEUES, Config, Nodes, Remark, info, warning

MOST_QUEUES = MOST_RESOURCES = 50
MOST_POOLS = 10
LONGEST_NAME = 25


def names(config: Config) -> Iterator[Remark]:
    """pcluster, NameValidator: queues, compute resources and login pools."""
    named = [((*QUEUES, index, "Name"), queue["Name"]) for index, queue in enumerate(config.queues)]
    named += [((*nodes.path, "Name"), nodes.resource["Name"]) for nodes in config.nodes]
    named += [(("LoginNodes", "Pools", index, "Name"), pool["Name"]) for index, pool in enumerate(config.pools)]
    for path, name in named:
        if not re.match(r"^[a-z][a-z0-9\-]*$", name):
            yield Remark(path, f"{name!r}: only lower-case letters, digits and hyphens, and a letter first")
        elif len(name) > LONGEST_NAME:
            yield Remark(path, f"{name} has {len(name)} characters; {LONGEST_NAME} are possible", name[:LONGEST_NAME])
        elif name == "default":
            yield Remark(path, "default is reserved by ParallelCluster", "another name")


def names_differ(config: Config) -> Iterator[Remark]:
    """pcluster, DuplicateNameValidator: queues of a cluster, compute resources of a queue, login pools."""
    yield from _twice(QUEUES, [queue["Name"] for queue in config.queues])
    yield from _twice(("LoginNodes", "Pools"), [pool["Name"] for pool in config.pools])
    for index, queue in enumerate(config.queues):
        here = (*QUEUES, index, "ComputeResources")
        yield from _twice(here, [resource["Name"] for resource in queue.get("ComputeResources", [])])


def _twice(path: Path, found: Sequence[str]) -> Iterator[Remark]:
    for index, name in enumerate(found):
        if name in found[:index]:
            yield Remark((*path, index, "Name"), f"{name} is here twice", f"{name[:22]}-{index + 1}")


def counts(config: Config) -> Iterator[Remark]:
    """pcluster, MaxCountValidator: 50 queues, 50 compute resources in all, 10 login pools."""
    if len(config.queues) > MOST_QUEUES:
        yield Remark((*QUEUES, MOST_QUEUES), f"{len(config.queues)} queues; {MOST_QUEUES} are possible")
    resources = [nodes.path for nodes in config.nodes]
    if len(resources) > MOST_RESOURCES:
        many = f"{len(resources)} compute resources; {MOST_RESOURCES} are possible in all queues together"
        yield Remark(resources[MOST_RESOURCES], many)
    if len(config.pools) > MOST_POOLS:
        yield Remark(("LoginNodes", "Pools", MOST_POOLS), f"{len(config.pools)} login pools; 10 are possible")


def sizes(config: Config) -> Iterator[Remark]:
    """pcluster, ComputeResourceSizeValidator."""
    for nodes in config.nodes:
        if nodes.least > nodes.most:
            yield Remark((*nodes.path, "MinCount"), f"is {nodes.least}, more than MaxCount {nodes.most}",
                         f"max_nodes: {nodes.least}")  # fmt: skip
        elif nodes.capacity_type == "CAPACITY_BLOCK" and (nodes.least != nodes.most or not nodes.least):
            yield Remark((*nodes.path, "MinCount"), "all nodes of a capacity block are static",
                         f"min_nodes: {nodes.most}")  # fmt: skip


def types_known(config: Config) -> Iterator[Remark]:
    """pcluster, InstanceTypeValidator asks EC2; ours is EC2's answer kept (:mod:`pcinfra.catalog`)."""
    there = [((*nodes.path, "InstanceType"), name) for nodes in config.nodes for name in nodes.types]
    there.append((("HeadNode", "InstanceType"), config.data["HeadNode"]["InstanceType"]))
    there += [(("LoginNodes", "Pools", i, "InstanceType"), pool["InstanceType"]) for i, pool in enumerate(config.pools)]
    for path, name in there:
        if catalog.get(name) is None:
            hint = "pcinfra instances; a new type: pcinfra instances --refresh"
            yield Remark(path, f"{name} is not in the list of EC2 instance types", hint)


def one_architecture(config: Config) -> Iterator[Remark]:
    """pcluster, InstanceArchitectureCompatibilityValidator: one Slurm is built for all nodes."""
    head = catalog.get(config.data["HeadNode"]["InstanceType"])
    if head is None:
        return
    there = [((*nodes.path, "InstanceType"), kind) for nodes in config.nodes for kind in nodes.known]
    pools = ((i, catalog.get(pool["InstanceType"])) for i, pool in enumerate(config.pools))
    there += [(("LoginNodes", "Pools", i, "InstanceType"), kind) for i, kind in pools if kind]
    for path, kind in there:
        if kind.architecture != head.architecture:
            what = f"{kind.name} is {kind.architecture}, the head node ({head.name}) is {head.architecture}"
            yield Remark(path, what, "head_node.instance_type: auto, and queues of one architecture")


def efa(config: Config) -> Iterator[Remark]:
    """pcluster, EfaValidator and InstancesEFAValidator."""
    for nodes in config.nodes:
        for kind in nodes.known:
            if nodes.efa and not kind.efa_cards:
                yield Remark((*nodes.path, "Efa"), f"{kind.name} has no EFA", "efa: false")
            elif kind.efa_cards and not nodes.efa and len(nodes.types) == 1:
                yield warning(
                    (*nodes.path, "Efa"), f"{kind.name} can talk by EFA at no cost, but is not to", "efa: true"
                )
        if nodes.resource.get("Efa", {}).get("GdrSupport") and not nodes.efa:
            yield Remark((*nodes.path, "Efa", "GdrSupport"), "works with EFA only", "Enabled: true")


def placement(config: Config) -> Iterator[Remark]:
    """pcluster, EfaPlacementGroupValidator, PlacementGroupCapacityTypeValidator and …CapacityReservationValidator."""
    for nodes in config.nodes:
        path = (*nodes.queue_path, "Networking", "PlacementGroup")
        on = bool(nodes.group.get("Enabled") or ("Enabled" not in nodes.group and nodes.group.get("Name")))
        if nodes.capacity_type == "CAPACITY_BLOCK":
            if on:
                yield warning(path, "a group of ours makes starting in a capacity block fail", "placement_group: false")
        elif nodes.efa and not nodes.group:
            yield Remark(path, "with EFA it must be said whether nodes stand close together", "placement_group: true")
        elif on and nodes.reservation:
            yield warning(path, "a group of ours makes starting in a reservation fail", "placement_group: false")
        elif nodes.efa and not on and not nodes.reservation:
            yield warning(path, "EFA is slower between nodes that stand far apart", "placement_group: true")


def capacity(config: Config) -> Iterator[Remark]:
    """pcluster, CapacityTypeValidator and CapacityReservationValidator: a block has an id; spot starts in none."""
    for nodes in config.nodes:
        path = (*nodes.queue_path, "CapacityType")
        if nodes.capacity_type == "CAPACITY_BLOCK" and not nodes.reservation:
            yield Remark(path, "needs the id of the capacity block", "capacity_reservation: cr-...")
        if nodes.reservation and nodes.capacity_type == "SPOT":
            yield Remark(path, "Spot instances cannot start in a reservation", "capacity_type: ONDEMAND")
        if nodes.reservation and "Instances" in nodes.resource:
            yield Remark((*nodes.path, "Instances"), "a reservation is of one type", "remove other_instance_types")


def several_types(config: Config) -> Iterator[Remark]:
    """pcluster, InstancesCPUValidator, InstancesAcceleratorsValidator and InstancesAllocationStrategyValidator."""
    for nodes in config.nodes:
        if len(nodes.known) > 1:
            path = (*nodes.path, "Instances")
            cores = bool(nodes.resource.get("DisableSimultaneousMultithreading"))
            if not cores and len({kind.vcpus for kind in nodes.known}) > 1:
                yield Remark(path, f"have different numbers of vCPUs: {_each(nodes, 'vcpus')}", _alike(nodes))
            if len({kind.gpus for kind in nodes.known}) > 1:
                yield Remark(path, f"have different numbers of GPUs: {_each(nodes, 'gpus')}", _alike(nodes))
        if "Instances" in nodes.resource:
            yield from _strategy(nodes)


_FOR_SPOT = ("capacity-optimized", "price-capacity-optimized", "capacity-optimized-prioritized")


def _strategy(nodes: Nodes) -> Iterator[Remark]:
    said = nodes.queue.get("AllocationStrategy")
    path = (*nodes.queue_path, "AllocationStrategy")
    if said and nodes.capacity_type == "CAPACITY_BLOCK":
        yield Remark(path, "a capacity block is of one type: there is nothing to choose", "remove it")
    elif said in _FOR_SPOT and nodes.capacity_type != "SPOT":
        yield Remark(path, f"{said} is for SPOT", "lowest-price or prioritized")
    if said == "prioritized" and nodes.capacity_type == "SPOT":
        yield Remark(path, f"{said} is not for SPOT", "capacity-optimized-prioritized")


def _each(nodes: Nodes, what: str) -> str:
    return ", ".join(f"{kind.name} {getattr(kind, what)}" for kind in nodes.known)


def _alike(nodes: Nodes) -> str:
    """Return other types with as many vCPUs and GPUs as the first, to choose from."""
    first = nodes.known[0]
    generation = re.match(r"[a-z]+", first.name)
    start = generation[0] if generation else ""
    kinds = (catalog.find(name) for name in catalog.names() if name.startswith(start) and name != first.name)
    same = [k.name for k in kinds if (k.vcpus, k.gpus, k.architecture) == (first.vcpus, first.gpus, first.architecture)]
    return " or ".join(same[-3:]) or "remove it"


def hard_to_get(config: Config) -> Iterator[Remark]:
    """A cluster is complete only when all its static nodes run, and large GPU types are seldom to be had on demand.

    Source: aws-parallelcluster issues 2716 and 4061 (insufficient capacity); failure code StaticNodeBootstrapFailure.
    """
    for nodes in config.nodes:
        gpus = max((kind.gpus for kind in nodes.known), default=0)
        if gpus < 8 or not nodes.least or nodes.reservation:
            continue
        path = (*nodes.path, "MinCount")
        name = nodes.types[0]
        if nodes.capacity_type == "SPOT":
            yield warning(path, f"{nodes.least} {name} on Spot always run: the cluster is not complete without them",
                          "min_nodes: 0, or a capacity_reservation")  # fmt: skip
        else:
            yield info(path, f"{name} without a reservation is often not to be had; creating fails without all "
                       f"{nodes.least}", "capacity_reservation: cr-..., or min_nodes: 0")  # fmt: skip


def ultraservers(config: Config) -> Iterator[Remark]:
    """p6e-gb200 comes as whole UltraServers, by Capacity Block only, and its NVLink crosses nodes by IMEX.

    Sources: ParallelCluster, "Support NVIDIA-Imex with p6e-gb200 instance"; pcluster, UNSUPPORTED_OSES_FOR_P6E_GB200.
    """
    action = config.data["HeadNode"].get("CustomActions", {}).get("OnNodeConfigured", {})
    imex = any("imex" in str(argument) for argument in action.get("Args", ()))
    for nodes in config.nodes:
        name = next((name for name in nodes.types if name.startswith("p6e-gb200.")), "")
        if name and nodes.capacity_type != "CAPACITY_BLOCK":
            what = f"{name} is to be had in Capacity Blocks of whole UltraServers only"
            yield Remark((*nodes.queue_path, "CapacityType"), what, "capacity_type: CAPACITY_BLOCK")
        elif name and not imex:
            what = "NVLink between nodes needs IMEX set up by a prolog, which is not there"
            yield info((*nodes.path, "InstanceType"), what, "hooks: {prolog: [s3://BUCKET/91_nvidia_imex_prolog.sh]}")


def operating_system(config: Config) -> Iterator[Remark]:
    """pcluster, InstanceTypeOSCompatibleValidator: micro and nano are too small for these systems."""
    for nodes in config.nodes:
        for name in nodes.types:
            if re.search(r"\.(micro|nano)$", name):
                what = f"{name} is too small for {config.data['Image']['Os']}"
                yield warning((*nodes.path, "InstanceType"), what, "a type with 2 GiB of memory or more")


RULES = (
    names, names_differ, counts, sizes, types_known, one_architecture, efa, placement, capacity, several_types,
    hard_to_get, ultraservers, operating_system,
)  # fmt: skip
