"""Clusters as they are: which are ours, what they were made from, how that differs."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from pcinfra.clusters.facts import differences, find, find_all, stored_config
from pcinfra.engine import Change
from pcinfra.errors import NotFound
from tests.unit.clusters.fakes import FakeCloud, answer, no_such_stack, stack

OURS = {"parallelcluster:cluster-name": "train", "pcinfra:project": "training"}
STORED = {"ResourcesS3Bucket": "b", "ArtifactS3RootDirectory": "parallelcluster/1", "ConfigVersion": "v7"}


def test_a_projects_clusters_are_found_in_one_call_by_their_tags() -> None:
    stacks = [
        answer("train", **OURS),
        answer("failed", "CREATE_FAILED", **{**OURS, "parallelcluster:cluster-name": "failed"}),
        answer("train-Queues-1X", **OURS),  # a nested stack carries its parent's tags
        answer("other", **{**OURS, "parallelcluster:cluster-name": "other", "pcinfra:project": "another"}),
        answer("foreign", **{"parallelcluster:cluster-name": "foreign"}),
        answer("plain"),
    ]
    cloud = FakeCloud({"DescribeStacks": {"Stacks": stacks}})
    assert [found.name for found in find_all(cloud, "training")] == ["failed", "train"]
    assert cloud.calls == ["DescribeStacks"]


@pytest.mark.parametrize("gone", [no_such_stack, {"Stacks": [answer("train", "DELETE_COMPLETE")]}])
def test_a_cluster_that_is_gone_has_no_stack(gone: Any) -> None:
    facts = find(FakeCloud({"DescribeStacks": gone}), "train")
    assert facts.stack is None
    assert not facts.belongs_to("training")


def test_the_stored_configuration_is_that_of_the_running_version() -> None:
    asked: list[Any] = []

    def read(parameters: Any) -> dict[str, Any]:
        asked.append(parameters)
        return {"Body": BytesIO(b"Region: x\n")}

    assert stored_config(FakeCloud({"GetObject": read}), stack(parameters=STORED)) == "Region: x\n"
    assert asked == [{"Bucket": "b", "Key": "parallelcluster/1/configs/cluster-config.yaml", "VersionId": "v7"}]


def test_a_lost_configuration_is_empty() -> None:
    def missing(_: Any) -> dict[str, Any]:
        raise NotFound("NoSuchKey")

    assert stored_config(FakeCloud({"GetObject": missing}), stack(parameters=STORED)) == ""
    assert stored_config(FakeCloud(), stack()) == ""


def test_comments_and_order_of_keys_are_no_difference() -> None:
    assert differences("a: 1 # x\nb: [1, {c: d}]\n", "b:\n  - 1\n  - c: d\na: 1\n") == ()


def test_differences_name_what_was_changed_added_and_removed() -> None:
    assert differences("a: {b: 1, c: 2}\nq: [1]\n", "a: {b: 3}\nq: [1, 2]\n") == (
        Change("a.b", "1", "3"),
        Change("a.c", "2", None),
        Change("q[1]", None, "2"),
    )


def test_a_configuration_that_is_lost_differs_in_everything() -> None:
    assert differences("", "a: 1\n")
