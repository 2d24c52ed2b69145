"""Clusters as they are: found by tags, in one paginated call.

pcluster 3.16.1, ``models/cluster.py`` and ``models/cluster_resources.py``: a cluster is a stack of the same name, with
the tag ``parallelcluster:cluster-name``; its configuration is in S3, named by the stack's parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from pcinfra import cloudformation
from pcinfra.cloudformation import Stack
from pcinfra.engine import Change
from pcinfra.errors import NotFound

if TYPE_CHECKING:
    from pcinfra.aws import Cloud

NAME_TAG = "parallelcluster:cluster-name"
NODE_TYPE_TAG = "parallelcluster:node-type"
PROJECT_TAG = "pcinfra:project"


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What is known of one name: its stack (None: there is none), and the configuration it was made from."""

    name: str
    stack: Stack | None = None
    config: str = ""

    def belongs_to(self, project: str) -> bool:
        """Return whether the stack is a cluster that ``project`` made."""
        return self.stack is not None and is_cluster(self.stack) and self.stack.tags.get(PROJECT_TAG) == project


def is_cluster(stack: Stack) -> bool:
    return stack.tags.get(NAME_TAG) == stack.name


def find_all(cloud: Cloud, project: str) -> tuple[Stack, ...]:
    """Return the stacks of every cluster of ``project``, in whatever state, by name."""
    answers = cloud.pages("cloudformation", "DescribeStacks", "Stacks")
    stacks = (cloudformation.parse(answer) for answer in answers)
    ours = (stack for stack in stacks if ClusterFacts(stack.name, stack).belongs_to(project))
    return tuple(sorted(ours, key=lambda stack: stack.name))


def find(cloud: Cloud, name: str, *, with_config: bool = False) -> ClusterFacts:
    """Return what is known of the cluster ``name``: one call, and one more with its configuration."""
    stack = cloudformation.find(cloud, name)
    if stack is None or stack.status == "DELETE_COMPLETE":
        return ClusterFacts(name)
    return ClusterFacts(name, stack, stored_config(cloud, stack) if with_config else "")


def stored_config(cloud: Cloud, stack: Stack) -> str:
    """Return the configuration that a cluster was made from, as it was written; empty when it is lost."""
    parameters = stack.parameters
    bucket, folder = parameters.get("ResourcesS3Bucket"), parameters.get("ArtifactS3RootDirectory")
    if not bucket or not folder:
        return ""
    version = {"VersionId": parameters["ConfigVersion"]} if parameters.get("ConfigVersion") else {}
    try:
        answer = cloud.call("s3", "GetObject", Bucket=bucket, Key=f"{folder}/configs/cluster-config.yaml", **version)
    except NotFound:
        return ""
    return str(answer["Body"].read().decode("utf-8"))


def differences(before: str, after: str) -> tuple[Change, ...]:
    """Return where two configurations say different things; comments and order of keys say nothing."""
    old, new = _leaves(yaml.safe_load(before)), _leaves(yaml.safe_load(after))
    keys = [*old, *(key for key in new if key not in old)]
    return tuple(Change(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key))


def _leaves(node: Any, path: str = "") -> dict[str, str]:
    if isinstance(node, dict):
        below = [(f"{path}.{key}" if path else str(key), value) for key, value in node.items()]
    elif isinstance(node, list):
        below = [(f"{path}[{index}]", value) for index, value in enumerate(node)]
    else:
        return {path: str(node)}
    return {key: text for inner, value in below for key, text in _leaves(value, inner).items()}


def instances(cloud: Cloud, names: list[str], node_type: str) -> list[dict[str, Any]]:
    """Return the running instances of some clusters; ``node_type`` is HeadNode, Compute or LoginNode."""
    filters = [
        {"Name": f"tag:{NAME_TAG}", "Values": names},
        {"Name": f"tag:{NODE_TYPE_TAG}", "Values": [node_type]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    reservations = cloud.pages("ec2", "DescribeInstances", "Reservations", Filters=filters)
    return [instance for reservation in reservations for instance in reservation["Instances"]]


def has_login_pools(facts: ClusterFacts) -> bool:
    """Return whether the cluster's configuration has login nodes, be it none at the moment."""
    return "LoginNodes" in (yaml.safe_load(facts.config) or {})


def any_instance(cloud: Cloud, name: str, node_type: str) -> str:
    """Return the id of an instance of the cluster, whether it runs or not; empty when EC2 knows none."""
    filters = [
        {"Name": f"tag:{NAME_TAG}", "Values": [name]},
        {"Name": f"tag:{NODE_TYPE_TAG}", "Values": [node_type]},
    ]
    reservations = cloud.pages("ec2", "DescribeInstances", "Reservations", Filters=filters)
    found = [instance for reservation in reservations for instance in reservation["Instances"]]
    found.sort(key=lambda instance: (instance["State"]["Name"] == "running", str(instance.get("LaunchTime", ""))))
    return str(found[-1]["InstanceId"]) if found else ""


def instance_of_node(cloud: Cloud, name: str, node: str) -> str:
    """Return the instance behind a node of Slurm; empty when none is.

    aws-parallelcluster-node, ``slurm_plugin/instance_manager.py``: the head node keeps them in a table.
    """
    try:
        answer = cloud.call("dynamodb", "GetItem", TableName=f"parallelcluster-slurm-{name}", Key={"Id": {"S": node}})
    except NotFound:
        return ""
    return str(answer.get("Item", {}).get("InstanceId", {}).get("S", ""))
