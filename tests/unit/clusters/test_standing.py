"""The clusters that `status` shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from pcinfra.aws import Target
from pcinfra.cli.status import _cluster_row
from pcinfra.clusters.standing import ReadStanding, Standing
from pcinfra.doors import Doors
from pcinfra.errors import AccessDenied
from pcinfra.project import Project
from tests.unit.clusters.fakes import FakeCloud, FakeShell

RESERVATION = "cr-0123456789abcdef0"
END = datetime.now(UTC) + timedelta(days=3)
CONFIG = yaml.safe_dump(
    {
        "Scheduling": {
            "SlurmQueues": [
                {
                    "Name": "gpu",
                    "CapacityReservationTarget": {"CapacityReservationId": RESERVATION},
                    "ComputeResources": [{"InstanceType": "p5.48xlarge", "MinCount": 2, "MaxCount": 2}],
                }
            ]
        }
    }
)


class Body:
    def read(self) -> bytes:
        return CONFIG.encode()


def stack(name: str, status: str = "CREATE_COMPLETE") -> dict[str, Any]:
    tags = {"parallelcluster:cluster-name": name, "pcinfra:project": "training"}
    parameters = {"ResourcesS3Bucket": "b", "ArtifactS3RootDirectory": "x"}
    return {
        "StackName": name, "StackId": f"arn:{name}", "StackStatus": status, "CreationTime": datetime.now(UTC),
        "Tags": [{"Key": k, "Value": v} for k, v in tags.items()],
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
    }  # fmt: skip


def instance(cluster: str, kind: str) -> dict[str, Any]:
    tags = {"parallelcluster:cluster-name": cluster, "parallelcluster:node-type": kind}
    return {"Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}


def answers(*stacks: dict[str, Any], end: Any = None, fleet: str = "RUNNING", **others: Any) -> dict[str, Any]:
    held = {"CapacityReservationId": RESERVATION, "State": "active", "InstanceType": "p5.48xlarge", "EndDate": end}
    nodes = [instance("train", "HeadNode"), instance("train", "Compute"), instance("train", "Compute")]
    return {
        "DescribeStacks": {"Stacks": list(stacks)},
        "DescribeInstances": {"Reservations": [{"Instances": nodes[:1]}, {"Instances": nodes[1:]}]},
        "GetObject": {"Body": Body()},
        "GetItem": {"Item": {"Data": {"M": {"status": {"S": fleet}}}}},
        "DescribeCapacityReservations": {"CapacityReservations": [held]},
        **others,
    }


def read(**found: Any) -> tuple[list[Standing], FakeCloud]:
    cloud = FakeCloud(found)
    return ReadStanding("training").start(Doors(cloud, FakeShell(), Target("us-east-1")), {}), cloud


def test_each_cluster_has_its_nodes_and_the_end_of_its_capacity() -> None:
    found, _ = read(**answers(stack("train"), stack("other"), end=END))
    rows = {each.stack.name: _cluster_row(each, Project()) for each in found}
    assert rows["train"].health == "ok"
    assert rows["train"].detail.startswith(
        f"1 head node, 2 compute nodes running; nodes in {RESERVATION} are terminated from {END:%Y-%m-%d %H:%M} UTC on"
    )
    assert rows["other"].detail.startswith("no node running; ")
    assert rows["other"].detail.endswith("; not in the project file")


def test_one_that_failed_says_where_to_look_and_one_on_its_way_is_busy() -> None:
    found, _ = read(**answers(stack("train", "ROLLBACK_COMPLETE"), stack("b", "DELETE_IN_PROGRESS")))
    rows = {each.stack.name: _cluster_row(each, Project()) for each in found}
    assert rows["train"].health == "failed"
    assert rows["train"].detail.endswith("why: pcinfra cluster show train")
    assert rows["b"].health == "busy"


def test_one_that_has_given_up_on_its_nodes_says_how_to_go_on() -> None:
    found, _ = read(**answers(stack("train"), fleet="PROTECTED"))
    row = _cluster_row(found[0], Project())
    assert row.health == "failed"
    assert "nodes failed to start again and again" in row.detail
    assert row.detail.endswith("When that is mended: pcinfra cluster start train")


def test_where_there_is_none_one_call_says_so() -> None:
    found, cloud = read(**answers())
    assert found == []
    assert len(cloud.calls) == 1


def test_what_may_not_be_read_is_left_out() -> None:
    def refuse(_: object) -> Any:
        raise AccessDenied("no", code="AccessDenied")

    found, _ = read(**answers(stack("train"), GetObject=refuse, GetItem=refuse))
    assert found[0].endings(datetime.now(UTC)) == []
