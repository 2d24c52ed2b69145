"""What is left of a project in its account: the proof that a teardown left nothing.

It asks the services themselves, by tag and by name, and trusts no record of what was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.engine import Action, Kind, Plan
from pcinfra.errors import AccessDenied, NotFound

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors
    from pcinfra.project import Project

TAG = "pcinfra:project"


@dataclass(frozen=True, slots=True)
class Residue:
    """One thing that is still there. ``remove`` is the command that takes it away."""

    what: str
    id: str
    remove: str


Search = Callable[["Project", "Cloud"], Iterable[Residue]]


def _tagged(rows: Iterable[Mapping[str, Any]], project: Project, key: str = "Tags") -> list[Mapping[str, Any]]:
    mark = {"Key": TAG, "Value": project.project}
    return [row for row in rows if mark in row.get(key, [])]


def _stacks(project: Project, cloud: Cloud) -> Iterable[Residue]:
    for stack in _tagged(cloud.pages("cloudformation", "DescribeStacks", "Stacks"), project):
        if stack["StackStatus"] != "DELETE_COMPLETE" and not stack.get("ParentId"):
            name = stack["StackName"]
            yield Residue("stack", name, f"aws cloudformation delete-stack --stack-name {name}")


def _file_systems(project: Project, cloud: Cloud) -> Iterable[Residue]:
    for row in _tagged(cloud.pages("fsx", "DescribeFileSystems", "FileSystems"), project):
        identity = row["FileSystemId"]
        yield Residue("FSx file system", identity, f"aws fsx delete-file-system --file-system-id {identity}")


def _backups(project: Project, cloud: Cloud) -> Iterable[Residue]:
    for row in _tagged(cloud.pages("fsx", "DescribeBackups", "Backups"), project):
        identity = row["BackupId"]
        yield Residue("FSx backup", identity, f"aws fsx delete-backup --backup-id {identity}")


def _ec2(what: str, operation: str, key: str, identity: str, remove: str, states: tuple[str, ...] = ()) -> Search:
    """Return the search for one kind of EC2 resource by tag; ``states`` are those in which it is gone."""

    def search(project: Project, cloud: Cloud) -> Iterable[Residue]:
        filters = [{"Name": f"tag:{TAG}", "Values": [project.project]}]
        for row in cloud.call("ec2", operation, Filters=filters)[key]:
            if row.get("State") not in states:
                yield Residue(what, row[identity], remove.format(row[identity]))

    return search


def _instances(project: Project, cloud: Cloud) -> Iterable[Residue]:
    filters = [
        {"Name": f"tag:{TAG}", "Values": [project.project]},
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
    ]
    for reservation in cloud.pages("ec2", "DescribeInstances", "Reservations", Filters=filters):
        for row in reservation["Instances"]:
            identity = row["InstanceId"]
            yield Residue("instance", identity, f"aws ec2 terminate-instances --instance-ids {identity}")


def _repository(project: Project, cloud: Cloud) -> Iterable[Residue]:
    name = project.image.repository
    try:
        found = cloud.call("ecr", "DescribeRepositories", repositoryNames=[name])["repositories"][0]
        tags = cloud.call("ecr", "ListTagsForResource", resourceArn=found["repositoryArn"])["tags"]
    except NotFound:
        return
    if _tagged([{"Tags": tags}], project):
        yield Residue("repository", name, f"aws ecr delete-repository --force --repository-name {name}")


def _bucket(project: Project, cloud: Cloud) -> Iterable[Residue]:
    name = project.bucket_name(cloud.account)
    try:
        tags = cloud.call("s3", "GetBucketTagging", Bucket=name)["TagSet"]
    except (NotFound, AccessDenied):
        return  # there is none, it carries no tag of ours, or it is somebody else's
    if _tagged([{"Tags": tags}], project):
        yield Residue("bucket", name, "pcinfra down --delete-data")


def _log_groups(project: Project, cloud: Cloud) -> Iterable[Residue]:
    """Find the log groups of clusters and of pcluster's clean-up functions, which outlive a failed deletion."""
    for cluster in project.clusters:
        for prefix in (f"/aws/parallelcluster/{cluster}-", f"/aws/lambda/pcluster-CleanupResources-{cluster}"):
            for row in cloud.pages("logs", "DescribeLogGroups", "logGroups", logGroupNamePrefix=prefix):
                name = row["logGroupName"]
                yield Residue("log group", name, f"aws logs delete-log-group --log-group-name {name}")


SEARCHES: dict[str, Search] = {
    "stacks": _stacks,
    "file systems": _file_systems,
    "backups": _backups,
    "instances": _instances,
    "VPCs": _ec2("VPC", "DescribeVpcs", "Vpcs", "VpcId", "aws ec2 delete-vpc --vpc-id {}"),
    "NAT gateways": _ec2(
        "NAT gateway", "DescribeNatGateways", "NatGateways", "NatGatewayId",
        "aws ec2 delete-nat-gateway --nat-gateway-id {}", ("deleted", "deleting"),
    ),
    "elastic addresses": _ec2(
        "elastic address", "DescribeAddresses", "Addresses", "AllocationId",
        "aws ec2 release-address --allocation-id {}",
    ),
    "network interfaces": _ec2(
        "network interface", "DescribeNetworkInterfaces", "NetworkInterfaces", "NetworkInterfaceId",
        "aws ec2 delete-network-interface --network-interface-id {}",
    ),
    "volumes": _ec2("volume", "DescribeVolumes", "Volumes", "VolumeId", "aws ec2 delete-volume --volume-id {}"),
    "repositories": _repository,
    "buckets": _bucket,
    "log groups": _log_groups,
}  # fmt: skip


def sweeping(project: Project) -> Plan:
    """Return the Plan that looks for what is left; each Action's result is a list of :class:`Residue`."""
    return Plan(tuple(Action(f"sweep/{name}", Kind.READ, name, "", Look(name, project)) for name in SEARCHES))


@dataclass(frozen=True, slots=True)
class Look:
    """Make one search."""

    name: str
    project: Project

    def start(self, doors: Doors, results: Mapping[str, Any]) -> list[Residue]:
        return list(SEARCHES[self.name](self.project, doors.cloud))
