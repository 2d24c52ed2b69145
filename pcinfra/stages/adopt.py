"""What exists already and is used instead of being made (``prerequisites.adopt``): read, and checked.

Nothing here is ever changed or deleted: the stack knows these things as parameters, not as resources.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from pcinfra.errors import CloudError, Refused
from pcinfra.project import sizes
from pcinfra.stacks import limits

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.project import Project

PARAMETERS = {
    "vpc": "ExistingVpc",
    "public_subnet": "ExistingPublicSubnet",
    "private_subnet": "ExistingPrivateSubnet",
    "security_group": "ExistingSecurityGroup",
    "lustre": "ExistingLustre",
    "openzfs_volume": "ExistingOpenZFSVolume",
}
"""Settings of ``adopt``, and the parameter of the stack that each becomes."""

MOUNT_NAME = "ExistingLustreMountName"


@dataclass(frozen=True, slots=True)
class Adopted:
    """The zone of the private subnet and Lustre's mount name; what stands in the way, one error for each thing."""

    zone: str = ""
    mount_name: str = ""
    problems: tuple[Refused, ...] = ()


def read(project: Project, cloud: Cloud, standing: Mapping[str, str]) -> Adopted:
    """Return what the account says of the things to adopt.

    Args:
        standing: parameters of the stack that there is; what it has adopted already is not asked for again.
    """
    ids = project.prerequisites.adopt.model_dump(exclude_none=True)
    if not ids:
        return Adopted()
    if all(standing.get(PARAMETERS[name], "") == ids.get(name, "") for name in PARAMETERS):
        return Adopted(standing.get("PrimarySubnetAZ", ""), standing.get(MOUNT_NAME, ""))
    found = _Found.read(ids, cloud)
    problems = tuple(_refused(*words) for words in _problems(project, found))
    return Adopted(found.zone, str((found.lustre.get("LustreConfiguration") or {}).get("MountName", "")), problems)


def _refused(name: str, why: str, hint: str) -> Refused:
    return Refused(why, where=f"prerequisites.adopt.{name}", hint=hint)


@dataclass(frozen=True, slots=True)
class _Found:
    """EC2's and FSx's descriptions; empty for what does not exist."""

    ids: Mapping[str, str]
    subnets: Mapping[str, Mapping[str, Any]]
    tables: tuple[Mapping[str, Any], ...]
    dns: bool
    group: Mapping[str, Any]
    lustre: Mapping[str, Any]
    volume: Mapping[str, Any]
    openzfs: Mapping[str, Any]

    @classmethod
    def read(cls, ids: Mapping[str, str], cloud: Cloud) -> _Found:
        in_vpc = [{"Name": "vpc-id", "Values": [ids["vpc"]]}]
        volume = _first(cloud, "DescribeVolumes", "Volumes", VolumeIds=[ids.get("openzfs_volume", "")])
        group = [{"Name": "group-id", "Values": [ids.get("security_group", "")]}]
        groups = cloud.pages("ec2", "DescribeSecurityGroups", "SecurityGroups", Filters=group)
        subnets = cloud.pages("ec2", "DescribeSubnets", "Subnets", Filters=in_vpc)
        return cls(
            ids,
            {row["SubnetId"]: row for row in subnets},
            tuple(cloud.pages("ec2", "DescribeRouteTables", "RouteTables", Filters=in_vpc)),
            bool(subnets) and _resolves(cloud, ids["vpc"]),
            groups[0] if groups else {},
            _system(cloud, ids.get("lustre", "")),
            volume,
            _system(cloud, str(volume.get("FileSystemId", ""))),
        )

    @property
    def private(self) -> Mapping[str, Any]:
        return self.subnets.get(self.ids["private_subnet"], {})

    @property
    def zone(self) -> str:
        return str(self.private.get("AvailabilityZone", ""))

    def way_out(self, subnet: str) -> str:
        """Return the target of the subnet's route to the internet; empty when it has none."""
        tables = [table for table in self.tables if _is_for(table, "SubnetId", subnet)]
        tables = tables or [table for table in self.tables if _is_for(table, "Main", True)]
        routes = [route for table in tables for route in table["Routes"] if route.get("State") != "blackhole"]
        out = [route for route in routes if route.get("DestinationCidrBlock") == "0.0.0.0/0"]
        targets = ("GatewayId", "NatGatewayId", "TransitGatewayId", "NetworkInterfaceId", "VpcPeeringConnectionId")
        return next((str(route[key]) for route in out for key in targets if route.get(key)), "")


def _is_for(table: Mapping[str, Any], key: str, value: object) -> bool:
    return any(row.get(key) == value for row in table.get("Associations", []))


def _resolves(cloud: Cloud, vpc: str) -> bool:
    support, names = (
        cloud.call("ec2", "DescribeVpcAttribute", VpcId=vpc, Attribute=f"enableDns{what}")[f"EnableDns{what}"]["Value"]
        for what in ("Support", "Hostnames")
    )
    return bool(support and names)


def _system(cloud: Cloud, wanted: str) -> Mapping[str, Any]:
    return _first(cloud, "DescribeFileSystems", "FileSystems", FileSystemIds=[wanted])


def _first(cloud: Cloud, operation: str, key: str, **ids: list[str]) -> Mapping[str, Any]:
    """Return FSx's description of one thing; empty when it does not exist, or nothing is asked for."""
    if not all(name for names in ids.values() for name in names):
        return {}
    try:
        found: Mapping[str, Any] = cloud.call("fsx", operation, **ids)[key][0]
    except CloudError as error:
        if error.code not in ("FileSystemNotFound", "VolumeNotFound"):
            raise
        return {}
    return found


# --- what must hold ----------------------------------------------------------------------------------------------

Words = tuple[str, str, str]


def _problems(project: Project, found: _Found) -> Iterator[Words]:
    region = project.region
    if not found.subnets:
        yield "vpc", f"{found.ids['vpc']} does not exist in {region}, or has no subnet", f"{_AWS} describe-vpcs"
        return
    yield from _subnets(project, found)
    if not found.dns:
        why = f"{found.ids['vpc']} resolves no names, and file systems are mounted by name"
        yield "vpc", why, "switch on its DNS resolution and DNS hostnames (modify-vpc-attribute)"
    if "security_group" in found.ids:
        yield from _group(found)
    if "lustre" in found.ids:
        yield from _lustre(project, found)
    if "openzfs_volume" in found.ids:
        yield from _openzfs(found)


_AWS = "see what there is: aws ec2"


def _subnets(project: Project, found: _Found) -> Iterator[Words]:
    """Nodes reach AWS through a NAT or transit gateway: with several network cards they have no public address.

    Source: ParallelCluster, "Network configurations", EC2 user guide, "Elastic network interfaces" (public addresses).
    """
    for name in ("public_subnet", "private_subnet"):
        if found.ids[name] not in found.subnets:
            yield name, f"{found.ids[name]} is not in {found.ids['vpc']}", f"{_AWS} describe-subnets"
    if not found.private:
        return
    named = project.availability_zone
    if named not in ("auto", found.zone):
        why = f"{found.ids['private_subnet']} is in {found.zone}, and availability_zone is {named}"
        yield "private_subnet", why, f"availability_zone: {found.zone}"
    room, needed = sizes.usable(IPv4Network(found.private["CidrBlock"]).prefixlen), sizes.addresses(project)
    if room < needed:
        why = f"{found.ids['private_subnet']} has {room} addresses, and nodes and file systems take up to {needed}"
        yield "private_subnet", why, "a larger subnet, or fewer nodes (max_nodes)"
    out = found.way_out(found.ids["private_subnet"])
    if not out or out.startswith("igw-"):
        way = f"only {out}, which needs public addresses" if out else "no route to 0.0.0.0/0"
        why = f"{found.ids['private_subnet']} has {way}, so nodes reach neither AWS nor packages"
        yield "private_subnet", why, "a route to 0.0.0.0/0 through a NAT gateway"
    if found.ids["public_subnet"] in found.subnets and not found.way_out(found.ids["public_subnet"]).startswith("igw-"):
        why = f"{found.ids['public_subnet']} has no route to an internet gateway"
        yield "public_subnet", why, "a route to 0.0.0.0/0 through the internet gateway of the VPC"


def _group(found: _Found) -> Iterator[Words]:
    """EFA needs everything from and to the group itself. Source: ParallelCluster, EfaSecurityGroupValidator."""
    wanted, vpc = found.ids["security_group"], found.ids["vpc"]
    if not found.group:
        yield "security_group", f"{wanted} does not exist", f"{_AWS} describe-security-groups"
        return
    if found.group["VpcId"] != vpc:
        yield "security_group", f"{wanted} is of {found.group['VpcId']}, not of {vpc}", f"a group of {vpc}"
    for key, words, command in (
        ("IpPermissions", "from", "authorize-security-group-ingress"),
        ("IpPermissionsEgress", "to", "authorize-security-group-egress"),
    ):
        if not any(_itself(rule, wanted) for rule in found.group.get(key, [])):
            rule = f"--group-id {wanted} --ip-permissions IpProtocol=-1,UserIdGroupPairs=[{{GroupId={wanted}}}]"
            why = f"{wanted} does not allow everything {words} itself, which EFA needs"
            yield "security_group", why, f"aws ec2 {command} {rule}"


def _itself(rule: Mapping[str, Any], group: str) -> bool:
    pairs = rule.get("UserIdGroupPairs", [])
    return str(rule.get("IpProtocol")) == "-1" and any(pair.get("GroupId") == group for pair in pairs)


def _lustre(project: Project, found: _Found) -> Iterator[Words]:
    wanted, system = found.ids["lustre"], found.lustre
    if system.get("FileSystemType") != "LUSTRE":
        yield "lustre", f"{wanted} is no Lustre file system in {project.region}", _SYSTEMS
        return
    if system["VpcId"] != found.ids["vpc"]:
        yield "lustre", f"{wanted} is in {system['VpcId']}, not in {found.ids['vpc']}", f"vpc: {system['VpcId']}"
    else:
        zones = {str(found.subnets[subnet]["AvailabilityZone"]) for subnet in system["SubnetIds"]}
        if found.zone not in zones:
            why = f"{wanted} is in {', '.join(sorted(zones))}, and the nodes are in {found.zone}"
            yield "lustre", why, f"a private_subnet in {', '.join(sorted(zones))}"
    if system["Lifecycle"] not in ("AVAILABLE", "UPDATING"):
        yield "lustre", f"{wanted} is {system['Lifecycle']}", _SYSTEMS
    configured, version = system["LustreConfiguration"], str(system.get("FileSystemTypeVersion", "2.10"))
    why_not = limits.lustre_association_problem(configured["DeploymentType"], version)
    if project.associations and why_not:
        yield "lustre", f"{wanted}: {why_not}", "associations: {}, or another file system"


_SYSTEMS = "see what there is: aws fsx describe-file-systems"


def _openzfs(found: _Found) -> Iterator[Words]:
    wanted, vpc = found.ids["openzfs_volume"], found.openzfs.get("VpcId", "")
    if found.volume.get("VolumeType") != "OPENZFS":
        yield "openzfs_volume", f"{wanted} is no OpenZFS volume", "see what there is: aws fsx describe-volumes"
    elif vpc != found.ids["vpc"]:
        yield "openzfs_volume", f"{wanted} is in {vpc}, not in {found.ids['vpc']}", f"vpc: {vpc}"
