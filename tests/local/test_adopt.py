"""Using what exists: it is checked before anything is made, used by the stack, and still there after a teardown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from pcinfra.aws import Target
from pcinfra.errors import Refused
from pcinfra.project import Adopt, Project
from pcinfra.stages.prerequisites import StackFacts
from tests.account import Account
from tests.conftest import new_project
from tests.local.test_choices import outputs, standing

NETWORK = {
    "vpc": "VPC",
    "public_subnet": "PublicSubnet",
    "private_subnet": "PrimaryPrivateSubnet",
}
EVERYTHING = NETWORK | {
    "security_group": "SecurityGroup",
    "lustre": "FSxLustreFilesystemId",
    "openzfs_volume": "FSxORootVolumeId",
}


@dataclass(frozen=True)
class Existing:
    """Somebody else's network and file systems, by the settings of ``adopt``."""

    account: Account
    ids: dict[str, str]


@pytest.fixture(scope="module")
def existing(local_target: Target) -> Existing:
    owner = Account(local_target, new_project())
    owner.up()
    found = outputs(owner)
    return Existing(owner, {name: found[key] for name, key in EVERYTHING.items()})


def adopting(**ids: str) -> Project:
    project = new_project()
    wanted = project.prerequisites.model_copy(update={"adopt": Adopt(**ids)})
    return project.model_copy(update={"prerequisites": wanted})


def call(existing: Existing, operation: str, **parameters: Any) -> Any:
    return existing.account.call("ec2", operation, **parameters)


def test_everything_that_exists_is_used_and_stays(existing: Existing) -> None:
    with standing(existing.account.target, adopting(**existing.ids)) as account:
        found = outputs(account)
        assert {name: found[key] for name, key in EVERYTHING.items()} == existing.ids
        assert found["FSxLustreFilesystemMountname"] == outputs(existing.account)["FSxLustreFilesystemMountname"]
        assert "FSxOpenZFSFilesystemId" not in found
        assert not [action for action in account.plan().actions if action.stage == "prerequisites"]
    assert existing.account.plan().actions == ()


def test_a_network_that_exists_gets_the_rest(existing: Existing) -> None:
    ids = {name: existing.ids[name] for name in NETWORK}
    with standing(existing.account.target, adopting(**ids)) as account:
        found = outputs(account)
        assert {name: found[key] for name, key in NETWORK.items()} == ids
        assert found["SecurityGroup"] != existing.ids["security_group"]
        assert found["FSxLustreFilesystemId"] != existing.ids["lustre"]
    assert existing.account.plan().actions == ()


def refusal(existing: Existing, **changes: str) -> Refused:
    ids = {**existing.ids, **changes}
    account = Account(existing.account.target, adopting(**ids))
    with pytest.raises(Refused) as caught:
        account.plan()
    return caught.value


@pytest.mark.parametrize(
    ("setting", "wrong", "why"),
    [
        ("vpc", "vpc-00000000000000000", "does not exist in us-east-1"),
        ("public_subnet", "subnet-00000000000000000", "is not in vpc-"),
        ("private_subnet", "subnet-00000000000000000", "is not in vpc-"),
        ("security_group", "sg-00000000000000000", "does not exist"),
        ("lustre", "fs-00000000000000000", "is no Lustre file system in us-east-1"),
        ("openzfs_volume", "fsvol-00000000000000000", "is no OpenZFS volume"),
    ],
)
def test_what_does_not_exist_is_refused(existing: Existing, setting: str, wrong: str, why: str) -> None:
    error = refusal(existing, **{setting: wrong})
    assert error.where == f"prerequisites.adopt.{setting}"
    assert error.why.startswith(wrong)
    assert why in error.why
    assert error.hint


def test_an_openzfs_file_system_is_no_lustre(existing: Existing) -> None:
    openzfs = outputs(existing.account)["FSxOpenZFSFilesystemId"]
    assert "is no Lustre file system" in refusal(existing, lustre=openzfs).why


def test_a_subnet_without_a_way_out_is_refused(existing: Existing) -> None:
    table = call(existing, "CreateRouteTable", VpcId=existing.ids["vpc"])["RouteTable"]["RouteTableId"]
    subnet = new_subnet(existing, "10.1.128.0/20", table)
    assert "no route to 0.0.0.0/0" in refusal(existing, private_subnet=subnet).why


def test_a_public_subnet_is_no_private_one(existing: Existing) -> None:
    error = refusal(
        existing, private_subnet=existing.ids["public_subnet"], public_subnet=existing.ids["private_subnet"]
    )
    assert "only igw-" in error.why
    assert error.hint == "a route to 0.0.0.0/0 through a NAT gateway"


def test_a_subnet_too_small_for_the_fleet_is_refused(existing: Existing) -> None:
    table = private_table(existing)
    subnet = new_subnet(existing, "10.1.144.0/28", table)
    project = adopting(**(existing.ids | {"private_subnet": subnet}))
    cluster = project.clusters["train"]
    many = cluster.model_copy(update={"queues": (cluster.queues[0].model_copy(update={"max_nodes": 40}),)})
    account = Account(existing.account.target, project.model_copy(update={"clusters": {"train": many}}))
    with pytest.raises(Refused, match="has 11 addresses, and nodes and file systems take up to 41"):
        account.plan()


def test_a_file_system_in_another_zone_is_refused(existing: Existing) -> None:
    subnet = new_subnet(existing, "10.1.160.0/20", private_table(existing), "us-east-1c")
    error = refusal(existing, private_subnet=subnet)
    assert error.where == "prerequisites.adopt.lustre"
    assert "and the nodes are in us-east-1c" in error.why


def test_a_zone_of_ones_own_is_that_of_the_subnet(existing: Existing) -> None:
    project = adopting(**existing.ids).model_copy(update={"availability_zone": "us-east-1d"})
    with pytest.raises(Refused, match="and availability_zone is us-east-1d"):
        Account(existing.account.target, project).plan()


def test_a_group_closed_to_itself_is_refused(existing: Existing) -> None:
    made = {"GroupName": "closed", "Description": "closed", "VpcId": existing.ids["vpc"]}
    group = call(existing, "CreateSecurityGroup", **made)["GroupId"]
    error = refusal(existing, security_group=group)
    assert "does not allow everything from itself, which EFA needs" in error.why
    assert error.hint.startswith(f"aws ec2 authorize-security-group-ingress --group-id {group}")


def test_what_is_in_another_vpc_is_refused(existing: Existing) -> None:
    default = call(existing, "DescribeSecurityGroups", Filters=[{"Name": "group-name", "Values": ["default"]}])
    group = next(row for row in default["SecurityGroups"] if row["VpcId"] != existing.ids["vpc"])
    assert (
        f"is of {group['VpcId']}, not of {existing.ids['vpc']}"
        in refusal(existing, security_group=group["GroupId"]).why
    )


def test_a_vpc_that_resolves_no_names_is_refused(existing: Existing) -> None:
    vpc = existing.ids["vpc"]
    call(existing, "ModifyVpcAttribute", VpcId=vpc, EnableDnsHostnames={"Value": False})
    try:
        assert "resolves no names" in refusal(existing).why
    finally:
        call(existing, "ModifyVpcAttribute", VpcId=vpc, EnableDnsHostnames={"Value": True})


def test_giving_up_a_file_system_for_one_that_exists_says_what_it_loses(existing: Existing) -> None:
    ids = {name: existing.ids[name] for name in NETWORK}
    project = adopting(**ids)
    with standing(existing.account.target, project) as account:
        more = project.prerequisites.model_copy(update={"adopt": Adopt(**ids, lustre=existing.ids["lustre"])})
        after = Account(account.target, project.model_copy(update={"prerequisites": more}))
        assert "everything on the Lustre file system" in [action.loses for action in after.plan().losses]
        assert after.facts().of(StackFacts).zone == "us-east-1a"


def private_table(existing: Existing) -> str:
    here = [{"Name": "association.subnet-id", "Values": [existing.ids["private_subnet"]]}]
    return str(call(existing, "DescribeRouteTables", Filters=here)["RouteTables"][0]["RouteTableId"])


def new_subnet(existing: Existing, cidr: str, table: str, zone: str = "us-east-1a") -> str:
    made = call(existing, "CreateSubnet", VpcId=existing.ids["vpc"], CidrBlock=cidr, AvailabilityZone=zone)
    subnet = str(made["Subnet"]["SubnetId"])
    call(existing, "AssociateRouteTable", RouteTableId=table, SubnetId=subnet)
    return subnet
