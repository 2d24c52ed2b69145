"""How many instances EC2 has to give: as many as one likes, unless somebody limits it; of a reservation, what is in it.

Source: EC2 API reference, "Error codes": InsufficientInstanceCapacity, ReservationCapacityExceeded; RunInstances
("launches at least MinCount instances, or none"); user guide, "Capacity Reservations".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import InstanceBackend

from pcinfra.localcloud import ACCOUNT
from pcinfra.localcloud.services.ec2_capacity import reservations
from pcinfra.localcloud.services.patching import put

_GONE = ("terminated", "shutting-down", "stopped")
_MARKETS = ("spot", "capacity-block")


def install() -> None:
    """Make RunInstances refuse what there is not."""
    run = InstanceBackend.run_instances

    def run_if_there_are(self: Any, image_id: str, count: int, *args: Any, **kwargs: Any) -> Any:
        template = kwargs.get("launch_template")
        data = self._get_template_from_args(template).data if template else {}
        kind = str(data.get("InstanceType", "") if kwargs.get("is_instance_type_default") else kwargs["instance_type"])
        reservation = _reservation(data)
        _check_supply(self, kind or kwargs["instance_type"], count)
        _check_reservation(self, reservation, kind, count)
        made = run(self, image_id, count, *args, **kwargs)
        market = (data.get("InstanceMarketOptions") or {}).get("MarketType")
        for instance in made.instances:
            instance.__dict__["capacity_reservation_id"] = reservation or None
            _tag(instance, data)
            instance.lifecycle = market if market in _MARKETS else instance.lifecycle
        return made

    put(InstanceBackend, run_instances=run_if_there_are)


def _tag(instance: Any, template: dict[str, Any]) -> None:
    """User guide, "Launch templates": instances get the template's tags; those of the request win."""
    given = {tag["key"] for tag in instance.get_tags()}
    specifications = template.get("TagSpecifications") or []
    tags = [tag for each in specifications if each.get("ResourceType") == "instance" for tag in each.get("Tags") or []]
    instance.add_tags({tag["Key"]: tag["Value"] for tag in tags if tag["Key"] not in given})


def limits() -> dict[str, int]:
    """Return how many instances of a type there are in every region, for the types that are limited. Mutable."""
    backend = ec2_backends[ACCOUNT]["us-east-1"]
    return backend.__dict__.setdefault("pcinfra_supply", {})  # type: ignore[no-any-return]


def used(backend: Any, reservation: str) -> int:
    """Return how many instances run in a capacity reservation."""
    return sum(getattr(each, "capacity_reservation_id", None) == reservation for each in _live(backend))


def _reservation(data: dict[str, Any]) -> str:
    target = (data.get("CapacityReservationSpecification") or {}).get("CapacityReservationTarget") or {}
    return str(target.get("CapacityReservationId") or "")


def _check_supply(backend: Any, kind: str, count: int) -> None:
    limit = limits().get(kind)
    if limit is None:
        return
    running = sum(each.instance_type == kind for each in _live(backend))
    if running + count > limit:
        message = (
            f"We currently do not have sufficient {kind} capacity in the Availability Zone you requested "
            f"({backend.region_name}a). Our system will be working on provisioning additional capacity."
        )
        raise EC2ClientError("InsufficientInstanceCapacity", message)


def _check_reservation(backend: Any, reservation: str, kind: str, count: int) -> None:
    if not reservation:
        return
    held = reservations(backend).get(reservation)
    if held is None or held["State"] != "active":
        message = f"The capacity reservation '{reservation}' does not exist or is not active"
        raise EC2ClientError("InvalidCapacityReservationId.NotFound", message)
    if held["InstanceType"] != kind or used(backend, reservation) + count > held["TotalInstanceCount"]:
        message = (
            "The requested reservation does not have sufficient compatible and available capacity for this request."
        )
        raise EC2ClientError("ReservationCapacityExceeded", message)


def _live(backend: Any) -> Iterator[Any]:
    for reservation in backend.reservations.values():
        yield from (each for each in reservation.instances if each._state.name not in _GONE)
