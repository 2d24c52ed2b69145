"""The network of a file system: its subnets, security groups and network interfaces."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError

from pcinfra.localcloud.services.fsx.backend import FsxBackend
from pcinfra.localcloud.services.fsx.errors import bad_request, refused

LUSTRE_PORTS = (988, 1018, 1023)
"""Ports that the clients and the file servers reach each other at: 988 and the ends of 1018-1023.

FSx for Lustre user guide, "File system access control with Amazon VPC".
"""


def place(backend: FsxBackend, request: dict[str, Any]) -> tuple[str, list[str]]:
    """Return VPC and security groups of the new file system; raise InvalidNetworkSettings if they do not fit."""
    subnets = [_subnet(backend, wanted) for wanted in request["SubnetIds"]]
    vpc = subnets[0].vpc_id
    if any(subnet.vpc_id != vpc for subnet in subnets):
        raise _invalid("The subnets must be in the same VPC.", InvalidSubnetId=subnets[-1].id)
    if len(subnets) > 1 and subnets[0].availability_zone == subnets[1].availability_zone:
        raise _invalid("The subnets must be in different Availability Zones.", InvalidSubnetId=subnets[1].id)
    groups = [_group(backend, wanted, vpc) for wanted in request.get("SecurityGroupIds") or []]
    groups = groups or [backend.ec2.get_default_security_group(vpc)]
    if request["FileSystemType"] == "LUSTRE":
        _check_lustre_traffic(groups)
    _check_route_tables(backend, (request.get("OpenZFSConfiguration") or {}).get("RouteTableIds") or [], vpc)
    return vpc, [group.id for group in groups]


def attach(backend: FsxBackend, subnets: list[str], groups: list[str], description: str, each: int) -> list[Any]:
    """Make ``each`` network interfaces in every subnet."""
    made = []
    for subnet in subnets:
        for _ in range(each):
            interface = backend.ec2.create_network_interface(
                backend.ec2.get_subnet(subnet), None, group_ids=groups, description=description
            )
            interface.requester_managed = True
            made.append(interface)
    return made


def _subnet(backend: FsxBackend, wanted: str) -> Any:
    try:
        return backend.ec2.get_subnet(wanted)
    except EC2ClientError:
        raise _invalid(f"The subnet ID '{wanted}' does not exist.", InvalidSubnetId=wanted) from None


def _group(backend: FsxBackend, wanted: str, vpc: str) -> Any:
    group = backend.ec2.get_security_group_from_id(wanted)
    if group is None:
        raise _invalid(f"The security group '{wanted}' does not exist.", InvalidSecurityGroupId=wanted)
    if group.vpc_id != vpc:
        message = f"The security group '{wanted}' and the subnet are in different VPCs."
        raise _invalid(message, InvalidSecurityGroupId=wanted)
    return group


def _check_lustre_traffic(groups: list[Any]) -> None:
    rules = [rule for group in groups for rule in group.ingress_rules]
    for port in LUSTRE_PORTS:
        if not any(_allows(rule, port) for rule in rules):
            raise _invalid(
                "The file system cannot be created because the default security group in the subnet provided or the "
                f"provided security groups do not permit Lustre LNET network traffic on port {port}",
                InvalidSecurityGroupId=groups[0].id,
            )


def _allows(rule: Any, port: int) -> bool:
    if str(rule.ip_protocol) == "-1":
        return True
    if str(rule.ip_protocol) not in ("tcp", "6"):
        return False
    return int(rule.from_port) <= port <= int(rule.to_port)


def _check_route_tables(backend: FsxBackend, wanted: list[str], vpc: str) -> None:
    for table_id in wanted:
        table = backend.ec2.route_tables.get(table_id)
        if table is None or table.vpc_id != vpc:
            raise _invalid(f"The route table '{table_id}' is not in the VPC.", InvalidRouteTableId=table_id)


def require_one(subnets: list[str]) -> None:
    """FSx for Lustre: "specify exactly one subnet ID"."""
    if len(subnets) != 1:
        raise bad_request(f"FSx for Lustre requires exactly one subnet, not {len(subnets)}.")


def _invalid(message: str, **members: str) -> Exception:
    return refused("InvalidNetworkSettings", message, **members)
