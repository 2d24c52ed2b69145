"""What is left of a project in its account: the proof that a teardown left nothing.

It asks the services themselves, by tag and by name, and trusts no record of what was made. Each kind of thing is one
entry of SEARCHES: how it is found, how it is removed, and whether there may be data in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.engine import Action, Kind, Plan
from pcinfra.errors import AccessDenied, CloudError, NotFound
from pcinfra.images import codebuild

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors
    from pcinfra.project import Project

TAG = "pcinfra:project"


@dataclass(frozen=True, slots=True)
class Residue:
    """One thing that is still there.

    Args:
        remove: the command that takes it away.
        call: service, operation and the parameter that names it, which do the same; empty: only a person should.
        data: whether there may be data in it.
        price: the item of the price book that it costs; empty when it depends on its size.
    """

    what: str
    id: str
    remove: str
    call: tuple[str, str, str] | tuple[()] = ()
    data: bool = False
    price: str = ""


Search = Callable[["Project", "Cloud"], Iterable[Residue]]


def _tagged(rows: Iterable[Mapping[str, Any]], project: Project, key: str = "Tags") -> list[Mapping[str, Any]]:
    mark = {"Key": TAG, "Value": project.project}
    return [row for row in rows if mark in row.get(key, [])]


def _stacks(project: Project, cloud: Cloud) -> Iterable[Residue]:
    for stack in _tagged(cloud.pages("cloudformation", "DescribeStacks", "Stacks"), project):
        if stack["StackStatus"] != "DELETE_COMPLETE" and not stack.get("ParentId"):
            name = stack["StackName"]
            yield Residue("stack", name, f"aws cloudformation delete-stack --stack-name {name}", data=True)


def _file_systems(project: Project, cloud: Cloud) -> Iterable[Residue]:
    for row in _tagged(cloud.pages("fsx", "DescribeFileSystems", "FileSystems"), project):
        if row["Lifecycle"] != "DELETING":
            identity = row["FileSystemId"]
            yield Residue(
                "FSx file system", identity, f"aws fsx delete-file-system --file-system-id {identity}",
                ("fsx", "DeleteFileSystem", "FileSystemId"), data=True,
            )  # fmt: skip


def _backups(project: Project, cloud: Cloud) -> Iterable[Residue]:
    for row in _tagged(cloud.pages("fsx", "DescribeBackups", "Backups"), project):
        identity = row["BackupId"]
        yield Residue(
            BACKUP, identity, f"aws fsx delete-backup --backup-id {identity}", ("fsx", "DeleteBackup", "BackupId"),
            data=True, price="openzfs-backup",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ec2Search:
    """The search for one kind of EC2 resource by tag; ``states`` are those in which it is gone."""

    what: str
    operation: str
    key: str
    identity: str
    delete: str
    states: tuple[str, ...] = ()
    data: bool = False
    price: str = ""

    def __call__(self, project: Project, cloud: Cloud) -> Iterable[Residue]:
        filters = [{"Name": f"tag:{TAG}", "Values": [project.project]}]
        for row in cloud.pages("ec2", self.operation, self.key, Filters=filters):
            if row.get("State") not in self.states:
                identity = row[self.identity]
                command = f"aws ec2 {_dashed(self.delete)} --{_dashed(self.identity)} {identity}"
                call = ("ec2", self.delete, self.identity)
                yield Residue(self.what, identity, command, call, self.data, self.price)


def _dashed(name: str) -> str:
    """Return an operation or parameter of an API in the words of the AWS CLI."""
    return re.sub("(?<!^)(?=[A-Z])", "-", name).lower()


def _instances(project: Project, cloud: Cloud) -> Iterable[Residue]:
    filters = [
        {"Name": f"tag:{TAG}", "Values": [project.project]},
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
    ]
    for reservation in cloud.pages("ec2", "DescribeInstances", "Reservations", Filters=filters):
        for row in reservation["Instances"]:
            identity = row["InstanceId"]
            yield Residue(
                "instance", identity, f"aws ec2 terminate-instances --instance-ids {identity}",
                ("ec2", "TerminateInstances", "InstanceIds"), price=f"ec2/{row['InstanceType']}",
            )  # fmt: skip


def _repositories(project: Project, cloud: Cloud) -> Iterable[Residue]:
    """Find the repositories of the images; of an image that was taken out of the project file, nobody knows."""
    for name in (image.repository for image in project.images.values()):
        try:
            found = cloud.call("ecr", "DescribeRepositories", repositoryNames=[name])["repositories"][0]
            tags = cloud.call("ecr", "ListTagsForResource", resourceArn=found["repositoryArn"])["tags"]
        except NotFound:
            continue
        if _tagged([{"Tags": tags}], project):
            yield Residue("repository", name, "pcinfra down --with-data", data=True, price="ecr")


def _bucket(project: Project, cloud: Cloud) -> Iterable[Residue]:
    name = project.bucket_name(cloud.account)
    try:
        tags = cloud.call("s3", "GetBucketTagging", Bucket=name)["TagSet"]
    except (NotFound, AccessDenied):
        return  # there is none, it carries no tag of ours, or it is somebody else's
    if _tagged([{"Tags": tags}], project):
        yield Residue("bucket", name, "pcinfra down --with-data", data=True, price="s3")


def _log_groups(project: Project, cloud: Cloud) -> Iterable[Residue]:
    """Find the log groups of clusters, by name, and those of pcluster's functions, which outlive a failed deletion.

    pcluster 3.16.1: ``/aws/parallelcluster/NAME-TIMESTAMP``; ``/aws/lambda/pcluster-FUNCTION-ID`` with an id of the
    stack, so that only their tags say whose they are.
    """
    for cluster in project.clusters:
        prefix = f"/aws/parallelcluster/{cluster}-"
        for row in cloud.pages("logs", "DescribeLogGroups", "logGroups", logGroupNamePrefix=prefix):
            yield _log_group(row["logGroupName"])
    for function in FUNCTIONS:
        prefix = f"/aws/lambda/pcluster-{function}-"
        for row in cloud.pages("logs", "DescribeLogGroups", "logGroups", logGroupNamePrefix=prefix):
            tags = cloud.call("logs", "ListTagsForResource", resourceArn=row["arn"].removesuffix(":*"))["tags"]
            if tags.get(TAG) == project.project:
                yield _log_group(row["logGroupName"])


def _builders(project: Project, cloud: Cloud) -> Iterable[Residue]:
    for what, name, remove, call in codebuild.left(project.project, cloud):
        yield Residue(what, name, remove, call)


def _log_group(name: str) -> Residue:
    remove = f"aws logs delete-log-group --log-group-name {name}"
    return Residue("log group", name, remove, ("logs", "DeleteLogGroup", "logGroupName"))


def _secrets(project: Project, cloud: Cloud) -> Iterable[Residue]:
    filters = [{"Key": "tag-key", "Values": [TAG]}]
    for row in _tagged(cloud.pages("secretsmanager", "ListSecrets", "SecretList", Filters=filters), project):
        name = row["Name"]
        yield Residue("secret", name, f"aws secretsmanager delete-secret --secret-id {name}", data=True)


def _snapshots(project: Project, cloud: Cloud) -> Iterable[Residue]:
    """Find the last snapshots of accounting databases; a stack lets them have the database's tags."""
    rows = cloud.pages("rds", "DescribeDBClusterSnapshots", "DBClusterSnapshots", SnapshotType="manual")
    for row in _tagged(rows, project, "TagList"):
        name = row["DBClusterSnapshotIdentifier"]
        remove = f"aws rds delete-db-cluster-snapshot --db-cluster-snapshot-identifier {name}"
        yield Residue(SNAPSHOT, name, remove, data=True)


BACKUP = "FSx backup"
SNAPSHOT = "database snapshot"
FUNCTIONS = ("CleanupResources", "CleanupRoute53")

SEARCHES: dict[str, Search] = {
    "stacks": _stacks,
    "file systems": _file_systems,
    "backups": _backups,
    "database snapshots": _snapshots,
    "instances": _instances,
    "launch templates": Ec2Search(
        "launch template", "DescribeLaunchTemplates", "LaunchTemplates", "LaunchTemplateId", "DeleteLaunchTemplate"
    ),
    "VPCs": Ec2Search("VPC", "DescribeVpcs", "Vpcs", "VpcId", "DeleteVpc"),
    "NAT gateways": Ec2Search(
        "NAT gateway", "DescribeNatGateways", "NatGateways", "NatGatewayId", "DeleteNatGateway",
        ("deleted", "deleting"), price="nat-gateway",
    ),
    "elastic addresses": Ec2Search(
        "elastic address", "DescribeAddresses", "Addresses", "AllocationId", "ReleaseAddress", price="public-ipv4"
    ),
    "network interfaces": Ec2Search(
        "network interface", "DescribeNetworkInterfaces", "NetworkInterfaces", "NetworkInterfaceId",
        "DeleteNetworkInterface",
    ),
    "volumes": Ec2Search(
        "volume", "DescribeVolumes", "Volumes", "VolumeId", "DeleteVolume", data=True, price="ebs/gp3"
    ),
    "repositories": _repositories,
    "builders": _builders,
    "buckets": _bucket,
    "log groups": _log_groups,
    "secrets": _secrets,
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


def expected(row: Residue, project: Project, kept: Iterable[str]) -> bool:
    """Return whether ``row`` is left on purpose; ``kept`` are the things that a teardown kept, in words."""
    if row.what == BACKUP:
        return project.prerequisites.openzfs.final_backup
    if row.what == SNAPSHOT:
        return True  # whoever wants the history no more deletes it
    return f"{row.what} {row.id}" in set(kept)


def removing(rows: Iterable[Residue], with_data: bool = False) -> Plan:
    """Return the Plan that removes ``rows``, VPCs last; what may hold data only ``with_data``.

    An Action's result is why the thing could not be removed, and empty when it was.
    """
    chosen = [row for row in rows if row.call and (with_data or not row.data)]
    ids = {row: f"sweep/remove/{number}" for number, row in enumerate(chosen)}
    before = frozenset(action_id for row, action_id in ids.items() if row.what != "VPC")
    return Plan(
        tuple(
            Action(
                ids[row], Kind.DELETE, f"{row.what} {row.id}", "is left over", Remove(row),
                before if row.what == "VPC" else frozenset(),
            )
            for row in chosen
        )
    )  # fmt: skip


_LISTS = ("InstanceIds",)


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove one thing. The result is why that did not go, or empty."""

    row: Residue

    def start(self, doors: Doors, results: Mapping[str, Any]) -> str:
        service, operation, parameter = self.row.call or ("", "", "")
        value: Any = [self.row.id] if parameter in _LISTS else self.row.id
        try:
            doors.cloud.call(service, operation, **{parameter: value})
        except NotFound:
            return ""
        except CloudError as error:
            return error.why
        return ""
