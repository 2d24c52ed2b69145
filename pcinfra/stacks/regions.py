"""Which deployment types of FSx for OpenZFS a region has.

No API tells it, so this is a table. What is not in it may have come since: nothing is refused because of it.
"""

from __future__ import annotations

from collections.abc import Mapping

SOURCE = "FSx for OpenZFS user guide, Availability by AWS Region, read 2026-11-22"

_BOTH = ("SINGLE_AZ_HA_2", "SINGLE_AZ_HA_1")
_FIRST = ("SINGLE_AZ_HA_1",)
_SECOND = ("SINGLE_AZ_HA_2",)
OPENZFS_HA: Mapping[str, tuple[str, ...]] = {
    "us-east-1": _SECOND,
    "us-east-2": _SECOND,
    "us-west-1": _BOTH,
    "us-west-2": _SECOND,
    "us-gov-west-1": _SECOND,
    "us-gov-east-1": _FIRST,
    "ap-east-1": _FIRST,
    "ap-east-2": _FIRST,
    "ap-northeast-1": _SECOND,
    "ap-northeast-2": _BOTH,
    "ap-northeast-3": _FIRST,
    "ap-south-1": _SECOND,
    "ap-south-2": _BOTH,
    "ap-southeast-1": _SECOND,
    "ap-southeast-2": _SECOND,
    "ap-southeast-3": _FIRST,
    "ap-southeast-4": _FIRST,
    "ap-southeast-5": _FIRST,
    "ap-southeast-6": _FIRST,
    "ap-southeast-7": _FIRST,
    "ca-central-1": _SECOND,
    "eu-central-1": _SECOND,
    "eu-west-1": _SECOND,
}
"""Types that fail over by themselves inside one zone. Regions with neither, or of which it is not known for sure, are
not here. SINGLE_AZ_1 and MULTI_AZ_1 exist wherever the service does."""

EVERYWHERE = ("MULTI_AZ_1", "SINGLE_AZ_1")


def openzfs_choices(region: str, *, one_zone: bool = False) -> tuple[str, ...]:
    """Return what ``auto`` may become in ``region``, the best first: highly available, in one zone if possible."""
    return (*OPENZFS_HA.get(region, ()), *(("SINGLE_AZ_2", "SINGLE_AZ_1") if one_zone else ("MULTI_AZ_1",)))


def openzfs_known(region: str, deployment_type: str) -> bool:
    """Tell whether the table says that ``region`` has a type; of SINGLE_AZ_2 it says nothing, so that is known."""
    return deployment_type in (*OPENZFS_HA.get(region, ()), *EVERYWHERE, "SINGLE_AZ_2")
