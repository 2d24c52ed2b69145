"""pcluster's schema, offline: each error with its path, and with the key of the project file that it came from."""

from __future__ import annotations

import os

import pytest
import yaml

from pcinfra.clusters.findings import Level, errors, refusal
from pcinfra.clusters.inputs import ClusterInputs
from pcinfra.clusters.pcluster import schema_findings
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
        ("Os: ubuntu2204", "Os: ubuntu2202", "Image.Os", "ubuntu2204"),
        ("Size: 500", "Size: lots", "HeadNode.LocalStorage.RootVolume.Size", ""),
        ("MinCount: 2", "MinCount: -1", f"{QUEUES}.ComputeResources[0].MinCount", "0"),
        ("CapacityType: ONDEMAND", "CapacityType: FREE", f"{QUEUES}.CapacityType", ""),
        ("JobExclusiveAllocation", "JobExclusive", f"{QUEUES}.JobExclusive", "JobExclusiveAllocation"),
        ("fs-0a1b2c3d4e5f60718", "fs-123", "SharedStorage[1].FsxLustreSettings.FileSystemId", ""),
        ("RetentionInDays: 30", "RetentionInDays: 31", "Monitoring.Logs.CloudWatch.RetentionInDays", "30"),
        ("Key: pcinfra:stage", "Key: parallelcluster:x", "Tags", ""),
    ],
)
def test_every_mistake_has_its_place(text: str, before: str, after: str, where: str, hint: str) -> None:
    assert before in text
    findings = validate("train", text.replace(before, after), "us-east-1")
    assert [(f.level, f.check, f.where) for f in findings] == [(Level.ERROR, "schema", where)]
    assert findings[0].hint == hint
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
    config = yaml.safe_load(text)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    schema_findings("train", config, "us-east-1")
    assert os.environ["AWS_DEFAULT_REGION"] == "eu-west-1"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    schema_findings("train", config, "us-east-1")
    assert "AWS_DEFAULT_REGION" not in os.environ
