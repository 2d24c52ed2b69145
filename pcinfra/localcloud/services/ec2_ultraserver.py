"""UltraServers of p6e-gb200: the instance type, which moto has not got, and what tells how a Capacity Block of them is.

Sources: EC2 instance types guide, "Specifications for Amazon EC2 accelerated computing instances"; EC2 API reference,
DescribeCapacityBlockStatus. How its 39 network interfaces are spread over its 17 cards is not published: here each card
takes 2. What else is not published is as of p6-b300.48xlarge.
"""

from __future__ import annotations

import copy
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.instance_types import (
    INSTANCE_TYPE_OFFERINGS,
    INSTANCE_TYPES,
    InstanceType,
    InstanceTypeBackend,
)
from moto.ec2.responses import EC2Response

from pcinfra.localcloud.services.ec2_capacity import reservations
from pcinfra.localcloud.services.patching import put

NAME = "p6e-gb200.36xlarge"
CARDS = 17
REGION = "us-east-1"
"""Where its local zone, us-east-1-dfw-2a, belongs to."""


def install() -> None:
    """Add the type and the operation to moto's EC2."""
    if NAME not in INSTANCE_TYPES:
        INSTANCE_TYPES[NAME] = _described()
        InstanceTypeBackend.instance_types.append(InstanceType(NAME))
        offer = {"InstanceType": NAME, "LocationType": "region", "Location": REGION}
        INSTANCE_TYPE_OFFERINGS["region"][REGION].append(offer)
    put(EC2Response, describe_capacity_block_status=describe_capacity_block_status)


def _described() -> dict[str, Any]:
    made: dict[str, Any] = copy.deepcopy(INSTANCE_TYPES["p6-b300.48xlarge"])
    cards = copy.deepcopy(made["NetworkInfo"]["NetworkCards"][:CARDS])
    for card in cards:
        card["MaximumNetworkInterfaces"] = 2
    gpu = {"Count": 4, "Manufacturer": "NVIDIA", "MemoryInfo": {"SizeInMiB": 189440}, "Name": "B200"}
    made["NetworkInfo"] |= {
        "MaximumNetworkCards": CARDS, "MaximumNetworkInterfaces": 39, "NetworkCards": cards,
        "NetworkPerformance": "3200 Gigabit", "EfaInfo": {"MaximumEfaInterfaces": CARDS - 1}, "EnaSrdSupported": False,
    }  # fmt: skip
    made["VCpuInfo"] = {
        "DefaultVCpus": 144,
        "DefaultCores": 144,
        "DefaultThreadsPerCore": 1,
        "ValidThreadsPerCore": [1],
    }
    return made | {
        "InstanceType": NAME,
        "GpuInfo": {"Gpus": [gpu], "TotalGpuMemoryInMiB": 4 * 189440},
        "InstanceStorageInfo": made["InstanceStorageInfo"]
        | {"Disks": [{"Count": 3, "SizeInGB": 7500, "Type": "ssd"}], "TotalSizeInGB": 22500},
        "MemoryInfo": {"SizeInMiB": 983040},
        "ProcessorInfo": made["ProcessorInfo"] | {"SupportedArchitectures": ["arm64"]},
        "SupportedUsageClasses": ["capacity-block"],
    }


def describe_capacity_block_status(self: Any) -> ActionResult:
    """Every Capacity Block is well and wholly there."""
    wanted = self._get_param("CapacityBlockIds", [])
    blocks = [
        each
        for each in reservations(self.ec2_backend).values()
        if each["ReservationType"] == "capacity-block" and (not wanted or _block(each) in wanted)
    ]
    return ActionResult({"CapacityBlockStatuses": [_status(each) for each in blocks]})


def _status(block: dict[str, Any]) -> dict[str, Any]:
    sizes = {
        "TotalCapacity": block["TotalInstanceCount"],
        "TotalAvailableCapacity": block["AvailableInstanceCount"],
        "TotalUnavailableCapacity": block["TotalInstanceCount"] - block["AvailableInstanceCount"],
    }
    reserved = {"CapacityReservationId": block["CapacityReservationId"], **sizes}
    return {
        "CapacityBlockId": _block(block),
        "InterconnectStatus": "ok",
        "CapacityReservationStatuses": [reserved],
        **sizes,
    }


def _block(reservation: dict[str, Any]) -> str:
    return str(reservation["CapacityReservationId"]).replace("cr-", "cb-", 1)
