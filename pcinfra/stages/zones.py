"""Which availability zones ``auto`` stands for: those that offer what the clusters and FSx need, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.errors import NotFound, Refused
from pcinfra.stacks import regions

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.project import Project

NO_LUSTRE = {"use1-az3": "FSx for Lustre"}
"""Zones, by id, that lack a file system. Source: aws-parallelcluster pull request 2217, which keeps its tests away from
it. No API lists them; FSx refuses a subnet in such a zone."""


@dataclass(frozen=True, slots=True)
class Zones:
    """The zone of everything, the second one (empty: there is none), and the reasons, for the plan."""

    first: str
    second: str = ""
    notes: tuple[str, ...] = ()


def standing(project: Project, cloud: Cloud, parameters: Mapping[str, str]) -> Zones:
    """Return the zones of a stack that there is; the project's own where it names them.

    Raises:
        Refused: the project wants a second zone now, and the region has none.
    """
    first, second = (parameters.get(name, "") for name in ("PrimarySubnetAZ", "SecondarySubnetAZ"))
    first = _named(project.availability_zone) or first
    second = _named(project.secondary_availability_zone) or second
    if project.two_zones and second in ("", first):
        second = _Offers.read(project, cloud).other(project, first)
    return Zones(first, second)


def choose(project: Project, cloud: Cloud) -> Zones:
    """Return the zones to use: the project's own, or the first that offer what every cluster needs.

    Raises:
        Refused: no zone offers all of it (says which type is offered where), or a capacity reservation is elsewhere.
        NotFound: a capacity reservation is not in this account and region.
    """
    reserved = _reservations(project, cloud)
    first, second = _named(project.availability_zone), _named(project.secondary_availability_zone)
    for reservation in reserved:
        if first and reservation.zone != first:
            raise Refused(
                f"{reservation.id} is in {reservation.zone}, not in {first}", where=reservation.where,
                hint=f"availability_zone: {reservation.zone}",
            )  # fmt: skip
    notes = [_openzfs_note(project)]
    offered = _Offers.read(project, cloud) if not first or (project.two_zones and not second) else None
    if offered and not first:
        first = offered.first(project, second, reserved)
        notes.insert(0, f"availability_zone: {first}, because {offered.reason(first, reserved)}")
    if offered and project.two_zones and not second:
        second = offered.other(project, first)
        what = "the accounting database" if project.has_database else "OpenZFS MULTI_AZ_1"
        notes.append(f"secondary_availability_zone: {second}, because {what} stands in two zones")
    return Zones(first, second if project.two_zones else "", tuple(note for note in notes if note))


def instance_types(project: Project) -> set[str]:
    """Return every instance type that the project's clusters use."""
    types: set[str] = set()
    for cluster in project.clusters.values():
        types.update(cluster.instance_types)
    return types


def _named(zone: str) -> str:
    return "" if zone == "auto" else zone


def _openzfs_note(project: Project) -> str:
    """Return why ``auto`` is what it is; or a doubt, where the region may not have what was chosen."""
    wanted, made = project.prerequisites.openzfs.deployment_type, project.openzfs_deployment_type
    if wanted == "auto":
        return f"openzfs.deployment_type: {made}, because {project.region} has it ({regions.SOURCE})"
    if regions.openzfs_known(project.region, made):
        return ""
    best = regions.openzfs_choices(project.region)[0]
    return (
        f"openzfs.deployment_type: {made} was not in {project.region} ({regions.SOURCE}); if FSx refuses it, "
        f"write {best}"
    )


# --- what is offered where ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Offers:
    """Which of the wanted instance types each zone of the region offers, and what else it lacks."""

    wanted: frozenset[str]
    types: Mapping[str, frozenset[str]]
    lacks: Mapping[str, str]

    @classmethod
    def read(cls, project: Project, cloud: Cloud) -> _Offers:
        """Ask EC2. Local Zones and Wavelength Zones are left out: FSx is in neither."""
        wanted = frozenset(instance_types(project))
        filters = [{"Name": "zone-type", "Values": ["availability-zone"]}, {"Name": "state", "Values": ["available"]}]
        rows = cloud.call("ec2", "DescribeAvailabilityZones", Filters=filters)["AvailabilityZones"]
        lacks = {row["ZoneName"]: NO_LUSTRE.get(row.get("ZoneId", ""), "") for row in rows}
        offered: dict[str, set[str]] = {name: set() for name in lacks}
        for offer in _offers(cloud, wanted) if wanted else ():
            offered.setdefault(offer["Location"], set()).add(offer["InstanceType"])
        return cls(wanted, {zone: frozenset(offered[zone]) for zone in lacks}, lacks)

    def first(self, project: Project, other: str, reserved: tuple[_Reservation, ...]) -> str:
        """Return the first zone, by name, that offers everything and is not ``other``."""
        zones = [zone for zone in sorted(self.types) if self._fits(zone) and zone != other]
        if reserved:
            return self._reserved(reserved[0], other)
        if zones:
            return zones[0]
        raise Refused(
            f"no zone of {project.region} offers every instance type: {self._where()}", where="availability_zone",
            hint="another region, or other instance types, in pcinfra.yaml",
        )  # fmt: skip

    def other(self, project: Project, first: str) -> str:
        """Return a second zone; only file systems stand in it, so that no instance type matters."""
        zones = [zone for zone in sorted(self.types) if zone != first and not self.lacks[zone]]
        if zones:
            return zones[0]
        raise Refused(
            f"{project.region} has no second zone besides {first}", where="secondary_availability_zone",
            hint="openzfs.deployment_type: SINGLE_AZ_1 and no accounting.managed, or another region, in pcinfra.yaml",
        )  # fmt: skip

    def reason(self, zone: str, reserved: tuple[_Reservation, ...]) -> str:
        """Return why ``zone`` was taken."""
        what = f"it offers {_and(sorted(self.wanted))}" if self.wanted else "it is the first one"
        return f"{_and([r.id for r in reserved])} is there" if reserved else what

    def _fits(self, zone: str) -> bool:
        return self.types[zone] >= self.wanted and not self.lacks[zone]

    def _reserved(self, reservation: _Reservation, other: str) -> str:
        """Return the reservation's zone, if the other instance types are there too."""
        zone = reservation.zone
        missing = sorted(self.wanted - self.types.get(zone, frozenset()) - {reservation.instance_type})
        lacks = [*missing, *filter(None, (self.lacks.get(zone, ""),))]
        if lacks:
            raise Refused(
                f"{reservation.id} is in {zone}, which does not offer {_and(lacks)}: {self._where()}",
                where=reservation.where, hint="another reservation, or other instance types, in pcinfra.yaml",
            )  # fmt: skip
        if zone == other:
            raise Refused(
                f"{reservation.id} is in {zone}, which is the second zone", where=reservation.where,
                hint="secondary_availability_zone: auto",
            )  # fmt: skip
        return zone

    def _where(self) -> str:
        lines = [
            f"{kind}: {', '.join(sorted(zone for zone, types in self.types.items() if kind in types)) or 'nowhere'}"
            for kind in sorted(self.wanted)
        ]
        lines += [f"{zone} lacks {what}" for zone, what in self.lacks.items() if what]
        return "; ".join(lines)


def _offers(cloud: Cloud, wanted: frozenset[str]) -> list[dict[str, Any]]:
    return cloud.pages(
        "ec2", "DescribeInstanceTypeOfferings", "InstanceTypeOfferings", LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": sorted(wanted)}],
    )  # fmt: skip


# --- capacity reservations ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reservation:
    """A capacity reservation that a queue names (``where``)."""

    id: str
    where: str
    zone: str
    instance_type: str


def _reservations(project: Project, cloud: Cloud) -> tuple[_Reservation, ...]:
    """Return every capacity reservation of the project; all are in one zone, with the types of their queues."""
    queues = {
        f"clusters.{name}.queues[{index}].capacity_reservation": queue
        for name, cluster in project.clusters.items()
        for index, queue in enumerate(cluster.queues)
        if queue.capacity_reservation
    }
    found = {}
    for where, queue in queues.items():
        wanted = str(queue.capacity_reservation)
        found[where] = _reservation(project, cloud, wanted, where)
        if found[where].instance_type != queue.instance_type:
            raise Refused(
                f"{wanted} is for {found[where].instance_type}, not for {queue.instance_type}", where=where,
                hint=f"instance_type: {found[where].instance_type}",
            )  # fmt: skip
    zones = {reservation.zone: reservation for reservation in found.values()}
    if len(zones) > 1:
        places = "; ".join(f"{reservation.id} in {zone}" for zone, reservation in zones.items())
        raise Refused(
            f"the capacity reservations are in several zones: {places}", where="clusters",
            hint="one project for each zone: Lustre and EFA stay inside one",
        )  # fmt: skip
    return tuple(found.values())


def _reservation(project: Project, cloud: Cloud, wanted: str, where: str) -> _Reservation:
    """Source: EC2 API reference, DescribeCapacityReservations: State is active, or scheduled before a block starts."""
    hint = f"see what there is: aws ec2 describe-capacity-reservations --region {project.region}"
    filters = [{"Name": "state", "Values": ["active", "scheduled", "pending", "assessing"]}]
    rows = cloud.pages("ec2", "DescribeCapacityReservations", "CapacityReservations", Filters=filters)
    row = next((row for row in rows if row["CapacityReservationId"] == wanted), None)
    if row is None:
        raise NotFound(f"{wanted} is not an active reservation in {project.region}", where=where, hint=hint)
    return _Reservation(wanted, where, row["AvailabilityZone"], row["InstanceType"])


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
