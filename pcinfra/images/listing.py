"""What the repository holds, and what scans found in it.

Source: ECR API reference, ImageDetail, ImageScanFindingsSummary, StartImageScan (basic scanning: once in 24 hours for
an image; a repository that is scanned on push or continuously needs none).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pcinfra.engine import Action, Kind, Pending
from pcinfra.errors import CloudError, NotFound, ResourceFailed

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNDEFINED")
SCAN = "image/scan/"
_WAITING = ("IN_PROGRESS", "PENDING")
_ENDED = ("COMPLETE", "ACTIVE")
"""ACTIVE is the state of an image that is scanned continuously."""


@dataclass(frozen=True, slots=True)
class Found:
    """One image. ``findings`` counts them by severity; None: no scan of it is known."""

    digest: str
    tags: tuple[str, ...] = ()
    size: int = 0
    pushed: datetime | None = None
    findings: Mapping[str, int] | None = field(default=None)


def images(cloud: Cloud, repository: str, scanned: bool = True) -> list[Found]:
    """Return every image of ``repository``, the newest first; none when there is no such repository.

    Args:
        scanned: whether scans of this cloud are real; where they are not, no findings are known.
    """
    try:
        rows = cloud.pages("ecr", "DescribeImages", "imageDetails", repositoryName=repository)
    except NotFound:
        return []
    found = [_image(row, scanned) for row in rows]
    return sorted(found, key=lambda image: image.pushed.timestamp() if image.pushed else 0, reverse=True)


def _image(row: Mapping[str, Any], scanned: bool) -> Found:
    ended = row.get("imageScanStatus", {}).get("status") in _ENDED
    summary = row.get("imageScanFindingsSummary", {})
    findings = _counts(summary) if scanned and ended else None
    return Found(
        row["imageDigest"], tuple(row.get("imageTags", ())), row.get("imageSizeInBytes", 0),
        row.get("imagePushedAt"), findings,
    )  # fmt: skip


def _counts(summary: Mapping[str, Any]) -> dict[str, int]:
    """Return the counts, the worst first."""
    counts = summary.get("findingSeverityCounts", {})
    return {severity: counts[severity] for severity in SEVERITIES if counts.get(severity)}


def words(findings: Mapping[str, int] | None) -> str:
    """Return ``2 critical, 5 high``."""
    if findings is None:
        return "no findings known"
    return ", ".join(f"{count} {severity.lower()}" for severity, count in findings.items()) or "none"


def at_least(findings: Mapping[str, int], severity: str) -> int:
    """Return how many findings are as bad as ``severity`` or worse."""
    worse: Iterable[str] = SEVERITIES[: SEVERITIES.index(severity) + 1]
    return sum(findings.get(name, 0) for name in worse)


def scan(name: str, repository: str, image: Found) -> Action:
    """Return the Action that scans ``image`` of the project's image ``name``; its result: the findings by severity."""
    return Action(
        SCAN + name, Kind.RUN, f"scan of {repository}@{image.digest[:19]}", "",
        StartScan(repository, image.digest), seconds=60,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class StartScan:
    """Scan one image, or wait for the scan that is under way or has been today."""

    repository: str
    digest: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Pending:
        try:
            doors.cloud.call(
                "ecr", "StartImageScan", repositoryName=self.repository, imageId={"imageDigest": self.digest}
            )
        except CloudError as error:
            if error.code not in ("LimitExceededException", "ValidationException"):
                raise  # ValidationException: the repository is scanned continuously, and not on request
        return Pending(ScanProbe(self.repository), self.digest, until_scanned(self.digest), _progress)


@dataclass(frozen=True, slots=True)
class ScanProbe:
    """Reads the scans of one repository's images by digest."""

    repository: str

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, Mapping[str, Any]]:
        answers = {}
        for key in sorted(keys):
            with suppress(NotFound):
                answers[key] = doors.cloud.call(
                    "ecr", "DescribeImageScanFindings", repositoryName=self.repository, imageId={"imageDigest": key},
                    maxResults=1,
                )  # fmt: skip
        return answers


def _progress(answer: Mapping[str, Any] | None) -> str:
    return str((answer or {}).get("imageScanStatus", {}).get("status", "")).lower()


def until_scanned(digest: str) -> Callable[[Mapping[str, Any] | None], tuple[dict[str, int]] | None]:
    """Return the judge that waits for the findings, by severity."""

    def judge(answer: Mapping[str, Any] | None) -> tuple[dict[str, int]] | None:
        if answer is None:
            raise ResourceFailed("no scan of it is known", where=f"scan of {digest[:19]}", hint="pcinfra image list")
        state = answer.get("imageScanStatus", {})
        status = state.get("status", "")
        if not status or status in _WAITING:
            return None
        if status not in _ENDED:
            why = f"{status}: {state.get('description', '')}".rstrip(": ")
            raise ResourceFailed(why, where=f"scan of {digest[:19]}", hint="pcinfra image list")
        return (_counts(answer.get("imageScanFindings", {})),)

    return judge
