"""AWS::EC2 types of a network: VPC, subnets, gateways, routes."""

from __future__ import annotations

from pcinfra.localcloud.cfn.errors import ResourceFailure
from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, names
from pcinfra.localcloud.cfn.handlers.ec2tags import retag, tag

DNS_ATTRIBUTES = ("EnableDnsSupport", "EnableDnsHostnames")


def _create_vpc(context: Context, properties: Json) -> Made:
    ec2 = context.client("ec2")
    tenancy = {"InstanceTenancy": properties["InstanceTenancy"]} if "InstanceTenancy" in properties else {}
    vpc_id = ec2.create_vpc(CidrBlock=properties["CidrBlock"], **tenancy)["Vpc"]["VpcId"]
    context.begun(vpc_id)
    tag(context, vpc_id)
    _set_dns(context, vpc_id, properties)
    return Made(vpc_id, _vpc_attributes(context, vpc_id))


def _set_dns(context: Context, vpc_id: str, properties: Json) -> None:
    """Source: AWS::EC2::VPC: DNS support is on by default, DNS hostnames are off."""
    ec2 = context.client("ec2")
    values = {"EnableDnsSupport": True, "EnableDnsHostnames": False} | {
        key: properties[key] for key in DNS_ATTRIBUTES if key in properties
    }
    for key, value in values.items():
        ec2.modify_vpc_attribute(VpcId=vpc_id, **{key: {"Value": value}})


def _vpc_attributes(context: Context, vpc_id: str) -> Json:
    ec2 = context.client("ec2")
    here = [{"Name": "vpc-id", "Values": [vpc_id]}]
    vpc = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]
    groups = ec2.describe_security_groups(Filters=[*here, {"Name": "group-name", "Values": ["default"]}])
    acls = ec2.describe_network_acls(Filters=[*here, {"Name": "default", "Values": ["true"]}])["NetworkAcls"]
    return {
        "VpcId": vpc_id,
        "CidrBlock": vpc["CidrBlock"],
        "CidrBlockAssociations": [row["AssociationId"] for row in vpc.get("CidrBlockAssociationSet", [])],
        "DefaultSecurityGroup": groups["SecurityGroups"][0]["GroupId"],
        "DefaultNetworkAcl": acls[0]["NetworkAclId"] if acls else "",
        "Ipv6CidrBlocks": [],
    }


def _update_vpc(context: Context, existing: Existing, properties: Json) -> Json:
    _set_dns(context, existing.physical_id, properties)
    retag(context, existing.physical_id)
    return existing.attributes


def _delete_vpc(context: Context, existing: Existing) -> None:
    context.client("ec2").delete_vpc(VpcId=existing.physical_id)


def _create_cidr(context: Context, properties: Json) -> Made:
    """Source: AWS::EC2::VPCCidrBlock: Ref returns the association id; so does the attribute Id."""
    ec2 = context.client("ec2")
    row = ec2.associate_vpc_cidr_block(VpcId=properties["VpcId"], CidrBlock=properties["CidrBlock"])
    association = row["CidrBlockAssociation"]["AssociationId"]
    return Made(association, {"Id": association})


def _delete_cidr(context: Context, existing: Existing) -> None:
    context.client("ec2").disassociate_vpc_cidr_block(AssociationId=existing.physical_id)


def _create_subnet(context: Context, properties: Json) -> Made:
    ec2 = context.client("ec2")
    wanted = {key: properties[key] for key in ("AvailabilityZone", "AvailabilityZoneId") if key in properties}
    subnet = ec2.create_subnet(VpcId=properties["VpcId"], CidrBlock=properties["CidrBlock"], **wanted)["Subnet"]
    context.begun(subnet["SubnetId"])
    tag(context, subnet["SubnetId"])
    _set_public(context, subnet["SubnetId"], properties)
    return Made(
        subnet["SubnetId"],
        {
            "SubnetId": subnet["SubnetId"],
            "AvailabilityZone": subnet["AvailabilityZone"],
            "AvailabilityZoneId": subnet.get("AvailabilityZoneId", ""),
            "CidrBlock": subnet["CidrBlock"],
            "VpcId": subnet["VpcId"],
            "NetworkAclAssociationId": "",
            "Ipv6CidrBlocks": [],
        },
    )


def _set_public(context: Context, subnet_id: str, properties: Json) -> None:
    value = {"Value": properties.get("MapPublicIpOnLaunch", False)}
    context.client("ec2").modify_subnet_attribute(SubnetId=subnet_id, MapPublicIpOnLaunch=value)


def _update_subnet(context: Context, existing: Existing, properties: Json) -> Json:
    _set_public(context, existing.physical_id, properties)
    retag(context, existing.physical_id)
    return existing.attributes


def _delete_subnet(context: Context, existing: Existing) -> None:
    context.client("ec2").delete_subnet(SubnetId=existing.physical_id)


def _create_internet_gateway(context: Context, _properties: Json) -> Made:
    gateway = context.client("ec2").create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    context.begun(gateway)
    tag(context, gateway)
    return Made(gateway, {"InternetGatewayId": gateway})


def _retag(context: Context, existing: Existing, _properties: Json) -> Json:
    retag(context, existing.physical_id)
    return existing.attributes


def _delete_internet_gateway(context: Context, existing: Existing) -> None:
    context.client("ec2").delete_internet_gateway(InternetGatewayId=existing.physical_id)


def _attach(context: Context, properties: Json) -> Made:
    """Source: AWS::EC2::VPCGatewayAttachment: the primary identifier is AttachmentType and VpcId."""
    context.client("ec2").attach_internet_gateway(
        InternetGatewayId=properties["InternetGatewayId"], VpcId=properties["VpcId"]
    )
    return Made(f"IGW|{properties['VpcId']}", {"AttachmentType": "IGW"})


def _detach(context: Context, existing: Existing) -> None:
    ec2 = context.client("ec2")
    gateway, vpc = existing.properties["InternetGatewayId"], existing.properties["VpcId"]
    attached = ec2.describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"][0]["Attachments"]
    if any(row["VpcId"] == vpc for row in attached):
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)


def _create_route_table(context: Context, properties: Json) -> Made:
    table = context.client("ec2").create_route_table(VpcId=properties["VpcId"])["RouteTable"]["RouteTableId"]
    context.begun(table)
    tag(context, table)
    return Made(table, {"RouteTableId": table})


def _delete_route_table(context: Context, existing: Existing) -> None:
    context.client("ec2").delete_route_table(RouteTableId=existing.physical_id)


DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
TARGETS = (
    "GatewayId",
    "NatGatewayId",
    "NetworkInterfaceId",
    "InstanceId",
    "VpcPeeringConnectionId",
    "TransitGatewayId",
)


def _create_route(context: Context, properties: Json) -> Made:
    """Source: CreateRoute: an internet gateway must be attached to the route table's VPC."""
    _check_gateway(context, properties)
    destination = _destination(properties)
    target = {key: properties[key] for key in TARGETS if key in properties}
    context.client("ec2").create_route(RouteTableId=properties["RouteTableId"], **destination, **target)
    block = next(iter(destination.values()))
    return Made(f"{properties['RouteTableId']}|{block}", {"CidrBlock": block})


def _destination(properties: Json) -> Json:
    return {key: properties[key] for key in DESTINATIONS if key in properties}


def _check_gateway(context: Context, properties: Json) -> None:
    gateway = properties.get("GatewayId", "")
    if not gateway.startswith("igw-"):
        return
    ec2 = context.client("ec2")
    table = ec2.describe_route_tables(RouteTableIds=[properties["RouteTableId"]])["RouteTables"][0]
    attached = ec2.describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"][0]["Attachments"]
    if table["VpcId"] not in [row["VpcId"] for row in attached]:
        raise ResourceFailure(
            f"route table {properties['RouteTableId']} and network gateway {gateway} belong to different networks"
        )


def _update_route(context: Context, existing: Existing, properties: Json) -> Json:
    target = {key: properties[key] for key in TARGETS if key in properties}
    context.client("ec2").replace_route(RouteTableId=properties["RouteTableId"], **_destination(properties), **target)
    return existing.attributes


def _delete_route(context: Context, existing: Existing) -> None:
    context.client("ec2").delete_route(
        RouteTableId=existing.properties["RouteTableId"], **_destination(existing.properties)
    )


def _associate(context: Context, properties: Json) -> Made:
    row = context.client("ec2").associate_route_table(
        RouteTableId=properties["RouteTableId"], SubnetId=properties["SubnetId"]
    )
    return Made(row["AssociationId"], {"Id": row["AssociationId"]})


def _disassociate(context: Context, existing: Existing) -> None:
    context.client("ec2").disassociate_route_table(AssociationId=existing.physical_id)


HANDLERS = (
    Handler(
        "AWS::EC2::VPC",
        names("CidrBlock EnableDnsSupport EnableDnsHostnames InstanceTenancy Tags"),
        _create_vpc,
        _delete_vpc,
        _update_vpc,
    ),
    Handler("AWS::EC2::VPCCidrBlock", names("VpcId CidrBlock"), _create_cidr, _delete_cidr),
    Handler(
        "AWS::EC2::Subnet",
        names("VpcId CidrBlock AvailabilityZone AvailabilityZoneId MapPublicIpOnLaunch Tags"),
        _create_subnet,
        _delete_subnet,
        _update_subnet,
    ),
    Handler("AWS::EC2::InternetGateway", names("Tags"), _create_internet_gateway, _delete_internet_gateway, _retag),
    Handler("AWS::EC2::VPCGatewayAttachment", names("VpcId InternetGatewayId"), _attach, _detach),
    Handler("AWS::EC2::RouteTable", names("VpcId Tags"), _create_route_table, _delete_route_table, _retag),
    Handler(
        "AWS::EC2::Route",
        frozenset({"RouteTableId", *DESTINATIONS, *TARGETS}),
        _create_route,
        _delete_route,
        _update_route,
    ),
    Handler("AWS::EC2::SubnetRouteTableAssociation", names("RouteTableId SubnetId"), _associate, _disassociate),
)
