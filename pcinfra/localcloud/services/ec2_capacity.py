"""Placement groups and capacity reservations, which moto has not got.

Source of the rules: EC2 API reference, CreatePlacementGroup, CreateCapacityReservation,
DescribeCapacityBlockOfferings and PurchaseCapacityBlock, and the error codes of EC2.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response

from pcinfra.localcloud import ACCOUNT
from pcinfra.localcloud.services.patching import put

STRATEGIES = ("cluster", "spread", "partition")

BLOCK_HOURS = {*range(24, 15 * 24, 24), *range(21 * 24, 183 * 24, 7 * 24)}
"""Lengths of a Capacity Block: steps of a day up to 14 days, steps of 7 days up to 182 (EC2 user guide)."""

MAX_BLOCK_INSTANCES = 64


def install() -> None:
    """Add the operations to moto's EC2."""
    for operation in (
        create_placement_group,
        describe_placement_groups,
        delete_placement_group,
        create_capacity_reservation,
        describe_capacity_reservations,
        cancel_capacity_reservation,
        describe_capacity_block_offerings,
        purchase_capacity_block,
    ):
        put(EC2Response, **{operation.__name__: operation})


def create_placement_group(self: Any) -> ActionResult:
    name, strategy = self._get_param("GroupName"), self._get_param("Strategy", "cluster")
    self.error_on_dryrun()
    if strategy not in STRATEGIES:
        raise _refused("InvalidParameterValue", f"Value ({strategy}) for parameter strategy is invalid.")
    if name in _groups(self):
        raise _refused("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
    group = {
        "GroupName": name,
        "State": "available",
        "Strategy": strategy,
        "GroupId": _new_id("pg"),
        "GroupArn": f"arn:aws:ec2:{self.region}:{self.current_account}:placement-group/{name}",
        "Tags": _tags(self, "placement-group"),
    }
    _groups(self)[name] = group
    return ActionResult({"PlacementGroup": group})


def describe_placement_groups(self: Any) -> ActionResult:
    groups, names, ids = _groups(self), self._get_param("GroupNames", []), self._get_param("GroupIds", [])
    for name in names:
        if name not in groups:
            raise _unknown_group(name)
    found = [groups[name] for name in names] if names else list(groups.values())
    return ActionResult({"PlacementGroups": [g for g in found if not ids or g["GroupId"] in ids]})


def delete_placement_group(self: Any) -> ActionResult:
    """ "You must terminate all instances in the placement group before you can delete" it (DeletePlacementGroup)."""
    name = self._get_param("GroupName")
    self.error_on_dryrun()
    if name not in _groups(self):
        raise _unknown_group(name)
    del _groups(self)[name]
    return ActionResult({})


def create_capacity_reservation(self: Any) -> ActionResult:
    self.error_on_dryrun()
    zone = self._get_param("AvailabilityZone")
    reservation = _reservation(
        self,
        instance_type=self._get_param("InstanceType"),
        platform=self._get_param("InstancePlatform"),
        zone=zone,
        count=int(self._get_param("InstanceCount")),
        kind="default",
        hours=None,
    )
    return ActionResult({"CapacityReservation": reservation})


def describe_capacity_reservations(self: Any) -> ActionResult:
    held, ids = _reservations(self), self._get_param("CapacityReservationIds", [])
    for missing in [i for i in ids if i not in held]:
        raise _unknown_reservation(missing)
    found = [held[i] for i in ids] if ids else list(held.values())
    for wanted in self._get_param("Filters", []):
        key = "".join(part.capitalize() for part in wanted["Name"].split("-"))
        found = [r for r in found if str(r.get(key)) in wanted["Values"]]
    return ActionResult({"CapacityReservations": [_with_available(self, each) for each in found]})


def _with_available(self: Any, held: dict[str, Any]) -> dict[str, Any]:
    from pcinfra.localcloud.services.ec2_supply import used

    free = held["TotalInstanceCount"] - used(self.ec2_backend, held["CapacityReservationId"])
    return {**held, "AvailableInstanceCount": free}


def cancel_capacity_reservation(self: Any) -> ActionResult:
    """A Capacity Block cannot be cancelled (EC2 user guide, Capacity Blocks for ML)."""
    wanted = self._get_param("CapacityReservationId")
    self.error_on_dryrun()
    if wanted not in _reservations(self):
        raise _unknown_reservation(wanted)
    if _reservations(self)[wanted]["ReservationType"] == "capacity-block":
        raise _refused("OperationNotPermitted", "You cannot cancel a Capacity Block.")
    _reservations(self)[wanted]["State"] = "cancelled"
    return ActionResult({"Return": True})


def describe_capacity_block_offerings(self: Any) -> ActionResult:
    hours, count = int(self._get_param("CapacityDurationHours")), int(self._get_param("InstanceCount", 1))
    if hours not in BLOCK_HOURS:
        raise _refused("InvalidParameterValue", f"Value ({hours}) for parameter capacityDurationHours is invalid.")
    if not 1 <= count <= MAX_BLOCK_INSTANCES:
        raise _refused("InvalidParameterValue", f"Value ({count}) for parameter instanceCount is invalid.")
    begin = datetime.now(UTC).replace(minute=30, second=0, microsecond=0) + timedelta(hours=1)
    offering = {
        "CapacityBlockOfferingId": _offering_id(self._get_param("InstanceType"), count, hours),
        "InstanceType": self._get_param("InstanceType"),
        "AvailabilityZone": f"{self.region}a",
        "InstanceCount": count,
        "StartDate": begin,
        "EndDate": begin + timedelta(hours=hours),
        "CapacityBlockDurationHours": hours,
        "UpfrontFee": "0.00",
        "CurrencyCode": "USD",
        "Tenancy": "default",
    }
    return ActionResult({"CapacityBlockOfferings": [offering]})


def purchase_capacity_block(self: Any) -> ActionResult:
    """The block is active at once: nobody waits for its start on a laptop."""
    self.error_on_dryrun()
    offer = re.fullmatch(r"cb-(\d+)-(\d+)-(.+)-[0-9a-f]+", self._get_param("CapacityBlockOfferingId"))
    if not offer:
        raise _refused("InvalidCapacityBlockOfferingId.NotFound", "The Capacity Block offering does not exist.")
    reservation = _reservation(
        self,
        instance_type=offer[3],
        platform=self._get_param("InstancePlatform"),
        zone=f"{self.region}a",
        count=int(offer[1]),
        kind="capacity-block",
        hours=int(offer[2]),
    )
    return ActionResult({"CapacityReservation": reservation})


def _reservation(
    self: Any, *, instance_type: str, platform: str, zone: str, count: int, kind: str, hours: int | None
) -> dict[str, Any]:
    now, wanted = datetime.now(UTC), _new_id("cr")
    made = {
        "CapacityReservationId": wanted,
        "OwnerId": self.current_account,
        "CapacityReservationArn": f"arn:aws:ec2:{self.region}:{self.current_account}:capacity-reservation/{wanted}",
        "InstanceType": instance_type,
        "InstancePlatform": platform,
        "AvailabilityZone": zone,
        "Tenancy": "default",
        "TotalInstanceCount": count,
        "AvailableInstanceCount": count,
        "EbsOptimized": True,
        "EphemeralStorage": False,
        "State": "active",
        "StartDate": now,
        "EndDateType": "limited" if hours else "unlimited",
        "InstanceMatchCriteria": "targeted" if hours else self._get_param("InstanceMatchCriteria", "open"),
        "CreateDate": now,
        "ReservationType": kind,
        "Tags": _tags(self, "capacity-reservation"),
    }
    if hours:
        made["EndDate"] = now + timedelta(hours=hours)
    _reservations(self)[wanted] = made
    return made


def _groups(self: Any) -> dict[str, dict[str, Any]]:
    return self.ec2_backend.__dict__.setdefault("pcinfra_placement_groups", {})  # type: ignore[no-any-return]


def _reservations(self: Any) -> dict[str, dict[str, Any]]:
    return reservations(self.ec2_backend)


def reservations(backend: Any) -> dict[str, dict[str, Any]]:
    """Return the capacity reservations of a region of EC2 by id."""
    return backend.__dict__.setdefault("pcinfra_reservations", {})  # type: ignore[no-any-return]


def everywhere() -> list[dict[str, dict[str, Any]]]:
    """Return the capacity reservations of every region."""
    return [reservations(backend) for backend in ec2_backends[ACCOUNT].values()]


def _tags(self: Any, kind: str) -> list[dict[str, str]]:
    specifications = self._get_param("TagSpecifications", []) or self._get_param("TagSpecification", [])
    return [tag for spec in specifications if spec.get("ResourceType") == kind for tag in spec.get("Tags", [])]


def _offering_id(instance_type: str, count: int, hours: int) -> str:
    return f"cb-{count}-{hours}-{instance_type}-{secrets.token_hex(4)}"


def _new_id(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


def _refused(code: str, message: str) -> Exception:
    error: Exception = EC2ClientError(code, message)
    return error


def _unknown_group(name: str) -> Exception:
    return _refused("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")


def _unknown_reservation(wanted: str) -> Exception:
    return _refused("InvalidCapacityReservationId.NotFound", f"The capacity reservation '{wanted}' does not exist")
