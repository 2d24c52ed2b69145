"""What a cluster stands on, made call by call: network, file systems, bucket and scripts."""

from __future__ import annotations

from typing import Any

from pcinfra import assets
from pcinfra.aws import Cloud
from pcinfra.clusters.inputs import COMPUTE_SCRIPT, HEAD_SCRIPT, ClusterInputs, inputs_from_outputs
from pcinfra.project import Project

ZONE = "us-east-1a"


def infrastructure(cloud: Cloud, project: Project) -> ClusterInputs:
    """Make everything that the prerequisites, bucket and scripts stages make, and return what clusters need."""
    vpc = _vpc(cloud)
    public, private = _subnets(cloud, vpc)
    group = _security_group(cloud, vpc)
    _bucket(cloud, project.bucket_name(cloud.account))
    outputs = {
        "PublicSubnet": public,
        "PrimaryPrivateSubnet": private,
        "SecurityGroup": group,
        "FSxLustreFilesystemId": _lustre(cloud, private, group),
        "FSxORootVolumeId": _openzfs(cloud, private, group),
    }
    return inputs_from_outputs(outputs, project, cloud.account)


def _vpc(cloud: Cloud) -> str:
    vpc: str = cloud.call("ec2", "CreateVpc", CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    cloud.call("ec2", "ModifyVpcAttribute", VpcId=vpc, EnableDnsSupport={"Value": True})
    cloud.call("ec2", "ModifyVpcAttribute", VpcId=vpc, EnableDnsHostnames={"Value": True})
    return vpc


def _subnets(cloud: Cloud, vpc: str) -> tuple[str, str]:
    """Return a public subnet and a private one behind a NAT gateway."""
    public, private = (_subnet(cloud, vpc, cidr) for cidr in ("10.0.0.0/20", "10.0.64.0/18"))
    gateway = cloud.call("ec2", "CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    cloud.call("ec2", "AttachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    _route(cloud, vpc, public, GatewayId=gateway)
    address = cloud.call("ec2", "AllocateAddress", Domain="vpc")["AllocationId"]
    nat = cloud.call("ec2", "CreateNatGateway", SubnetId=public, AllocationId=address)["NatGateway"]["NatGatewayId"]
    _route(cloud, vpc, private, NatGatewayId=nat)
    return public, private


def _subnet(cloud: Cloud, vpc: str, cidr: str) -> str:
    answer = cloud.call("ec2", "CreateSubnet", VpcId=vpc, CidrBlock=cidr, AvailabilityZone=ZONE)
    return str(answer["Subnet"]["SubnetId"])


def _route(cloud: Cloud, vpc: str, subnet: str, **to: str) -> None:
    table = cloud.call("ec2", "CreateRouteTable", VpcId=vpc)["RouteTable"]["RouteTableId"]
    cloud.call("ec2", "CreateRoute", RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **to)
    cloud.call("ec2", "AssociateRouteTable", RouteTableId=table, SubnetId=subnet)


def _security_group(cloud: Cloud, vpc: str) -> str:
    group: str = cloud.call("ec2", "CreateSecurityGroup", GroupName="efa", Description="efa", VpcId=vpc)["GroupId"]
    rule: list[dict[str, Any]] = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
    cloud.call("ec2", "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=rule)
    cloud.call("ec2", "AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=rule)
    return group


def _lustre(cloud: Cloud, subnet: str, group: str) -> str:
    answer = cloud.call(
        "fsx", "CreateFileSystem", FileSystemType="LUSTRE", StorageCapacity=1200, SubnetIds=[subnet],
        SecurityGroupIds=[group], FileSystemTypeVersion="2.15",
        LustreConfiguration={"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 250},
    )  # fmt: skip
    return str(answer["FileSystem"]["FileSystemId"])


def _openzfs(cloud: Cloud, subnet: str, group: str) -> str:
    answer = cloud.call(
        "fsx", "CreateFileSystem", FileSystemType="OPENZFS", StorageCapacity=512, SubnetIds=[subnet],
        SecurityGroupIds=[group], OpenZFSConfiguration={"DeploymentType": "SINGLE_AZ_HA_2", "ThroughputCapacity": 320},
    )  # fmt: skip
    return str(answer["FileSystem"]["OpenZFSConfiguration"]["RootVolumeId"])


def _bucket(cloud: Cloud, name: str) -> None:
    cloud.call("s3", "CreateBucket", Bucket=name)
    cloud.call("s3", "PutBucketVersioning", Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for key in (HEAD_SCRIPT, COMPUTE_SCRIPT):
        script = assets.folder("bootstrap") / key.rpartition("/")[2]
        cloud.call("s3", "PutObject", Bucket=name, Key=key, Body=script.read_bytes())
