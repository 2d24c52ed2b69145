"""Capacity reservations and blocks: what fits, what begins when, and when it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pcinfra.clusters.findings import Level
from pcinfra.clusters.reservations import Reservation, awaiting, begins, check, ending, read, until_active, wanted_by
from pcinfra.errors import CloudError, ResourceFailed
from tests.unit.clusters.fakes import FakeCloud

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
CONFIG = """
Scheduling:
  SlurmQueues:
    - Name: gpu
      CapacityType: CAPACITY_BLOCK
      ComputeResources:
        - {Name: p5, InstanceType: p5.48xlarge, MinCount: 4, MaxCount: 4,
           CapacityReservationTarget: {CapacityReservationId: cr-1}}
        - {Name: other, InstanceType: p5.48xlarge}
    - Name: cpu
      ComputeResources: [{Name: c, Instances: [{InstanceType: c7i.large}]}]
"""


def block(**values: Any) -> Reservation:
    given = {
        "id": "cr-1", "state": "active", "kind": "capacity-block", "instance_type": "p5.48xlarge", "zone": "us-east-1a",
        "platform": "Linux/UNIX", "total": 4, "free": 4, "begin": NOW - timedelta(hours=1),
        "end": NOW + timedelta(days=2), **values,
    }  # fmt: skip
    return Reservation(**given)


def remarks(held: Reservation | None, zone: str = "us-east-1a", system: str = "ubuntu2204") -> list[tuple[Level, str]]:
    found = {held.id: held} if held else {}
    return [(f.level, f.what) for f in check(wanted_by(CONFIG), found, zone=zone, system=system, now=NOW)]


def test_what_queues_reserve_is_read_from_the_configuration() -> None:
    [wanted] = wanted_by(CONFIG)
    assert (wanted.queue, wanted.id, wanted.types, wanted.least, wanted.most) == ("gpu", "cr-1", ("p5.48xlarge",), 4, 4)
    assert wanted.block
    assert wanted_by("") == wanted_by("Scheduling:\n") == []


def test_one_that_fits_leaves_nothing_to_say() -> None:
    assert remarks(block()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": "expired"}, "it is over"),
        ({"end": NOW - timedelta(minutes=1)}, "it is over"),
        ({"instance_type": "p5en.48xlarge"}, "is for p5en.48xlarge"),
        ({"zone": "us-east-1b"}, "is in us-east-1b"),
        ({"kind": "default"}, "no Capacity Block"),
        ({"platform": "Windows"}, "platform Windows"),
        ({"total": 3}, "has 3 instances; its queues (gpu) start up to 4"),
    ],
)
def test_one_that_does_not_fit_is_told(change: dict[str, Any], words: str) -> None:
    [(level, what)] = remarks(block(**change))
    assert level is Level.ERROR
    assert words in what


def test_one_that_does_not_exist_is_told() -> None:
    def unknown(_: object) -> dict[str, Any]:
        raise CloudError("no", code="InvalidCapacityReservationId.NotFound")

    assert read(FakeCloud({"DescribeCapacityReservations": unknown}), ["cr-1"]) == {}
    assert "does not exist" in remarks(None)[0][1]


def test_another_operating_system_needs_another_platform() -> None:
    assert remarks(block(platform="Red Hat Enterprise Linux"), system="rhel9") == []
    assert remarks(block(), system="rhel9")


def test_pcluster_takes_no_more_nodes_than_a_reservation_holds() -> None:
    config = CONFIG.replace("CapacityType: CAPACITY_BLOCK\n", "CapacityType: ONDEMAND\n")
    found = check(wanted_by(config), {"cr-1": block(kind="default", total=2)}, zone="", system="ubuntu2204", now=NOW)
    assert [finding.level for finding in found] == [Level.ERROR]


def test_one_that_has_not_begun_is_found_and_can_be_waited_for() -> None:
    later = block(state="scheduled", begin=NOW + timedelta(hours=3))
    assert begins([block(), later], NOW) == later
    assert begins([block()], NOW) is None
    action = awaiting("train", later, NOW)
    assert (action.id, action.seconds) == ("cluster/train/reservation", 3 * 3600)
    judge = until_active("cr-1")
    assert judge(later) is None
    assert judge(block()) == (block(),)
    for gone in (None, block(state="cancelled")):
        with pytest.raises(ResourceFailed):
            judge(gone)


def test_its_end_is_told_with_the_time_that_is_left() -> None:
    assert "2026-11-27 11:30 UTC" in ending(block(), NOW), "half an hour earlier"
    assert "save checkpoints" in ending(block(end=NOW + timedelta(hours=5)), NOW)
    assert "is over" in ending(block(end=NOW), NOW)
    assert ending(block(kind="default", end=None), NOW) == ""


def test_a_finding_has_its_place_in_the_configuration() -> None:
    [wanted] = wanted_by(CONFIG)
    [wrong] = check([wanted], {}, zone="us-east-1a", system="ubuntu2204", now=NOW)
    assert wrong.where.endswith("ComputeResources[0].CapacityReservationTarget")
    assert wanted.at("CapacityType").endswith("].CapacityType")


@pytest.mark.parametrize(("count", "whole"), [(9, True), (18, True), (4, False), (17, False)])
def test_a_block_of_ultraservers_is_of_whole_ones(count: int, whole: bool) -> None:
    held = block(instance_type="p6e-gb200.36xlarge", total=count)
    [wanted] = wanted_by(CONFIG)
    asked = replace(wanted, types=("p6e-gb200.36xlarge",), least=count, most=count)
    assert (check([asked], {held.id: held}, zone="us-east-1a", system="ubuntu2204", now=NOW) == []) is whole
