"""Which zones ``auto`` stands for, asked of the local cloud's EC2."""

from __future__ import annotations

from typing import Any

import pytest

from pcinfra.aws import Aws, Target
from pcinfra.errors import NotFound, Refused
from pcinfra.project import Cluster, OpenZFS, Prerequisites, Project, Queue
from pcinfra.stages.zones import choose

EVERYWHERE = "m5.8xlarge"


@pytest.fixture
def cloud(local_target: Target) -> Aws:
    return Aws(local_target)


def project(*queues: Queue, head: str = EVERYWHERE, **settings: Any) -> Project:
    cluster = Cluster.model_validate({"head_node": {"instance_type": head}}).model_copy(update={"queues": queues})
    return Project(clusters={"train": cluster}, **settings)


def reserve(cloud: Aws, zone: str, kind: str = "p5.48xlarge") -> str:
    made = cloud.call(
        "ec2", "CreateCapacityReservation", InstanceType=kind, InstancePlatform="Linux/UNIX", AvailabilityZone=zone,
        InstanceCount=2,
    )  # fmt: skip
    return str(made["CapacityReservation"]["CapacityReservationId"])


def offering(cloud: Aws, kind: str) -> set[str]:
    rows = cloud.pages(
        "ec2", "DescribeInstanceTypeOfferings", "InstanceTypeOfferings", LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": [kind]}],
    )  # fmt: skip
    return {row["Location"] for row in rows}


def test_the_zone_offers_every_type_and_says_so(cloud: Aws) -> None:
    chosen = choose(project(Queue(instance_type="p5.48xlarge")), cloud)
    assert chosen.first in offering(cloud, "p5.48xlarge") & offering(cloud, EVERYWHERE)
    assert chosen.second == ""
    assert chosen.notes[0] == f"availability_zone: {chosen.first}, because it offers {EVERYWHERE} and p5.48xlarge"
    assert chosen.notes[1].startswith("openzfs.deployment_type: SINGLE_AZ_HA_2, because us-east-1 has it (FSx")


def test_a_zone_without_lustre_is_never_chosen(cloud: Aws) -> None:
    rows = cloud.call("ec2", "DescribeAvailabilityZones")["AvailabilityZones"]
    without = next(row["ZoneName"] for row in rows if row["ZoneId"] == "use1-az3")
    wanted = project(Queue(instance_type="g5.xlarge"))
    others = sorted(offering(cloud, "g5.xlarge") & offering(cloud, EVERYWHERE) - {without})
    assert choose(wanted, cloud).first == others[0]


def test_the_zone_is_that_of_the_reservation(cloud: Aws) -> None:
    zone = sorted(offering(cloud, "p5.48xlarge") & offering(cloud, EVERYWHERE))[-1]
    wanted = reserve(cloud, zone)
    chosen = choose(project(Queue(capacity_reservation=wanted)), cloud)
    assert chosen.first == zone
    assert chosen.notes[0] == f"availability_zone: {zone}, because {wanted} is there"


def test_a_reservation_elsewhere_is_refused(cloud: Aws) -> None:
    wanted = reserve(cloud, "us-east-1b")
    with pytest.raises(Refused, match=r"is in us-east-1b, not in us-east-1a") as caught:
        choose(project(Queue(capacity_reservation=wanted), availability_zone="us-east-1a"), cloud)
    assert caught.value.hint == "availability_zone: us-east-1b"
    assert caught.value.where == "clusters.train.queues[0].capacity_reservation"


def test_a_reservation_of_another_type_is_refused(cloud: Aws) -> None:
    wanted = reserve(cloud, "us-east-1b", "p4d.24xlarge")
    with pytest.raises(Refused, match=r"is for p4d\.24xlarge, not for p5\.48xlarge"):
        choose(project(Queue(capacity_reservation=wanted)), cloud)


def test_an_unknown_reservation_is_refused(cloud: Aws) -> None:
    with pytest.raises(NotFound, match="is not an active reservation in us-east-1"):
        choose(project(Queue(capacity_reservation="cr-00000000000000000")), cloud)


def test_a_cancelled_reservation_is_refused(cloud: Aws) -> None:
    wanted = reserve(cloud, "us-east-1b")
    cloud.call("ec2", "CancelCapacityReservation", CapacityReservationId=wanted)
    with pytest.raises(NotFound, match="is not an active reservation"):
        choose(project(Queue(capacity_reservation=wanted)), cloud)


def test_reservations_in_two_zones_are_refused(cloud: Aws) -> None:
    queues = [Queue(name=zone, capacity_reservation=reserve(cloud, f"us-east-1{zone}")) for zone in "ab"]
    with pytest.raises(Refused, match=r"several zones: cr-\w+ in us-east-1a; cr-\w+ in us-east-1b"):
        choose(project(*queues), cloud)


def test_no_zone_says_what_is_offered_where(cloud: Aws) -> None:
    with pytest.raises(Refused) as caught:
        choose(project(Queue(instance_type="p6e-gb200.36xlarge")), cloud)
    assert "p6e-gb200.36xlarge: nowhere" in str(caught.value)
    assert f"{EVERYWHERE}: us-east-1a" in str(caught.value)


def test_two_zones_differ(cloud: Aws) -> None:
    multi = Prerequisites(openzfs=OpenZFS(deployment_type="MULTI_AZ_1"))
    chosen = choose(project(Queue(), prerequisites=multi), cloud)
    assert chosen.second not in ("", chosen.first)
    assert "secondary_availability_zone" in chosen.notes[-1]
    named = project(Queue(), prerequisites=multi, secondary_availability_zone=chosen.first)
    assert choose(named, cloud).first != chosen.first


def test_what_the_region_may_not_have_is_doubted(cloud: Aws) -> None:
    old = Prerequisites(openzfs=OpenZFS(deployment_type="SINGLE_AZ_HA_1", throughput=256))
    chosen = choose(project(Queue(), prerequisites=old, availability_zone="us-east-1a"), cloud)
    assert chosen.notes[0].startswith("openzfs.deployment_type: SINGLE_AZ_HA_1 was not in us-east-1")
    assert chosen.notes[0].endswith("write SINGLE_AZ_HA_2")
