"""What is known of a cluster beside its stack: its fleet and the reservations that its queues start in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.cloudformation import Stack
from pcinfra.clusters import reservations
from pcinfra.clusters.facts import stored_config
from pcinfra.clusters.fleet import Fleet, fleet_of
from pcinfra.clusters.reservations import Reservation, Wanted
from pcinfra.engine import Action, Kind
from pcinfra.errors import CloudError

if TYPE_CHECKING:
    from datetime import datetime

    from pcinfra.doors import Doors


@dataclass(frozen=True, slots=True)
class Overview:
    """Of one cluster. ``reserved`` pairs what a queue wants with the reservation, None where that does not exist."""

    stack: Stack
    fleet: Fleet
    config: str = ""
    reserved: tuple[tuple[Wanted, Reservation | None], ...] = ()

    def endings(self, now: datetime) -> list[str]:
        """Return in words when the capacity of its queues ends, as far as somebody has set an end."""
        held = {reservation.id: reservation for _, reservation in self.reserved if reservation}
        return [text for text in (reservations.ending(each, now) for each in held.values()) if text]

    @property
    def nodes_run(self) -> bool:
        """Whether its static nodes run, as far as the fleet's status tells."""
        return self.fleet not in (Fleet.STOPPED, Fleet.UNKNOWN)

    @property
    def capacity_end(self) -> datetime | None:
        """When the first of its nodes begin to be terminated; None when nobody has set an end."""
        ends = [held.usable_until for _, held in self.reserved if held and held.usable_until]
        return min(ends, default=None)


@dataclass(frozen=True, slots=True)
class ReadOverview:
    """The result is :class:`Overview`. What cannot be read is left out."""

    stack: Stack

    def start(self, context: Doors, results: Mapping[str, Any]) -> Overview:
        fleet, config = fleet_of(context.cloud, self.stack.name), ""
        try:
            config = stored_config(context.cloud, self.stack)
            wanted = reservations.wanted_by(config)
            found = reservations.read(context.cloud, (each.id for each in wanted))
        except CloudError:
            return Overview(self.stack, fleet, config)
        return Overview(self.stack, fleet, config, tuple((each, found.get(each.id)) for each in wanted))


def reading(stack: Stack) -> Action:
    """Return the Action that reads the overview of the cluster behind ``stack``."""
    name = stack.name
    return Action(f"read/overview/{name}", Kind.READ, f"cluster {name}", "", ReadOverview(stack))
