"""What the repository holds and what scans found, as ECR's API tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from pcinfra.aws import Aws, Target
from pcinfra.doors import Doors
from pcinfra.engine import Executor, Plan, Threads
from pcinfra.errors import ResourceFailed
from pcinfra.images import listing
from pcinfra.shell import Subprocess

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Repository:
    """A Cloud whose one repository holds ``rows``, in the shape of ECR's ImageDetail."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    region: str = "us-east-1"
    account: str = "123456789012"

    def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        raise NotImplementedError(operation)

    def pages(self, service: str, operation: str, key: str, /, **parameters: Any) -> list[Any]:
        assert (service, operation, key) == ("ecr", "DescribeImages", "imageDetails")
        return self.rows


def detail(digest: str, age: int, status: str = "", **counts: int) -> dict[str, Any]:
    row: dict[str, Any] = {"imageDigest": f"sha256:{digest}", "imagePushedAt": NOW - timedelta(days=age)}
    if status:
        row["imageScanStatus"] = {"status": status}
    if counts:
        row["imageScanFindingsSummary"] = {"findingSeverityCounts": counts}
    return row


def test_the_newest_is_first_and_the_worst_findings_too() -> None:
    rows = [
        detail("old", 9, "COMPLETE", LOW=3, CRITICAL=1, UNDEFINED=2), detail("new", 1, "COMPLETE"),
        detail("unknown", 2), detail("failed", 3, "FAILED"), detail("always", 4, "ACTIVE", HIGH=1),
    ]  # fmt: skip
    found = listing.images(Repository(rows), "r")
    assert [(image.digest[7:], listing.words(image.findings)) for image in found] == [
        ("new", "none"), ("unknown", "no findings known"), ("failed", "no findings known"), ("always", "1 high"),
        ("old", "1 critical, 3 low, 2 undefined"),
    ]  # fmt: skip


def test_what_a_cloud_without_scanner_says_is_not_believed() -> None:
    [image] = listing.images(Repository([detail("x", 1, "COMPLETE", HIGH=7)]), "r", scanned=False)
    assert image.findings is None


def test_findings_as_bad_or_worse_are_counted() -> None:
    findings = {"CRITICAL": 1, "HIGH": 2, "LOW": 4}
    assert [listing.at_least(findings, name) for name in ("CRITICAL", "HIGH", "MEDIUM", "LOW")] == [1, 3, 3, 7]


def test_a_scan_is_waited_for_and_a_failed_one_says_why() -> None:
    judge = listing.until_scanned("sha256:0123456789abcdef")
    assert judge({"imageScanStatus": {"status": "IN_PROGRESS"}}) is None
    done = {"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": {"findingSeverityCounts": {"HIGH": 1}}}
    assert judge(done) == ({"HIGH": 1},)
    failed = {"imageScanStatus": {"status": "UNSUPPORTED_IMAGE", "description": "UnsupportedImageError: scratch"}}
    with pytest.raises(ResourceFailed, match="UNSUPPORTED_IMAGE: UnsupportedImageError: scratch"):
        judge(failed)
    with pytest.raises(ResourceFailed, match="no scan of it is known"):
        judge(None)


def test_a_scan_goes_through_the_api(local_target: Target) -> None:
    """The local cloud's ECR answers as AWS's does; what it finds is made up, and the command does not show it."""
    name, cloud = f"r-{uuid4().hex[:8]}", Aws(local_target)
    cloud.call("ecr", "CreateRepository", repositoryName=name)
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": {"digest": "sha256:0"}})
    cloud.call("ecr", "PutImage", repositoryName=name, imageTag="latest", imageManifest=manifest)
    [image] = listing.images(cloud, name)
    workers = Threads()
    try:
        doors = Doors(cloud, Subprocess(), replace(local_target, registry=True))
        results = Executor(doors, workers, limit=60).run(Plan((listing.scan("pytorch", name, image),)))
    finally:
        workers.close()
    assert set(results[f"{listing.SCAN}pytorch"]) <= set(listing.SEVERITIES)
