"""Whether there are machines: where instance types are offered, and what the project has reserved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pcinfra.clusters import reservations as held_by
from pcinfra.doctor.model import Line, failure, ok, warning
from pcinfra.stages.zones import instance_types

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Cluster, Project

SOON = timedelta(hours=24)


def offerings(project: Project, doors: Doors) -> Iterator[Line]:
    """Every type in every zone, and whether one zone has them all."""
    wanted = sorted(instance_types(project))
    if not wanted:
        return
    answer = doors.cloud.pages(
        "ec2", "DescribeInstanceTypeOfferings", "InstanceTypeOfferings", LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": wanted}],
    )  # fmt: skip
    zones: dict[str, set[str]] = defaultdict(set)
    for offer in answer:
        zones[offer["InstanceType"]].add(offer["Location"])
    for name in wanted:
        if zones[name]:
            yield ok(f"offers of {name}", ", ".join(sorted(zones[name])))
        else:
            fix = "another region, or another instance_type, in pcinfra.yaml"
            yield failure(f"offers of {name}", f"nowhere in {project.region}", fix)
    if all(zones[name] for name in wanted):
        yield _together(project, set.intersection(*(zones[name] for name in wanted)))


def _together(project: Project, shared: set[str]) -> Line:
    what, zone, all_of_them = "availability zone", project.availability_zone, ", ".join(sorted(shared))
    if not shared:
        return failure(what, "no zone offers every instance type", "other instance types, or another region")
    if zone == "auto":
        return ok(what, f"auto; every instance type: {all_of_them}")
    if zone in shared:
        return ok(what, f"{zone} offers every instance type")
    return failure(what, f"{zone} does not offer every instance type", f"availability_zone: one of {all_of_them}")


def reservations(project: Project, doors: Doors) -> Iterator[Line]:
    """The capacity reservations and capacity blocks that queues name, as ``cluster create`` judges them."""
    wanted = {name: _wanted(cluster) for name, cluster in project.clusters.items()}
    found = held_by.read(doors.cloud, (each.id for several in wanted.values() for each in several))
    zone, now = project.availability_zone.replace("auto", ""), datetime.now(UTC)
    for name, several in wanted.items():
        by_id: dict[str, list[held_by.Wanted]] = defaultdict(list)
        for each in several:
            by_id[each.id].append(each)
        for one, users in by_id.items():
            where = f"{name}, queue {', '.join(each.queue for each in users)}"
            wrong = held_by.check(users, found, zone=zone, system=project.clusters[name].os, now=now)
            if wrong:
                yield from (failure(f"reservation {one}", f"{each.what} ({where})", each.hint) for each in wrong)
            else:
                yield _standing(found[one], where, now)


def _wanted(cluster: Cluster) -> list[held_by.Wanted]:
    return [
        held_by.Wanted(
            queue.name, queue.capacity_reservation, queue.instance_types, queue.min_nodes, queue.max_nodes,
            queue.capacity_type == "CAPACITY_BLOCK",
        )
        for queue in cluster.queues
        if queue.capacity_reservation
    ]  # fmt: skip


def _standing(held: held_by.Reservation, where: str, now: datetime) -> Line:
    what = f"reservation {held.id}"
    span = f", from {held_by.moment(held.begin)}" if held.begin else ""
    span += f" to {held_by.moment(held.end)}" if span and held.end else ""
    said = f"{held.state}, {held.free} of {held.total} {held.instance_type} free in {held.zone}{span} ({where})"
    if held_by.begins([held], now):
        return warning(what, said, "wait for its start, then pcinfra cluster create")
    if held.usable_until and held.usable_until - now < SOON:
        return warning(what, f"{said}; it ends soon", "save checkpoints before its end; instances are ended with it")
    return ok(what, said)
