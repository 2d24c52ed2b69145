"""Whether there are machines: where instance types are offered, and what the project has reserved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pcinfra.doctor.model import Line, failure, ok, warning
from pcinfra.errors import CloudError, NotFound
from pcinfra.stages.zones import instance_types

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Project, Queue

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
    """The capacity reservations and capacity blocks that queues name."""
    for name, cluster in project.clusters.items():
        for queue in cluster.queues:
            if queue.capacity_reservation:
                yield _reservation(f"{name}, queue {queue.name}", queue, project, doors)


def _reservation(where: str, queue: Queue, project: Project, doors: Doors) -> Line:
    what = f"reservation {queue.capacity_reservation}"
    try:
        answer = doors.cloud.call(
            "ec2", "DescribeCapacityReservations", CapacityReservationIds=[queue.capacity_reservation]
        )
    except CloudError as error:
        if isinstance(error, NotFound) or error.code.startswith("InvalidCapacityReservationId"):
            return failure(what, f"does not exist in {project.region} ({where})", f"{_LIST} {project.region}")
        raise
    return _judge(what, where, queue, project, answer["CapacityReservations"][0], datetime.now(UTC))


_LIST = "aws ec2 describe-capacity-reservations --region"


def _judge(what: str, where: str, queue: Queue, project: Project, found: Mapping[str, Any], now: datetime) -> Line:
    """Judge a CapacityReservation (EC2 API reference: State, StartDate, EndDate, TotalInstanceCount, ...)."""
    state, kind, zone = found["State"], found["InstanceType"], found.get("AvailabilityZone", "")
    total, free = int(found.get("TotalInstanceCount", 0)), int(found.get("AvailableInstanceCount", 0))
    said = f"{state}, {free} of {total} {kind} free in {zone}{_span(found)} ({where})"
    if kind != queue.instance_type:
        return failure(
            what, f"is for {kind}; the queue wants {queue.instance_type} ({where})", f"instance_type: {kind}"
        )
    if project.availability_zone not in ("auto", zone):
        return failure(
            what, f"is in {zone}; the project is in {project.availability_zone}", f"availability_zone: {zone}"
        )
    if state in ("expired", "cancelled", "failed", "payment-failed", "unsupported"):
        return failure(what, said, "another capacity_reservation in pcinfra.yaml")
    if state != "active":
        return warning(what, said, "wait for its start, then pcinfra cluster create")
    if total < queue.max_nodes:
        return warning(what, f"{said}; the queue wants up to {queue.max_nodes}", f"max_nodes: {total}")
    end = found.get("EndDate")
    if isinstance(end, datetime) and end - now < SOON:
        return warning(what, f"{said}; it ends soon", "save checkpoints before its end; instances are ended with it")
    return ok(what, said)


def _span(found: Mapping[str, Any]) -> str:
    begin, end = found.get("StartDate"), found.get("EndDate")
    return (
        f", from {_moment(begin)} to {_moment(end)}" if begin and end else f", from {_moment(begin)}" if begin else ""
    )


def _moment(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC" if isinstance(time, datetime) else str(time)
