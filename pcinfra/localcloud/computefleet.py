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

from pcinfra.localcloud.slurm.config import ComputeNode, InstanceFacts

Client = Callable[[str], Any]
"""Makes a boto3 client of a service, of the cluster's account and region."""

RUNNING = ("pending", "running")


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
        {"Name": "instance-state-name", "Values": RUNNING},
    ]
    pages = client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    found = [
        instance_of(each) for page in pages for reservation in page["Reservations"] for each in reservation["Instances"]
    ]
    return {instance.id: instance for instance in found}


def launch(client: Client, cluster: str, node: ComputeNode, count: int = 1) -> list[Instance]:
    """Start ``count`` instances for nodes such as ``node``, from the launch template that ParallelCluster made: all of
    them, or none.
    """
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
        MinCount=count,
        MaxCount=count,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}],
    )
    return [instance_of(each) for each in answer["Instances"]]


def instance_of(described: Mapping[str, Any]) -> Instance:
    """Read one instance of the answer of DescribeInstances or RunInstances."""
    return Instance(described["InstanceId"], described["PrivateIpAddress"], described["InstanceType"])


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


def status(client: Client, cluster: str) -> str:
    """Return the status of the compute fleet; empty when it has none yet, or the cluster is being deleted."""
    table = client("dynamodb")
    try:
        item = table.get_item(TableName=f"parallelcluster-{cluster}", Key={"Id": {"S": "COMPUTE_FLEET"}}).get("Item")
    except table.exceptions.ResourceNotFoundException:
        return ""
    return str(item["Data"]["M"]["status"]["S"]) if item else ""


def say(client: Client, cluster: str, status: str, before: str = "") -> bool:
    """Set the status of the compute fleet if it is ``before`` (empty: it has none); return whether it was."""
    data = {"status": {"S": status}, "lastStatusUpdatedTime": {"S": str(datetime.now(UTC))}}
    condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(Id)"}
    if before:
        condition = {
            "ConditionExpression": "#data.#status = :before",
            "ExpressionAttributeNames": {"#data": "Data", "#status": "status"},
            "ExpressionAttributeValues": {":before": {"S": before}},
        }
    table = client("dynamodb")
    item = {"Id": {"S": "COMPUTE_FLEET"}, "Data": {"M": data}}
    try:
        table.put_item(TableName=f"parallelcluster-{cluster}", Item=item, **condition)
    except (table.exceptions.ConditionalCheckFailedException, table.exceptions.ResourceNotFoundException):
        return False
    return True


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
