"""How many addresses the private subnet has and needs. Pure arithmetic on ranges."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from pcinfra import catalog

if TYPE_CHECKING:
    from pcinfra.project.cluster_model import Cluster, Queue
    from pcinfra.project.model import Project

RESERVED = 5
"""Addresses of every subnet that AWS keeps. Source: VPC user guide, "Subnet sizing"."""

FIRST_WITH_ONE_ADDRESS = "3.15"
"""Version of ParallelCluster; compared as text, which is right for the versions that a project can name."""

LARGEST = 16
"""Prefix of the largest VPC range and subnet. Source: VPC user guide, "VPC CIDR blocks"."""


def usable(prefix: int) -> int:
    """Return the number of addresses of a subnet that instances can have."""
    return int(2 ** (32 - prefix)) - RESERVED


def prefix_for(addresses: int) -> int | None:
    """Return the prefix of the smallest subnet with so many addresses; None when there is none."""
    return next((prefix for prefix in range(28, LARGEST - 1, -1) if usable(prefix) >= addresses), None)


def addresses(project: Project) -> int:
    """Return how many addresses of the private subnet everything takes when all clusters are at their largest.

    One for each node whatever its number of network cards: since ParallelCluster 3.15 only one card of an instance
    has an address (release notes, efa-only network interfaces); before, each card had one. One for each head node and
    login node, and one for the load balancer of login nodes. For the file systems the
    upper estimate: one for each started 1200 GiB of Lustre and one for its metadata, three for OpenZFS. One for each
    interface endpoint.
    """
    pre = project.prerequisites
    nodes = sum(_of_cluster(cluster) for cluster in project.clusters.values())
    lustre = 0 if pre.adopt.lustre else 1 + -(-max(pre.lustre.capacity, 0) // 1200)
    files = lustre + (0 if pre.adopt.openzfs_volume else 3)
    return nodes + files + 2 * pre.ecr_endpoints + 3 * pre.ssm_endpoints


def _of_cluster(cluster: Cluster) -> int:
    login = cluster.login_nodes.count + 1 if cluster.login_nodes.count else 0
    one_each = cluster.pcluster_version >= FIRST_WITH_ONE_ADDRESS
    return 1 + login + sum(queue.max_nodes * (1 if one_each else _cards(queue)) for queue in cluster.queues)


def _cards(queue: Queue) -> int:
    kinds = (catalog.get(name) for name in queue.instance_types)
    return max((kind.network_cards for kind in kinds if kind), default=1)


def second_subnet(private: str, first: str) -> str | None:
    """Return a subnet of ``private`` as large as ``first`` and apart from it, the first one; None without room."""
    taken = IPv4Network(first)
    if not taken.subnet_of(IPv4Network(private)):
        return None
    others = IPv4Network(private).subnets(new_prefix=taken.prefixlen)
    return next((str(subnet) for subnet in others if subnet != taken), None)
