"""What only the account can tell. Everything here reads; nothing is made."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pcinfra import catalog
from pcinfra.clusters.overrides import Path
from pcinfra.clusters.rules.model import QUEUES, Config, Nodes, Remark, info, warning
from pcinfra.errors import CloudError, NotFound

if TYPE_CHECKING:
    from pcinfra.aws import Cloud

FIRST_WITH_ONE_ADDRESS = (3, 15)
"""Since then only one network card of an instance has an address (release notes, efa-only interfaces)."""


def subnet_room(config: Config, cloud: Cloud) -> Iterator[Remark]:
    """A subnet that is too small lets the last nodes fail (PC: InsufficientFreeAddressesInSubnet at launch)."""
    static: dict[str, int] = defaultdict(int)
    most: dict[str, int] = defaultdict(int)
    where: dict[str, Path] = {}
    head = config.data["HeadNode"]["Networking"]["SubnetId"]
    static[head] += 1
    most[head] += 1
    where[head] = ("HeadNode", "Networking", "SubnetId")
    for nodes in config.nodes:
        subnet = str(nodes.queue["Networking"]["SubnetIds"][0])
        each = addresses(nodes, config.version)
        static[subnet] += nodes.least * each
        most[subnet] += nodes.most * each
        where[subnet] = (*nodes.path, "MaxCount")
    for index, pool in enumerate(config.pools):
        subnet = str(pool["Networking"]["SubnetIds"][0])
        static[subnet] += int(pool["Count"]) + 1
        most[subnet] += int(pool["Count"]) + 1
        where.setdefault(subnet, ("LoginNodes", "Pools", index, "Count"))
    there = {row["SubnetId"]: int(row["AvailableIpAddressCount"]) for row in _subnets(cloud, sorted(most))}
    for subnet, path in where.items():
        if subnet not in there:
            yield Remark(path, f"{subnet} does not exist", "the project's own subnet: leave it out")
        elif there[subnet] < static[subnet]:
            said = f"{subnet} has {there[subnet]} free addresses; the nodes that always run need {static[subnet]}"
            yield Remark(path, said, "fewer nodes")
        elif there[subnet] < most[subnet]:
            said = f"{subnet} has {there[subnet]} free addresses; all nodes together need {most[subnet]}"
            yield warning(path, said, "fewer max_nodes")


def _subnets(cloud: Cloud, ids: list[str]) -> list[Mapping[str, Any]]:
    """Return those of the subnets that exist."""
    found: list[Mapping[str, Any]] = cloud.call(
        "ec2", "DescribeSubnets", Filters=[{"Name": "subnet-id", "Values": ids}]
    )["Subnets"]
    return found


def addresses(nodes: Nodes, version: str) -> int:
    """Return how many addresses one node takes in its subnet."""
    numbers = tuple(int(part) for part in version.split(".")[:2])
    if numbers >= FIRST_WITH_ONE_ADDRESS:
        return 1
    return max((kind.network_cards for kind in nodes.known), default=1)


ENDED = ("expired", "cancelled", "failed", "payment-failed", "unsupported")
GB200_SIZES = (9, 18)
"""pcluster, ULTRASERVER_CAPACITY_BLOCK_ALLOWED_SIZE_DICT: instances of one UltraServer."""


def reservations(config: Config, cloud: Cloud) -> Iterator[Remark]:
    """Each reservation exists, is of the queue's type and zone, for Linux, large enough, and not over.

    Sources: EC2 API reference, DescribeCapacityReservations; pcluster, CapacityReservationValidator and
    CapacityReservationSizeValidator; "Launch instances with Capacity Blocks (CB)".
    """
    by_id: dict[str, list[Nodes]] = defaultdict(list)
    for nodes in config.nodes:
        if nodes.reservation:
            by_id[nodes.reservation].append(nodes)
    zones = _zones(config, cloud) if by_id else {}
    for wanted, users in by_id.items():
        try:
            found = cloud.call("ec2", "DescribeCapacityReservations", CapacityReservationIds=[wanted])
        except CloudError as error:
            if not isinstance(error, NotFound) and "InvalidCapacityReservationId" not in error.code:
                raise
            found = {"CapacityReservations": []}
        rows = found["CapacityReservations"]
        if not rows:
            yield Remark(_target(users[0]), f"{wanted} does not exist here", "aws ec2 describe-capacity-reservations")
            continue
        yield from _judged(rows[0], users, zones, datetime.now(UTC))


def _zones(config: Config, cloud: Cloud) -> Mapping[str, str]:
    ids = sorted({str(queue["Networking"]["SubnetIds"][0]) for queue in config.queues})
    return {row["SubnetId"]: row["AvailabilityZone"] for row in _subnets(cloud, ids)}


def _target(nodes: Nodes) -> Path:
    return (*nodes.path, "CapacityReservationTarget", "CapacityReservationId")


def _judged(row: Mapping[str, Any], users: list[Nodes], zones: Mapping[str, str], now: datetime) -> Iterator[Remark]:
    path, name = _target(users[0]), row["CapacityReservationId"]
    block = row.get("ReservationType") == "capacity-block"
    yield from _kind(row, users, block)
    for nodes in users:
        zone = zones.get(str(nodes.queue["Networking"]["SubnetIds"][0]), row["AvailabilityZone"])
        if nodes.types and row["InstanceType"] not in nodes.types:
            yield Remark((*nodes.path, "InstanceType"), f"{name} is for {row['InstanceType']}",
                         f"instance_type: {row['InstanceType']}")  # fmt: skip
        if row["AvailabilityZone"] != zone:
            yield Remark(_target(nodes), f"{name} is in {row['AvailabilityZone']}, the nodes are in {zone}",
                         f"availability_zone: {row['AvailabilityZone']}, before pcinfra up")  # fmt: skip
    if row.get("InstancePlatform", "Linux/UNIX") != "Linux/UNIX":
        yield Remark(path, f"{name} is for {row['InstancePlatform']}; the nodes are Linux/UNIX", "another reservation")
    wanted, total = sum(nodes.most for nodes in users), int(row.get("TotalInstanceCount", 0))
    if wanted > total:
        level = Remark if block or sum(nodes.least for nodes in users) > total else warning
        yield level((*users[-1].path, "MaxCount"), f"{name} holds {total}; its queues want {wanted}",
                    f"max_nodes: {max(1, total - wanted + users[-1].most)}")  # fmt: skip
    if block and str(row["InstanceType"]).startswith("p6e-gb200") and wanted not in GB200_SIZES:
        yield Remark((*users[-1].path, "MaxCount"), f"{wanted} nodes; an UltraServer has 9 or 18", "max_nodes: 18")
    yield from _when(row, path, now)


def _kind(row: Mapping[str, Any], users: list[Nodes], block: bool) -> Iterator[Remark]:
    for nodes in users:
        said = nodes.capacity_type == "CAPACITY_BLOCK"
        path = (*nodes.queue_path, "CapacityType")
        if said and not block:
            yield Remark(path, f"{row['CapacityReservationId']} is no capacity block", "capacity_type: ONDEMAND")
        elif block and not said:
            yield Remark(path, f"{row['CapacityReservationId']} is a capacity block", "capacity_type: CAPACITY_BLOCK")


def _when(row: Mapping[str, Any], path: Path, now: datetime) -> Iterator[Remark]:
    name, state, begin, end = row["CapacityReservationId"], row["State"], row.get("StartDate"), row.get("EndDate")
    if state in ENDED or (isinstance(end, datetime) and end <= now):
        yield Remark(path, f"{name} is over ({state})", "another capacity_reservation")
    elif isinstance(begin, datetime) and begin > now and state != "active":
        yield warning(path, f"{name} begins {begin:%Y-%m-%d %H:%M} UTC; its nodes cannot start before",
                      "create the cluster then")  # fmt: skip
    elif state != "active":
        yield warning(path, f"{name} is {state}", "wait until it is active")
    elif isinstance(end, datetime):
        yield info(path, f"{name} ends {end:%Y-%m-%d %H:%M} UTC; its instances are ended before that",
                   "save checkpoints in time")  # fmt: skip


def scripts(config: Config, cloud: Cloud) -> Iterator[Remark]:
    """A custom action whose script is missing fails the node; pcluster only warns (UrlValidator)."""
    holders: list[tuple[Path, Mapping[str, Any]]] = [(("HeadNode",), config.data["HeadNode"])]
    holders += [((*QUEUES, index), queue) for index, queue in enumerate(config.queues)]
    holders += [(("LoginNodes", "Pools", index), pool) for index, pool in enumerate(config.pools)]
    missing: dict[str, bool] = {}
    for path, holder in holders:
        for event, action in holder.get("CustomActions", {}).items():
            for index, item in enumerate(action.get("Sequence", [action])):
                url = str(item.get("Script", ""))
                if not url.startswith("s3://"):
                    continue
                if url not in missing:
                    missing[url] = not _exists(cloud, url)
                if missing[url]:
                    steps: Path = ("Sequence", index) if "Sequence" in action else ()
                    yield Remark((*path, "CustomActions", event, *steps, "Script"), f"{url} does not exist",
                                 "pcinfra up --only scripts")  # fmt: skip


def _exists(cloud: Cloud, url: str) -> bool:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    try:
        cloud.call("s3", "HeadObject", Bucket=bucket, Key=key)
    except NotFound:
        return False
    return True


def offered(config: Config, cloud: Cloud) -> Iterator[Remark]:
    """Each type is offered in the zone of its subnet. Source: EC2 API, DescribeInstanceTypeOfferings."""
    zones = _zones(config, cloud)
    head = catalog.get(config.data["HeadNode"]["InstanceType"])
    wanted = {name for nodes in config.nodes for name in nodes.types} | ({head.name} if head else set())
    if not wanted:
        return
    filters = [{"Name": "instance-type", "Values": sorted(wanted)}]
    rows = cloud.pages("ec2", "DescribeInstanceTypeOfferings", "InstanceTypeOfferings",
                       LocationType="availability-zone", Filters=filters)  # fmt: skip
    there = {(row["InstanceType"], row["Location"]) for row in rows}
    for nodes in config.nodes:
        zone = zones.get(str(nodes.queue["Networking"]["SubnetIds"][0]), "")
        for name in nodes.types:
            if zone and (name, zone) not in there:
                elsewhere = sorted(place for kind, place in there if kind == name)
                what = f"{name} is not offered in {zone}"
                hint = (
                    f"availability_zone: {elsewhere[0]}, before pcinfra up" if elsewhere else "another type or region"
                )
                yield Remark((*nodes.path, "InstanceType"), what, hint)


def secrets(config: Config, cloud: Cloud) -> Iterator[Remark]:
    """slurmdbd does not start without its password (pcluster, PasswordSecretArnValidator)."""
    database = config.data["Scheduling"].get("SlurmSettings", {}).get("Database", {})
    arn = str(database.get("PasswordSecretArn", ""))
    if not re.match(r"arn:aws[a-z-]*:secretsmanager:", arn):
        return
    try:
        cloud.call("secretsmanager", "DescribeSecret", SecretId=arn)
    except NotFound:
        path = ("Scheduling", "SlurmSettings", "Database", "PasswordSecretArn")
        yield Remark(path, "the secret does not exist", "aws secretsmanager create-secret --name slurm")


RULES = (subnet_room, reservations, scripts, offered, secrets)
