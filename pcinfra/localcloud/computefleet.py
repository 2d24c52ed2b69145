"""What a ParallelCluster head node does through AWS's API: launch static nodes, keep the tables, write logs.

Sources: aws-parallelcluster-node, ``slurm_plugin/instance_manager.py`` (launch, tables), ``fleet_status_manager.py``;
aws-parallelcluster-cookbook, ``cloudwatch_agent_config.json`` (names of the log streams).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pcinfra.localcloud.slurm.config import InstanceFacts, StaticNode

Client = Callable[[str], Any]
"""Makes a boto3 client of a service, of the cluster's account and region."""

_RUNNING = ("pending", "running")


@dataclass(frozen=True, slots=True)
class Instance:
    """An EC2 instance behind a node."""

    id: str
    address: str
    type: str


def instance_facts(client: Client, types: Iterable[str]) -> dict[str, InstanceFacts]:
    """Look the instance types up in EC2."""
    wanted = sorted(set(types))
    described = client("ec2").describe_instance_types(InstanceTypes=wanted)["InstanceTypes"]
    return {each["InstanceType"]: InstanceFacts.of(each) for each in described}


def running(client: Client, instance_ids: Sequence[str]) -> dict[str, Instance]:
    """Return those of the instances that run, by id."""
    if not instance_ids:
        return {}
    filters = [
        {"Name": "instance-id", "Values": list(instance_ids)},
        {"Name": "instance-state-name", "Values": _RUNNING},
    ]
    pages = client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    found = [
        Instance(each["InstanceId"], each["PrivateIpAddress"], each["InstanceType"])
        for page in pages
        for reservation in page["Reservations"]
        for each in reservation["Instances"]
    ]
    return {instance.id: instance for instance in found}


def launch(client: Client, cluster: str, node: StaticNode) -> Instance:
    """Start the instance of a static node from the launch template that ParallelCluster made for it."""
    queue, resource = node.queue["Name"], node.resource["Name"]
    tags = {
        "Name": "Compute",
        "parallelcluster:cluster-name": cluster,
        "parallelcluster:node-type": "Compute",
        "parallelcluster:queue-name": queue,
        "parallelcluster:compute-resource-name": resource,
    }
    answer = client("ec2").run_instances(
        LaunchTemplate={"LaunchTemplateName": f"{cluster}-{queue}-{resource}", "Version": "$Latest"},
        InstanceType=node.instance_types[0],
        SubnetId=node.queue["Networking"]["SubnetIds"][0],
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}],
    )
    started = answer["Instances"][0]
    return Instance(started["InstanceId"], started["PrivateIpAddress"], started["InstanceType"])


def terminate(client: Client, instance_ids: Sequence[str]) -> None:
    if instance_ids:
        client("ec2").terminate_instances(InstanceIds=list(instance_ids))


def assign(client: Client, cluster: str, nodes: Mapping[str, Instance], head: tuple[str, str]) -> None:
    """Write which instance is which node. ``head``: the head node's host name and address."""
    table = client("dynamodb")
    for name, instance in nodes.items():
        item = {"Id": name, "InstanceId": instance.id, "MasterHostname": head[0], "MasterPrivateIp": head[1]}
        texts = {key: {"S": value} for key, value in item.items()}
        table.put_item(TableName=f"parallelcluster-slurm-{cluster}", Item=texts)


def unassign(client: Client, cluster: str, names: Iterable[str]) -> None:
    table = client("dynamodb")
    for name in names:
        table.delete_item(TableName=f"parallelcluster-slurm-{cluster}", Key={"Id": {"S": name}})


def say_running(client: Client, cluster: str) -> None:
    """Set the status of the compute fleet, unless it has one: an update leaves it as it is."""
    data = {"status": {"S": "RUNNING"}, "lastStatusUpdatedTime": {"S": str(datetime.now(UTC))}}
    table = client("dynamodb")
    with contextlib.suppress(table.exceptions.ConditionalCheckFailedException):
        table.put_item(
            TableName=f"parallelcluster-{cluster}",
            Item={"Id": {"S": "COMPUTE_FLEET"}, "Data": {"M": data}},
            ConditionExpression="attribute_not_exists(Id)",
        )


def log(client: Client, group: str, instance: Instance, stream: str, lines: Sequence[str]) -> None:
    """Append to ``ip-ADDRESS.INSTANCE.STREAM``; without a log group (logging is switched off) do nothing."""
    messages = [line for line in lines if line.strip()]
    if not group or not messages:
        return
    logs = client("logs")
    name = f"ip-{instance.address.replace('.', '-')}.{instance.id}.{stream}"
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=group, logStreamName=name)
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": message} for message in messages]
    logs.put_log_events(logGroupName=group, logStreamName=name, logEvents=events)
