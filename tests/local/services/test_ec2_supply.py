"""How many instances there are: in a capacity reservation, and of a type when somebody limits it."""

from __future__ import annotations

import urllib.request
from typing import Any
from uuid import uuid4

import pytest

from tests.local.services.asking import refusal
from tests.local.services.conftest import Client, make_network
from tests.local.services.test_ec2 import launch


def template(ec2: Any, **data: Any) -> dict[str, Any]:
    name = f"supply-{uuid4().hex[:8]}"
    ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "p5.48xlarge", **data})
    return {"InstanceType": "p5.48xlarge", "LaunchTemplate": {"LaunchTemplateName": name}}


def test_a_reservation_gives_what_is_in_it(client: Client) -> None:
    ec2 = client("ec2")
    subnet = make_network(ec2).subnets[0]
    offer = ec2.describe_capacity_block_offerings(
        InstanceType="p5.48xlarge", InstanceCount=2, CapacityDurationHours=24
    )["CapacityBlockOfferings"][0]["CapacityBlockOfferingId"]
    bought = ec2.purchase_capacity_block(CapacityBlockOfferingId=offer, InstancePlatform="Linux/UNIX")
    block = bought["CapacityReservation"]["CapacityReservationId"]
    target = {"CapacityReservationTarget": {"CapacityReservationId": block}}
    market = {"MarketType": "capacity-block"}
    request = template(ec2, CapacityReservationSpecification=target, InstanceMarketOptions=market)

    def free() -> int:
        rows = ec2.describe_capacity_reservations(CapacityReservationIds=[block])["CapacityReservations"]
        return int(rows[0]["AvailableInstanceCount"])

    both = {"MinCount": 2, "MaxCount": 2}
    first = launch(ec2, subnet, **request)
    assert first["InstanceLifecycle"] == "capacity-block"
    assert refusal(launch, ec2=ec2, subnet=subnet, **request, **both)[0] == "ReservationCapacityExceeded"
    assert free() == 1
    launch(ec2, subnet, **request)
    assert refusal(launch, ec2=ec2, subnet=subnet, **request)[0] == "ReservationCapacityExceeded"
    ec2.terminate_instances(InstanceIds=[first["InstanceId"]])
    assert free() == 1


def test_a_reservation_that_is_not_there_gives_nothing(client: Client) -> None:
    ec2 = client("ec2")
    subnet = make_network(ec2).subnets[0]
    target = {"CapacityReservationTarget": {"CapacityReservationId": f"cr-{uuid4().hex[:17]}"}}
    request = template(ec2, CapacityReservationSpecification=target)
    assert refusal(launch, ec2=ec2, subnet=subnet, **request)[0] == "InvalidCapacityReservationId.NotFound"


def test_a_type_that_is_limited_runs_out_and_others_do_not(client: Client) -> None:
    ec2 = client("ec2")
    subnet = make_network(ec2).subnets[0]
    url = f"{ec2.meta.endpoint_url}/_pcinfra/capacity/g6e.xlarge"
    urllib.request.urlopen(url, data=b"1", timeout=60).close()
    try:
        launch(ec2, subnet, InstanceType="g6e.xlarge")
        code, why = refusal(launch, ec2=ec2, subnet=subnet, InstanceType="g6e.xlarge")
        assert code == "InsufficientInstanceCapacity"
        assert "sufficient g6e.xlarge capacity" in why
        launch(ec2, subnet, InstanceType="g6e.2xlarge")
    finally:
        urllib.request.urlopen(url, data=b"", timeout=60).close()
    launch(ec2, subnet, InstanceType="g6e.xlarge")


@pytest.mark.parametrize(("path", "body"), [("capacity/nonsense", b"1"), ("capacity/p5.48xlarge", b"-1"), ("x", b"")])
def test_what_makes_no_sense_is_refused(client: Client, path: str, body: bytes) -> None:
    with pytest.raises(OSError, match="404"):
        urllib.request.urlopen(f"{client('ec2').meta.endpoint_url}/_pcinfra/{path}", data=body, timeout=60)


def test_instances_carry_the_tags_of_their_template(client: Client) -> None:
    ec2 = client("ec2")
    subnet = make_network(ec2).subnets[0]
    tags = [{"Key": "from", "Value": "template"}, {"Key": "only", "Value": "template"}]
    request = template(ec2, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])
    own = [{"ResourceType": "instance", "Tags": [{"Key": "from", "Value": "request"}]}]
    made = launch(ec2, subnet, **request, TagSpecifications=own)["InstanceId"]
    found = ec2.describe_instances(InstanceIds=[made])["Reservations"][0]["Instances"][0]["Tags"]
    ours = {tag["Key"]: tag["Value"] for tag in found if not tag["Key"].startswith("aws:")}
    assert ours == {"from": "request", "only": "template"}


def test_a_later_version_of_a_template_can_be_launched(client: Client) -> None:
    ec2 = client("ec2")
    subnet = make_network(ec2).subnets[0]
    request = template(ec2)
    data = {"InstanceType": "p5.48xlarge", "UserData": "IyEvYmluL3NoCg=="}
    ec2.create_launch_template_version(**request["LaunchTemplate"], LaunchTemplateData=data)
    request["LaunchTemplate"]["Version"] = "2"
    assert launch(ec2, subnet, **request)["InstanceId"]


def test_a_root_volume_without_a_size_has_the_images(client: Client) -> None:
    ec2 = client("ec2")
    subnet = make_network(ec2).subnets[0]
    root = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeType": "gp3", "DeleteOnTermination": True}}]
    made = launch(ec2, subnet, BlockDeviceMappings=root)["InstanceId"]
    filters = [{"Name": "attachment.instance-id", "Values": [made]}]
    assert [each["Size"] for each in ec2.describe_volumes(Filters=filters)["Volumes"]] == [15]
