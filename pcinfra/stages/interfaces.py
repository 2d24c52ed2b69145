"""Network interfaces of others in the stack's VPC: they would keep its subnets and security group from being deleted.

Source: EC2 API reference, error code DependencyViolation. An interface that is attached leaves with its user: an
instance that ends, or a Lambda function of a deleted cluster (Lambda developer guide: up to 20 minutes). One that is
attached to nothing stays until somebody deletes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.engine import Action, Kind, Pending
from pcinfra.errors import ResourceFailed

if TYPE_CHECKING:
    from pcinfra.doors import Doors

INTERFACES = "prerequisites/interfaces"
BOUND = 1500.0  # seconds
_OF_THE_STACK = ("nat_gateway", "vpc_endpoint")


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface: whether it is attached to something, and what AWS says it is for."""

    id: str
    subnet: str
    attached: bool
    description: str

    def __str__(self) -> str:
        return f"{self.id} in {self.subnet}" + (f" ({self.description})" if self.description else "")


@dataclass(frozen=True, slots=True)
class InterfaceProbe:
    """Reads the interfaces of a VPC that do not belong to the stack; the key is the VPC."""

    file_systems: tuple[str, ...]

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, tuple[Interface, ...]]:
        filters = [{"Name": "vpc-id", "Values": sorted(keys)}]
        rows = doors.cloud.pages("ec2", "DescribeNetworkInterfaces", "NetworkInterfaces", Filters=filters)
        gateways = doors.cloud.pages("ec2", "DescribeNatGateways", "NatGateways", Filters=filters)
        nat = {address.get("NetworkInterfaceId") for row in gateways for address in row["NatGatewayAddresses"]}
        others = [row for row in rows if row["NetworkInterfaceId"] not in nat]
        return {key: tuple(self._strange(row for row in others if row["VpcId"] == key)) for key in keys}

    def _strange(self, rows: Iterable[Mapping[str, Any]]) -> Iterable[Interface]:
        for row in rows:
            text = row.get("Description") or ""
            if row.get("InterfaceType") not in _OF_THE_STACK and not any(i in text for i in self.file_systems):
                yield Interface(row["NetworkInterfaceId"], row["SubnetId"], row["Status"] != "available", text)


@dataclass(frozen=True, slots=True)
class WaitForInterfaces:
    """Wait until only the stack's own interfaces are left in its VPC."""

    vpc: str
    file_systems: tuple[str, ...]

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        return Pending(InterfaceProbe(self.file_systems), self.vpc, until_left(), _progress)


def until_left(clock: Callable[[], float] = time.monotonic) -> Callable[[Any], tuple[None] | None]:
    """Return the judge that waits for attached interfaces, ``BOUND`` seconds at most, and for no others."""
    end = clock() + BOUND

    def judge(left: tuple[Interface, ...] | None) -> tuple[None] | None:
        free = [interface for interface in left or () if not interface.attached]
        if not left:
            return (None,)
        if free or clock() > end:
            worst = (free or left)[0]
            why = "belong to nothing" if free else f"are still in use after {BOUND / 60:.0f} minutes"
            raise ResourceFailed(
                f"network interfaces in the VPC {why}, and keep it: {', '.join(map(str, free or left))}",
                where="the stack's network",
                hint=f"aws ec2 delete-network-interface --network-interface-id {worst.id}   (then pcinfra down)",
            )
        return None

    return judge


def _progress(left: tuple[Interface, ...] | None) -> str:
    return f"in use: {', '.join(map(str, left or ()))}"


def waiting(vpc: str, file_systems: Iterable[str]) -> Action:
    """Return the Action that waits for the interfaces of others in ``vpc``."""
    return Action(
        INTERFACES, Kind.RUN, f"wait for network interfaces of others in {vpc}", "they would keep its subnets",
        WaitForInterfaces(vpc, tuple(file_systems)), seconds=1,
    )  # fmt: skip
