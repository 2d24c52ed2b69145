"""What only the account can tell. Everything here reads; nothing is made."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pcinfra import catalog
from pcinfra.clusters import reservations
from pcinfra.clusters.findings import path_of
from pcinfra.clusters.overrides import Path
from pcinfra.clusters.rules.model import QUEUES, Config, Nodes, Remark, info, warning
from pcinfra.errors import NotFound
from pcinfra.project.hooks import FOLDER

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


def reserved(config: Config, cloud: Cloud) -> Iterator[Remark]:
    """Each reservation exists, is of the queue's type and zone, for Linux, large enough, and not over.

    Sources: :mod:`pcinfra.clusters.reservations`, which ``cluster create`` asks too.
    """
    wanted = reservations.wanted_of(config.data)
    if not wanted:
        return
    now = datetime.now(UTC)
    found = reservations.read(cloud, (each.id for each in wanted))
    zone = next(iter(_zones(config, cloud).values()), "")
    system = str(config.data["Image"]["Os"])
    for finding in reservations.check(wanted, found, zone=zone, system=system, now=now):
        yield Remark(path_of(finding.where), finding.what, finding.hint, finding.level)
    for each in wanted:
        held = found.get(each.id)
        path = path_of(each.at("CapacityReservationTarget"))
        if held and reservations.begins([held], now):
            when = reservations.moment(held.begin) or "later"
            hint = f"pcinfra cluster create {config.name} --wait"
            yield warning(path, f"{held.id} is {held.state} and begins {when}", hint)
        elif held and (ends := reservations.ending(held, now)):
            yield info(path, ends, "save checkpoints in time")


def _zones(config: Config, cloud: Cloud) -> Mapping[str, str]:
    ids = sorted({str(queue["Networking"]["SubnetIds"][0]) for queue in config.queues})
    return {row["SubnetId"]: row["AvailabilityZone"] for row in _subnets(cloud, ids)}


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
    """Neither slurmdbd nor sssd starts without its password (pcluster, PasswordSecretArnValidator)."""
    holders: tuple[tuple[Path, str], ...] = (
        (("Scheduling", "SlurmSettings", "Database"), "slurm"), (("DirectoryService",), "directory"),
    )  # fmt: skip
    for path, name in holders:
        holder: Mapping[str, Any] = config.data
        for step in path:
            holder = holder.get(str(step), {})
        arn = str(holder.get("PasswordSecretArn", ""))
        if not re.match(r"arn:aws[a-z-]*:secretsmanager:", arn):
            continue
        try:
            cloud.call("secretsmanager", "DescribeSecret", SecretId=arn)
        except NotFound:
            hint = f"aws secretsmanager create-secret --name {name}"
            yield Remark((*path, "PasswordSecretArn"), "the secret does not exist", hint)


def hooks(config: Config, cloud: Cloud) -> Iterator[Remark]:
    """Ours: a program that the head node's script is to install is there to be fetched."""
    action = config.data["HeadNode"].get("CustomActions", {}).get("OnNodeConfigured", {})
    arguments = [str(argument) for argument in action.get("Args", ())]
    for index, (name, url) in enumerate(pairwise(arguments), 1):
        if name in ("--prolog", "--epilog") and url.startswith("s3://") and not _exists(cloud, url):
            path = ("HeadNode", "CustomActions", "OnNodeConfigured", "Args", index)
            hint = "pcinfra up --only scripts" if f"/{FOLDER}" in url else f"aws s3 cp FILE {url}"
            yield Remark(path, f"{url} does not exist", hint)


RULES = (subnet_room, reserved, scripts, offered, secrets, hooks)
