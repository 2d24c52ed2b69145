"""Capacity reservations and Capacity Blocks that a cluster's queues start in: what they must be, and when they are.

Sources: EC2 API reference, CapacityReservation; EC2 user guide, "Capacity Blocks for ML" (instances are terminated
30 minutes before the end); pcluster 3.16.1, ``validators/ec2_validators.py`` (type, zone, platform, size).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import yaml

from pcinfra.clusters.findings import Finding, Level
from pcinfra.engine import Action, Kind, Pending
from pcinfra.errors import CloudError, NotFound, ResourceFailed
from pcinfra.ui import duration

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors

BLOCK = "capacity-block"
ULTRASERVERS = (9, 18)
"""Instances of a p6e-gb200 UltraServer (pcluster, UltraserverCapacityBlockSizeValidator: of the block)."""

EARLY = timedelta(minutes=30)
"""How long before the end of a Capacity Block EC2 begins to terminate its instances."""

_OVER = ("expired", "cancelled", "failed", "payment-failed", "unsupported", "unavailable")
_PLATFORMS = {"rhel": "Red Hat Enterprise Linux"}
_LIST = "aws ec2 describe-capacity-reservations"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A queue's compute resource that starts its nodes in a reservation; ``path`` is its place in the configuration."""

    queue: str
    id: str
    types: tuple[str, ...]
    least: int
    most: int
    block: bool
    path: str = ""

    def at(self, key: str) -> str:
        """Return the place of one key of the compute resource, or of its queue's CapacityType."""
        if key == "CapacityType":
            return f"{self.path.partition('.ComputeResources')[0]}.{key}"
        return f"{self.path}.{key}"


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation as EC2 tells of it. ``end`` None: it goes on until it is cancelled."""

    id: str
    state: str
    kind: str
    instance_type: str
    zone: str
    platform: str
    total: int
    free: int
    begin: datetime | None = None
    end: datetime | None = None

    @property
    def usable_until(self) -> datetime | None:
        """When nodes in it begin to be terminated."""
        return self.end - EARLY if self.end and self.kind == BLOCK else self.end


def wanted_by(config: str) -> list[Wanted]:
    """Return what the queues of a configuration (pcluster YAML) reserve."""
    return wanted_of(yaml.safe_load(config) or {})


def wanted_of(config: Mapping[str, Any]) -> list[Wanted]:
    """Return what the queues of a parsed configuration reserve."""
    queues = (config.get("Scheduling") or {}).get("SlurmQueues") or []
    return [each for index, queue in enumerate(queues) for each in _of_queue(queue, index)]


def _of_queue(queue: Mapping[str, Any], index: int) -> Iterator[Wanted]:
    for place, resource in enumerate(queue.get("ComputeResources") or []):
        target = resource.get("CapacityReservationTarget") or queue.get("CapacityReservationTarget") or {}
        identity = target.get("CapacityReservationId")
        if identity:
            types = [each["InstanceType"] for each in resource.get("Instances") or []] or [resource.get("InstanceType")]
            yield Wanted(
                queue["Name"], identity, tuple(filter(None, types)), int(resource.get("MinCount") or 0),
                int(resource.get("MaxCount") or 10), queue.get("CapacityType") == "CAPACITY_BLOCK",
                f"Scheduling.SlurmQueues[{index}].ComputeResources[{place}]",
            )  # fmt: skip


def read(cloud: Cloud, ids: Iterable[str]) -> dict[str, Reservation]:
    """Return the reservations of ``ids`` that exist, by id; no call when there are none."""
    found: dict[str, Reservation] = {}
    for identity in sorted(set(ids)):
        try:
            answer = cloud.call("ec2", "DescribeCapacityReservations", CapacityReservationIds=[identity])
        except CloudError as error:
            if isinstance(error, NotFound) or error.code.startswith("InvalidCapacityReservationId"):
                continue
            raise
        found |= {row["CapacityReservationId"]: _reservation(row) for row in answer["CapacityReservations"]}
    return found


def _reservation(row: Mapping[str, Any]) -> Reservation:
    return Reservation(
        id=row["CapacityReservationId"],
        state=row["State"],
        kind=row.get("ReservationType") or "default",
        instance_type=row["InstanceType"],
        zone=row.get("AvailabilityZone", ""),
        platform=row.get("InstancePlatform", "Linux/UNIX"),
        total=int(row.get("TotalInstanceCount", 0)),
        free=int(row.get("AvailableInstanceCount", 0)),
        begin=row.get("StartDate"),
        end=row.get("EndDate"),
    )


def check(
    wanted: Sequence[Wanted], found: Mapping[str, Reservation], *, zone: str, system: str, now: datetime
) -> list[Finding]:
    """Return what is wrong with the reservations for a cluster in ``zone`` with the operating system ``system``.

    One that has only not begun is not wrong: see :func:`begins`.
    """
    findings = [finding for each in wanted for finding in _check_one(each, found.get(each.id), zone, system, now)]
    together: dict[str, list[Wanted]] = defaultdict(list)
    for each in wanted:
        together[each.id].append(each)
    return findings + [f for one, users in together.items() if one in found for f in _check_size(users, found[one])]


def _check_size(users: Sequence[Wanted], held: Reservation) -> Iterator[Finding]:
    """pcluster, CapacityReservationSizeValidator: for blocks and open reservations alike, by max_nodes."""
    count = sum(each.most for each in users)
    where = users[-1].at("MaxCount")
    if count > held.total:
        queues = ", ".join(each.queue for each in users)
        what = f"{held.id} has {held.total} instances; its queues ({queues}) start up to {count}"
        yield Finding(Level.ERROR, "reservation", where, what, f"max_nodes: {held.total} at most")
    if held.kind == BLOCK and held.instance_type.startswith("p6e-gb200") and held.total not in ULTRASERVERS:
        what = f"{held.id} has {held.total} instances; an UltraServer has {' or '.join(map(str, ULTRASERVERS))}"
        yield Finding(Level.ERROR, "reservation", users[-1].at("CapacityReservationTarget"), what, "another block")


def _check_one(wanted: Wanted, held: Reservation | None, zone: str, system: str, now: datetime) -> Iterator[Finding]:
    def wrong(what: str, hint: str, key: str = "CapacityReservationTarget") -> Finding:
        return Finding(Level.ERROR, "reservation", wanted.at(key), what, hint)

    if held is None:
        yield wrong(f"{wanted.id} does not exist in this account and region", _LIST)
        return
    if held.state in _OVER or (held.end and held.end <= now):
        when = f" since {moment(held.end)}" if held.end else ""
        yield wrong(f"{held.id} is {held.state}{when}: it is over", "another capacity_reservation in pcinfra.yaml")
    if held.instance_type not in wanted.types:
        yield wrong(f"{held.id} is for {held.instance_type}, the queue wants {' or '.join(wanted.types)}",
                    f"instance_type: {held.instance_type}", "InstanceType")  # fmt: skip
    if zone and held.zone and held.zone != zone:
        yield wrong(f"{held.id} is in {held.zone}, the cluster's subnet in {zone}", f"availability_zone: {held.zone}")
    if wanted.block != (held.kind == BLOCK):
        kind = "CAPACITY_BLOCK" if held.kind == BLOCK else "ONDEMAND"
        yield wrong(f"{held.id} is {'a' if held.kind == BLOCK else 'no'} Capacity Block", f"capacity_type: {kind}",
                    "CapacityType")  # fmt: skip
    platform = next((name for start, name in _PLATFORMS.items() if system.startswith(start)), "Linux/UNIX")
    if held.platform != platform:
        yield wrong(f"{held.id} is for the platform {held.platform}; {system} needs {platform}", _LIST)


def begins(found: Iterable[Reservation], now: datetime) -> Reservation | None:
    """Return the reservation that begins last, if one has not begun yet."""
    later = [each for each in found if each.state != "active" and each.state not in _OVER]
    later += [each for each in found if each.state == "active" and each.begin and each.begin > now]
    return max(later, key=lambda each: each.begin or now, default=None)


@dataclass(frozen=True, slots=True)
class ReservationProbe:
    """Reads reservations by id."""

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, Reservation]:
        return read(doors.cloud, keys)


@dataclass(frozen=True, slots=True)
class AwaitReservation:
    """Waits until a reservation is active; the result is the Reservation."""

    id: str

    def start(self, context: Doors, results: Mapping[str, Any]) -> Pending:
        return Pending(ReservationProbe(), self.id, until_active(self.id), _progress)


def until_active(identity: str) -> Callable[[Reservation | None], tuple[Reservation] | None]:
    """Return the judge of a reservation that is to begin."""

    def judge(state: Reservation | None) -> tuple[Reservation] | None:
        if state is None or state.state in _OVER:
            said = state.state if state else "gone"
            raise ResourceFailed(f"is {said}, and will not begin", where=f"reservation {identity}", hint=_LIST)
        return (state,) if state.state == "active" else None

    return judge


def _progress(state: Reservation | None) -> str:
    return f"begins {moment(state.begin)}" if state and state.begin else ""


def awaiting(name: str, held: Reservation, now: datetime) -> Action:
    """Return the Action of cluster ``name`` that waits until ``held`` begins."""
    seconds = (held.begin - now).total_seconds() if held.begin else 0.0
    why = f"it begins {moment(held.begin)}" if held.begin else f"it is {held.state}"
    what = f"wait for the reservation {held.id}"
    return Action(
        f"cluster/{name}/reservation", Kind.RUN, what, why, AwaitReservation(held.id), seconds=max(seconds, 1.0)
    )


def moment(time: datetime | None) -> str:
    """Return ``2026-11-25 11:30 UTC``; empty for None."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time else ""


def ending(held: Reservation, now: datetime) -> str:
    """Return when nodes in ``held`` end, in words; empty when nobody has set an end."""
    last = held.usable_until
    if last is None:
        return ""
    left = (last - now).total_seconds()
    if left <= 0:
        return f"{held.id} is over since {moment(held.end)}"
    said = f"nodes in {held.id} are terminated from {moment(last)} on, in {duration(left)}"
    return f"{said}: save checkpoints" if left < 24 * 3600 else said
