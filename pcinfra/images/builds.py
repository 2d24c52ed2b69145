"""Builds of CodeBuild that are under way, and why one failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.errors import NotFound, ResourceFailed

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors

TAIL = 20
"""Lines of its log that the error of a failed build shows."""


@dataclass(frozen=True, slots=True)
class BuildState:
    """One build.

    Args:
        status: ``IN_PROGRESS``, ``SUCCEEDED``, ``FAILED``, ``FAULT``, ``TIMED_OUT`` or ``STOPPED``.
        digest: of the image that it pushed, once it succeeded; empty when the repository has none.
        cause: what failed, and the end of the log.
    """

    status: str
    phase: str
    digest: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class BuildProbe:
    """Reads builds by id; those that ended with the image, or with the end of their log."""

    repository: str
    tag: str

    def read(self, doors: Doors, keys: frozenset[str]) -> Mapping[str, BuildState]:
        rows = doors.cloud.call("codebuild", "BatchGetBuilds", ids=sorted(keys))["builds"]
        return {row["id"]: self._state(doors.cloud, row) for row in rows}

    def _state(self, cloud: Cloud, row: Mapping[str, Any]) -> BuildState:
        status, phase = row["buildStatus"], row.get("currentPhase", "")
        if status == "IN_PROGRESS":
            return BuildState(status, phase)
        if status == "SUCCEEDED":
            return BuildState(status, phase, digest=_digest(cloud, self.repository, self.tag))
        return BuildState(status, phase, cause="\n".join([*_failures(row), *_tail(cloud, row.get("logs", {}))]))


def _digest(cloud: Cloud, repository: str, tag: str) -> str:
    try:
        rows = cloud.call("ecr", "DescribeImages", repositoryName=repository, imageIds=[{"imageTag": tag}])
    except NotFound:
        return ""
    return str(rows["imageDetails"][0]["imageDigest"]) if rows["imageDetails"] else ""


def _failures(row: Mapping[str, Any]) -> list[str]:
    """Return what CodeBuild says about each phase that failed."""
    return [
        f"{phase['phaseType']}: {context['message']}"
        for phase in row.get("phases", ())
        if phase.get("phaseStatus") not in (None, "SUCCEEDED")
        for context in phase.get("contexts", ())
        if context.get("message")
    ]


def _tail(cloud: Cloud, logs: Mapping[str, Any]) -> list[str]:
    if not logs.get("groupName") or not logs.get("streamName"):
        return []
    try:
        events = cloud.call(
            "logs", "GetLogEvents", logGroupName=logs["groupName"], logStreamName=logs["streamName"], limit=TAIL,
            startFromHead=False,
        )["events"]  # fmt: skip
    except NotFound:
        return []
    return [event["message"].rstrip() for event in events]


def until_pushed(build: str, what: str) -> Callable[[BuildState | None], tuple[str] | None]:
    """Return the judge that waits until ``build`` has ended well and its image is there."""

    def judge(state: BuildState | None) -> tuple[str] | None:
        if state is None or state.status == "IN_PROGRESS":
            return None
        if state.digest:
            return (state.digest,)
        if state.status == "SUCCEEDED":
            why = "the build succeeded, and its image is not in the repository"
            raise ResourceFailed(why, where=what, hint="pcinfra image push")
        raise ResourceFailed(
            f"{state.status}\n{state.cause}".rstrip(), where=f"CodeBuild build {build}",
            hint="mend the Dockerfile, then: pcinfra image push",
        )  # fmt: skip

    return judge
