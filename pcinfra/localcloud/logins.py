"""Login nodes: the machines behind the instances of a login pool's Auto Scaling group.

Source: ParallelCluster user guide, "LoginNodes"; Auto Scaling user guide, "Health checks": what fails is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pcinfra.localcloud import customactions
from pcinfra.localcloud.computefleet import RUNNING, Client, Instance, instance_of
from pcinfra.localcloud.homes import Home
from pcinfra.localcloud.slurm.config import head_name
from pcinfra.localcloud.slurm.spec import Node

_POOL_TAG = "parallelcluster:login-nodes-pool"


def keep(home: Home) -> None:
    """Start the machines of new login instances, end those of instances that are gone, replace those that died."""
    if not home.config.get("LoginNodes"):
        wanted: dict[str, tuple[Instance, str]] = {}
    else:
        wanted = {head_name(each.address): (each, pool) for each, pool in _instances(home.client, home.name)}
    cluster, machines = home.cluster, home.machines
    present = {node.name for node in cluster.spec.logins}
    dead = [name for name in present & set(wanted) if not cluster.up(name)]
    for name in dead:
        home.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=wanted[name][0].id, ShouldDecrementDesiredCapacity=False
        )
        del wanted[name]
    if present == set(wanted):
        return
    ids = {name: wanted[name][0].id if name in wanted else "" for name in present | set(wanted)}
    machines.moved(ids).write(home.directory)
    pools = {pool["Name"]: pool for pool in (home.config.get("LoginNodes") or {}).get("Pools", [])}
    seeds = {name: _seed(home.client, pools.get(wanted[name][1])) for name in set(wanted) - present}
    cluster.set_logins(tuple(Node(name, instance.address) for name, (instance, _) in wanted.items()), seeds)


def _seed(client: Client, pool: Mapping[str, Any] | None) -> customactions.Seed:
    return customactions.seed(client, (pool or {}).get("CustomActions"))


def _instances(client: Client, cluster: str) -> list[tuple[Instance, str]]:
    """Return the running login instances of a cluster, each with its pool."""
    filters = [
        {"Name": "tag:parallelcluster:cluster-name", "Values": [cluster]},
        {"Name": "tag:parallelcluster:node-type", "Values": ["LoginNode"]},
        {"Name": "instance-state-name", "Values": RUNNING},
    ]
    reservations = client("ec2").describe_instances(Filters=filters)["Reservations"]
    rows = [each for reservation in reservations for each in reservation["Instances"]]
    return [(instance_of(row), {t["Key"]: t["Value"] for t in row.get("Tags", [])}.get(_POOL_TAG, "")) for row in rows]
