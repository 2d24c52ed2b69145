"""A local cloud of this folder's own, in which resources come and go fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")

DELAY = 0.15
"""Seconds that a resource takes to come and to go."""

Client = Callable[..., Any]


def client_of(url: str) -> Client:
    """Return a maker of boto3 clients (service, region) that check nothing themselves."""
    import boto3
    from botocore.config import Config

    def make(service: str, region: str = "us-east-1") -> Any:
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=url,
            aws_access_key_id="AKIAPCINFRALOCAL0000",
            aws_secret_access_key="x",
            config=Config(retries={"max_attempts": 4, "mode": "standard"}, parameter_validation=False),
        )

    return make


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    from pcinfra.localcloud.process import LocalCloud

    cloud = LocalCloud(tmp_path_factory.mktemp("services"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PCINFRA_LOCAL_DELAY", str(DELAY))
        endpoint = cloud.start()
    yield client_of(endpoint.url)
    cloud.stop()


@dataclass(frozen=True)
class Network:
    """A VPC with subnets in two zones and a security group that lets its members talk."""

    vpc: str
    subnets: tuple[str, str]
    group: str


def make_network(ec2: Any) -> Network:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{index}.0/24", AvailabilityZone=f"us-east-1{zone}")
        for index, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="efa", Description="efa", VpcId=vpc)["GroupId"]
    rule = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rule)
    first, second = (subnet["Subnet"]["SubnetId"] for subnet in subnets)
    return Network(vpc, (first, second), group)


@pytest.fixture(scope="session")
def network(client: Client) -> Network:
    return make_network(client("ec2"))
