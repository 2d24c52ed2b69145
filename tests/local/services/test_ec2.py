"""EC2 where moto alone would refuse what AWS takes, or take what AWS refuses."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.local.services.asking import refusal
from tests.local.services.conftest import Client, make_network

IMAGES = {"Filters": [{"Name": "name", "Values": ["aws-parallelcluster-3.16.1-ubuntu-2204-lts-hvm-x86_64*"]}]}


def launch(ec2: Any, subnet: str, **more: Any) -> dict[str, Any]:
    image = ec2.describe_images(Owners=["amazon"], **IMAGES)["Images"][0]["ImageId"]
    request = {"ImageId": image, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1, "SubnetId": subnet}
    instance: dict[str, Any] = ec2.run_instances(**{**request, **more})["Instances"][0]
    return instance


@pytest.mark.parametrize("system", ["ubuntu-2204-lts", "ubuntu-2404-lts", "amzn2023", "rhel8", "rhel9", "rocky9"])
@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_official_images(client: Client, system: str, architecture: str) -> None:
    name = f"aws-parallelcluster-3.16.1-{system}-hvm-{architecture}*"
    found = client("ec2").describe_images(Owners=["amazon"], Filters=[{"Name": "name", "Values": [name]}])["Images"]
    assert [(image["Architecture"], image["State"]) for image in found] == [(architecture, "available")]


def test_instance_store_volumes_need_no_ebs(client: Client) -> None:
    ec2 = client("ec2")
    mappings = [
        {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 50}},
        {"DeviceName": "/dev/xvdba", "VirtualName": "ephemeral0"},
    ]
    name = f"template-{uuid4().hex[:8]}"
    ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"BlockDeviceMappings": mappings})
    subnet = make_network(ec2).subnets[0]
    launch(ec2, subnet, BlockDeviceMappings=mappings)
    launch(ec2, subnet, LaunchTemplate={"LaunchTemplateName": name})
    code, _ = refusal(launch, ec2=ec2, subnet=subnet, BlockDeviceMappings=[{"DeviceName": "/dev/sdb"}])
    assert code == "MissingParameter"
    found = ec2.describe_launch_template_versions(LaunchTemplateName=name)["LaunchTemplateVersions"][0]
    assert [m.get("VirtualName") for m in found["LaunchTemplateData"]["BlockDeviceMappings"]] == [None, "ephemeral0"]


def test_key_pairs_have_a_type(client: Client) -> None:
    ec2 = client("ec2")
    names = [f"key-{uuid4().hex[:8]}" for _ in range(2)]
    ec2.create_key_pair(KeyName=names[0])
    ec2.create_key_pair(KeyName=names[1], KeyType="ed25519")
    assert [k["KeyType"] for k in ec2.describe_key_pairs(KeyNames=names)["KeyPairs"]] == ["rsa", "ed25519"]


def test_placement_groups(client: Client) -> None:
    ec2, name = client("ec2"), f"pg-{uuid4().hex[:8]}"
    assert ec2.create_placement_group(GroupName=name, Strategy="cluster")["PlacementGroup"]["State"] == "available"
    assert refusal(ec2.create_placement_group, GroupName=name)[0] == "InvalidPlacementGroup.Duplicate"
    assert refusal(ec2.create_placement_group, GroupName="x", Strategy="near")[0] == "InvalidParameterValue"
    assert [g["GroupName"] for g in ec2.describe_placement_groups(GroupNames=[name])["PlacementGroups"]] == [name]
    ec2.delete_placement_group(GroupName=name)
    assert refusal(ec2.describe_placement_groups, GroupNames=[name])[0] == "InvalidPlacementGroup.Unknown"


def test_capacity_reservations(client: Client) -> None:
    ec2 = client("ec2")
    made = ec2.create_capacity_reservation(
        InstanceType="p5.48xlarge", InstancePlatform="Linux/UNIX", AvailabilityZone="us-east-1a", InstanceCount=4
    )["CapacityReservation"]
    wanted = made["CapacityReservationId"]
    found = ec2.describe_capacity_reservations(CapacityReservationIds=[wanted])["CapacityReservations"][0]
    assert (found["State"], found["TotalInstanceCount"], found["ReservationType"]) == ("active", 4, "default")
    ec2.cancel_capacity_reservation(CapacityReservationId=wanted)
    filters = [{"Name": "state", "Values": ["active"]}]
    rows = ec2.describe_capacity_reservations(CapacityReservationIds=[wanted], Filters=filters)
    assert rows["CapacityReservations"] == []
    missing = {"CapacityReservationIds": ["cr-0123456789abcdef0"]}
    assert refusal(ec2.describe_capacity_reservations, **missing)[0] == "InvalidCapacityReservationId.NotFound"


@pytest.mark.parametrize(("hours", "count", "good"), [(24, 1, True), (504, 64, True), (25, 1, False), (24, 65, False)])
def test_capacity_blocks(client: Client, hours: int, count: int, good: bool) -> None:
    ec2 = client("ec2")
    asked = {"InstanceType": "p5.48xlarge", "InstanceCount": count, "CapacityDurationHours": hours}
    if not good:
        assert refusal(ec2.describe_capacity_block_offerings, **asked)[0] == "InvalidParameterValue"
        return
    offer = ec2.describe_capacity_block_offerings(**asked)["CapacityBlockOfferings"][0]["CapacityBlockOfferingId"]
    block = ec2.purchase_capacity_block(CapacityBlockOfferingId=offer, InstancePlatform="Linux/UNIX")
    reservation = block["CapacityReservation"]
    assert (reservation["ReservationType"], reservation["TotalInstanceCount"]) == ("capacity-block", count)
    wanted = {"CapacityReservationId": reservation["CapacityReservationId"]}
    assert refusal(ec2.cancel_capacity_reservation, **wanted)[0] == "OperationNotPermitted"


def test_a_network_is_taken_apart_in_order(client: Client) -> None:
    ec2 = client("ec2")
    network = make_network(ec2)
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    attachment = {"InternetGatewayId": gateway, "VpcId": network.vpc}
    ec2.attach_internet_gateway(**attachment)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=network.subnets[0], AllocationId=address)["NatGateway"]["NatGatewayId"]
    instance = launch(ec2, network.subnets[1], SecurityGroupIds=[network.group])["InstanceId"]

    violation = "DependencyViolation"
    assert refusal(ec2.delete_subnet, SubnetId=network.subnets[0])[0] == violation
    assert refusal(ec2.delete_subnet, SubnetId=network.subnets[1])[0] == violation
    assert refusal(ec2.delete_security_group, GroupId=network.group)[0] == violation
    assert refusal(ec2.delete_vpc, VpcId=network.vpc)[0] == violation
    assert refusal(ec2.detach_internet_gateway, **attachment)[0] == violation
    assert refusal(ec2.delete_internet_gateway, InternetGatewayId=gateway)[0] == violation
    assert refusal(ec2.release_address, AllocationId=address)[0] == "InvalidIPAddress.InUse"

    ec2.terminate_instances(InstanceIds=[instance])
    ec2.delete_nat_gateway(NatGatewayId=nat)
    ec2.release_address(AllocationId=address)
    ec2.detach_internet_gateway(**attachment)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    for subnet in network.subnets:
        ec2.delete_subnet(SubnetId=subnet)
    assert refusal(ec2.delete_vpc, VpcId=network.vpc)[0] == violation
    ec2.delete_security_group(GroupId=network.group)
    ec2.delete_vpc(VpcId=network.vpc)
    interfaces = ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [network.vpc]}])
    assert interfaces["NetworkInterfaces"] == []


def test_a_group_that_another_one_names_stays(client: Client) -> None:
    ec2 = client("ec2")
    network = make_network(ec2)
    other = ec2.create_security_group(GroupName="other", Description="x", VpcId=network.vpc)["GroupId"]
    rule = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": network.group}]}]
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=rule)
    assert refusal(ec2.delete_security_group, GroupId=network.group)[0] == "DependencyViolation"
    ec2.delete_security_group(GroupId=other)
    ec2.delete_security_group(GroupId=network.group)


def test_interfaces_end_with_their_instance_unless_they_are_older(client: Client) -> None:
    ec2 = client("ec2")
    subnet = make_network(ec2).subnets[0]
    older = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    interfaces = [{"DeviceIndex": 0, "NetworkInterfaceId": older}]
    started = ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, NetworkInterfaces=interfaces)
    first = started["Instances"][0]["InstanceId"]
    second = launch(ec2, subnet)["InstanceId"]
    ec2.terminate_instances(InstanceIds=[first, second])
    left = ec2.describe_network_interfaces(Filters=[{"Name": "subnet-id", "Values": [subnet]}])["NetworkInterfaces"]
    assert [(row["NetworkInterfaceId"], row["Status"]) for row in left] == [(older, "available")]
    ec2.delete_network_interface(NetworkInterfaceId=older)
    states = ec2.describe_instances(InstanceIds=[first, second])["Reservations"]
    assert {i["State"]["Name"] for r in states for i in r["Instances"]} == {"terminated"}


def test_unknown_nat_gateway(client: Client) -> None:
    assert refusal(client("ec2").delete_nat_gateway, NatGatewayId="nat-0123456789abcdef0")[0] == "NatGatewayNotFound"
