"""pcluster's schema, offline: each error with its path, and with the key of the project file that it came from."""

from __future__ import annotations

import os

import pytest

from pcinfra.clusters.findings import Level, errors, refusal, source
from pcinfra.clusters.inputs import ClusterInputs
from pcinfra.clusters.render import render
from pcinfra.clusters.validate import validate
from pcinfra.project import Cluster

QUEUES = "Scheduling.SlurmQueues[0]"


@pytest.fixture(scope="module")
def text(inputs: ClusterInputs) -> str:
    return render("train", Cluster(), inputs)


@pytest.mark.parametrize(
    ("before", "after", "where", "hint"),
    [
        ("Os: ubuntu2204", "Os: windows", "Image.Os", "os"),
        ("Size: 500", "Size: lots", "HeadNode.LocalStorage.RootVolume.Size", "head_node.volume"),
        ("MinCount: 2", "MinCount: -1", f"{QUEUES}.ComputeResources[0].MinCount", "queues[0].min_nodes"),
        ("CapacityType: ONDEMAND", "CapacityType: FREE", f"{QUEUES}.CapacityType", "queues[0].capacity_type"),
        ("JobExclusiveAllocation", "JobExclusive", f"{QUEUES}.JobExclusive", ""),
        ("fs-0a1b2c3d4e5f60718", "fs-123", "SharedStorage[1].FsxLustreSettings.FileSystemId", ""),
        ("RetentionInDays: 30", "RetentionInDays: 31", "Monitoring.Logs.CloudWatch.RetentionInDays", ""),
        ("Key: pcinfra:stage", "Key: parallelcluster:x", "Tags", "tags in pcinfra.yaml"),
    ],
)
def test_every_mistake_has_its_place(text: str, before: str, after: str, where: str, hint: str) -> None:
    assert before in text
    findings = validate("train", text.replace(before, after), "us-east-1")
    hint = f"clusters.train.{hint} in pcinfra.yaml" if hint and "tags" not in hint else hint
    assert [(f.level, f.check, f.where, f.hint) for f in findings] == [(Level.ERROR, "schema", where, hint)]
    assert findings[0].what


def test_all_mistakes_at_once(text: str) -> None:
    wrong = text.replace("Os: ubuntu2204", "Os: x").replace("MinCount: 2", "MinCount: x").replace("Imds:", "Imdz:", 1)
    findings = validate("train", wrong, "us-east-1")
    assert {f.where for f in findings} == {"Image.Os", f"{QUEUES}.ComputeResources[0].MinCount", "Imdz"}
    assert len(refusal("train", findings).problems) == len(errors(findings)) == 3


@pytest.mark.parametrize(("wrong", "where"), [("a: [1", "line 2, column 1"), ("a: b: c", "line 1, column 5")])
def test_what_is_not_yaml_has_its_line(wrong: str, where: str) -> None:
    [found] = validate("train", wrong + "\n", "us-east-1")
    assert (found.check, found.where) == ("YAML", where)


@pytest.mark.parametrize("wrong", ["", "- a", "text", "3"])
def test_what_is_not_a_mapping_is_said_so(wrong: str) -> None:
    [found] = validate("train", wrong, "us-east-1")
    assert found.what == "not a mapping"


def test_the_environment_is_left_as_it_was(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    validate("train", text, "us-east-1")
    assert os.environ["AWS_DEFAULT_REGION"] == "eu-west-1"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    validate("train", text, "us-east-1")
    assert "AWS_DEFAULT_REGION" not in os.environ


def test_what_has_no_source_in_the_project_file_has_no_hint() -> None:
    assert source("Scheduling.Scheduler", "train") == ""
