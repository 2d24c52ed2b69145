"""AWS::EC2 types around a network: addresses, NAT gateways, endpoints, flow logs."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from pcinfra.localcloud.cfn.handlers.base import (
    Context,
    Existing,
    Handler,
    Json,
    Made,
    error_code,
    handler_failure,
    is_gone,
    names,
)
from pcinfra.localcloud.cfn.handlers.ec2tags import retag, tag


def _allocate(context: Context, properties: Json) -> Made:
    """Source: AWS::EC2::EIP: Ref returns the address; AllocationId and PublicIp are attributes."""
    row = context.client("ec2").allocate_address(Domain=properties.get("Domain", "vpc"))
    context.begun(row["PublicIp"])
    tag(context, row["AllocationId"])
    return Made(row["PublicIp"], {"AllocationId": row["AllocationId"], "PublicIp": row["PublicIp"]})


def _retag_address(context: Context, existing: Existing, _properties: Json) -> Json:
    retag(context, existing.attributes["AllocationId"])
    return existing.attributes


def _release(context: Context, existing: Existing) -> None:
    ec2 = context.client("ec2")
    rows = ec2.describe_addresses(PublicIps=[existing.physical_id])["Addresses"]
    if rows:
        if rows[0].get("AssociationId"):
            ec2.disassociate_address(AssociationId=rows[0]["AssociationId"])
        ec2.release_address(AllocationId=rows[0]["AllocationId"])


def _associate_address(context: Context, properties: Json) -> Made:
    """Source: AWS::EC2::EIPAssociation: Ref returns the id of the association."""
    given = {k: properties[k] for k in ("AllocationId", "NetworkInterfaceId", "InstanceId", "PrivateIpAddress")
             if k in properties}  # fmt: skip
    association = context.client("ec2").associate_address(**given)["AssociationId"]
    context.begun(association)
    return Made(association, {"Id": association})


def _disassociate_address(context: Context, existing: Existing) -> None:
    context.client("ec2").disassociate_address(AssociationId=existing.physical_id)


def _create_nat(context: Context, properties: Json) -> Made:
    ec2 = context.client("ec2")
    wanted = {key: properties[key] for key in ("AllocationId", "ConnectivityType") if key in properties}
    gateway = ec2.create_nat_gateway(SubnetId=properties["SubnetId"], **wanted)["NatGateway"]["NatGatewayId"]
    context.begun(gateway)
    tag(context, gateway)
    context.poll(lambda: _nat_ready(context, gateway))
    row = ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"][0]
    enis = [address.get("NetworkInterfaceId", "") for address in row.get("NatGatewayAddresses", [])]
    return Made(gateway, {"NatGatewayId": gateway, "EniId": enis[0] if enis else ""})


def _nat_ready(context: Context, gateway: str) -> bool:
    row = context.client("ec2").describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"][0]
    if row["State"] == "failed":
        raise handler_failure(row.get("FailureMessage", "NAT gateway failed"))
    return bool(row["State"] == "available")


def _retag(context: Context, existing: Existing, _properties: Json) -> Json:
    retag(context, existing.physical_id)
    return existing.attributes


def _delete_nat(context: Context, existing: Existing) -> None:
    """Delete the gateway, then what moto leaves of it: its network interface and the address association."""
    ec2 = context.client("ec2")
    rows = ec2.describe_nat_gateways(NatGatewayIds=[existing.physical_id])["NatGateways"]
    if not rows or rows[0]["State"] == "deleted":
        return
    ec2.delete_nat_gateway(NatGatewayId=existing.physical_id)
    for address in rows[0].get("NatGatewayAddresses", []):
        _drop_leftovers(context, address)


def _drop_leftovers(context: Context, address: Json) -> None:
    ec2 = context.client("ec2")
    for call, key in (
        (ec2.disassociate_address, "AssociationId"),
        (ec2.delete_network_interface, "NetworkInterfaceId"),
    ):
        try:
            if address.get(key):
                call(**{key: address[key]})
        except ClientError as error:
            if not is_gone(error) and "InvalidParameter" not in error_code(error):
                raise


ENDPOINT_KEYS = (
    "VpcId",
    "ServiceName",
    "VpcEndpointType",
    "RouteTableIds",
    "SubnetIds",
    "SecurityGroupIds",
    "PrivateDnsEnabled",
)


def _create_endpoint(context: Context, properties: Json) -> Made:
    """Source: AWS::EC2::VPCEndpoint, VpcEndpointType: the default is Gateway."""
    ec2 = context.client("ec2")
    wanted = {"VpcEndpointType": "Gateway"} | {key: properties[key] for key in ENDPOINT_KEYS if key in properties}
    if "PolicyDocument" in properties:
        wanted["PolicyDocument"] = _policy(properties)
    row = ec2.create_vpc_endpoint(**wanted)["VpcEndpoint"]
    context.begun(row["VpcEndpointId"])
    tag(context, row["VpcEndpointId"])
    return Made(
        row["VpcEndpointId"],
        {
            "Id": row["VpcEndpointId"],
            "CreationTimestamp": str(row.get("CreationTimestamp", "")),
            "NetworkInterfaceIds": row.get("NetworkInterfaceIds", []),
            "DnsEntries": [f"{d.get('HostedZoneId', '')}:{d['DnsName']}" for d in row.get("DnsEntries", [])],
        },
    )


def _policy(properties: Json) -> str:
    document = properties["PolicyDocument"]
    return document if isinstance(document, str) else json.dumps(document)


def _update_endpoint(context: Context, existing: Existing, properties: Json) -> Json:
    change: Json = {}
    for key, add, remove in (
        ("RouteTableIds", "AddRouteTableIds", "RemoveRouteTableIds"),
        ("SubnetIds", "AddSubnetIds", "RemoveSubnetIds"),
        ("SecurityGroupIds", "AddSecurityGroupIds", "RemoveSecurityGroupIds"),
    ):
        new, old = properties.get(key, []), existing.properties.get(key, [])
        change |= {add: [item for item in new if item not in old]} if set(new) - set(old) else {}
        change |= {remove: [item for item in old if item not in new]} if set(old) - set(new) else {}
    if properties.get("PolicyDocument") != existing.properties.get("PolicyDocument"):
        change |= {"PolicyDocument": _policy(properties)} if "PolicyDocument" in properties else {"ResetPolicy": True}
    if change:
        context.client("ec2").modify_vpc_endpoint(VpcEndpointId=existing.physical_id, **change)
    retag(context, existing.physical_id)
    return existing.attributes


def _delete_endpoint(context: Context, existing: Existing) -> None:
    context.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[existing.physical_id])


FLOW_LOG_KEYS = (
    "ResourceType", "TrafficType", "LogGroupName", "DeliverLogsPermissionArn", "LogDestination", "LogDestinationType",
    "LogFormat", "MaxAggregationInterval",
)  # fmt: skip


def _create_flow_log(context: Context, properties: Json) -> Made:
    ec2 = context.client("ec2")
    wanted = {key: properties[key] for key in FLOW_LOG_KEYS if key in properties}
    answer = ec2.create_flow_logs(ResourceIds=[properties["ResourceId"]], **wanted)
    if answer.get("Unsuccessful"):
        raise handler_failure(answer["Unsuccessful"][0]["Error"]["Message"])
    flow_log = answer["FlowLogIds"][0]
    context.begun(flow_log)
    tag(context, flow_log)
    return Made(flow_log, {"Id": flow_log})


def _delete_flow_log(context: Context, existing: Existing) -> None:
    context.client("ec2").delete_flow_logs(FlowLogIds=[existing.physical_id])


HANDLERS = (
    Handler("AWS::EC2::EIP", names("Domain Tags"), _allocate, _release, _retag_address),
    Handler(
        "AWS::EC2::EIPAssociation",
        names("AllocationId NetworkInterfaceId InstanceId PrivateIpAddress"),
        _associate_address,
        _disassociate_address,
    ),
    Handler(
        "AWS::EC2::NatGateway",
        names("AllocationId SubnetId ConnectivityType Tags"),
        _create_nat,
        _delete_nat,
        _retag,
    ),
    Handler(
        "AWS::EC2::VPCEndpoint",
        frozenset({*ENDPOINT_KEYS, "PolicyDocument", "Tags"}),
        _create_endpoint,
        _delete_endpoint,
        _update_endpoint,
    ),
    Handler(
        "AWS::EC2::FlowLog",
        frozenset({*FLOW_LOG_KEYS, "ResourceId", "Tags"}),
        _create_flow_log,
        _delete_flow_log,
        _retag,
    ),
)
