"""The logs of a cluster's nodes in CloudWatch.

Names: ``ip-ADDRESS.INSTANCE.LOG`` in the log group that the stack's parameters name (pcluster 3.16.1,
``templates/cluster_stack.py``; aws-parallelcluster-cookbook, ``cloudwatch_agent_config.json``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pcinfra.errors import CloudError, NotFound

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.cloudformation import Stack

# What tells of custom actions. Of the system's log only the lines that our scripts wrote, by their tag.
CUSTOM_ACTIONS = ("bootstrap_error_msg", "cfn-init", "cloud-init-output", "syslog", "system-messages")
SYSTEM = ("syslog", "system-messages")
TAG = "pcinfra"
PAGE = 1000  # lines of one answer; GetLogEvents gives at most 10,000 and 1 MB


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """One log of one node. ``host`` is ``ip-10-0-0-5``; ``last`` the time of its last line, milliseconds."""

    host: str
    instance: str
    log: str
    name: str
    last: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line. ``at``: milliseconds since 1970."""

    at: int
    text: str

    @property
    def time(self) -> str:
        return f"{datetime.fromtimestamp(self.at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def log_group(stack: Stack) -> str:
    """Return the name of the cluster's log group.

    Raises:
        NotFound: its logs do not go to CloudWatch.
    """
    group = stack.parameters.get("ClusterCWLogGroup", "")
    if group in ("", "NONE"):
        raise NotFound("its logs do not go to CloudWatch (Monitoring.Logs.CloudWatch.Enabled is false)",
                       where=f"cluster {stack.name}")  # fmt: skip
    return group


def streams(cloud: Cloud, group: str) -> list[Stream]:
    """Return every stream of ``group``, by host and log; none when there is no such group (yet, or any more)."""
    try:
        rows = cloud.pages("logs", "DescribeLogStreams", "logStreams", logGroupName=group)
    except NotFound:
        return []
    return sorted(filter(None, map(_stream, rows)))


def _stream(row: dict[str, Any]) -> Stream | None:
    parts = str(row["logStreamName"]).split(".", 2)
    if len(parts) != 3:
        return None
    host, instance, log = parts
    return Stream(host, instance, log, row["logStreamName"], int(row.get("lastEventTimestamp") or 0))


def tail(cloud: Cloud, group: str, stream: Stream, lines: int) -> list[Line]:
    """Return the last ``lines`` lines of a stream; of the system's log, those of our scripts."""
    limit = PAGE if stream.log in SYSTEM else min(lines, PAGE)
    answer = _events(cloud, group, stream, startFromHead=False, limit=limit)
    return list(_lines(stream, answer.get("events", [])))[-lines:]


def _events(cloud: Cloud, group: str, stream: Stream, **more: Any) -> dict[str, Any]:
    try:
        return cloud.call("logs", "GetLogEvents", logGroupName=group, logStreamName=stream.name, **more)
    except NotFound:
        return {}


def _lines(stream: Stream, events: Iterable[dict[str, Any]]) -> Iterator[Line]:
    for event in events:
        for text in str(event["message"]).splitlines():
            if stream.log not in SYSTEM or TAG in text:
                yield Line(int(event["timestamp"]), text)


@dataclass(slots=True)
class Follower:
    """Follows streams: what each has beyond the last look, and streams that appear meanwhile.

    Args:
        wanted: which of the group's streams.
        lines: how many lines of each are shown at first.
    """

    cloud: Cloud
    group: str
    wanted: Callable[[Stream], bool]
    lines: int
    _tokens: dict[str, str] = field(default_factory=dict)

    def look(self) -> list[tuple[Stream, Line]]:
        """Return what is new, by time."""
        found = [stream for stream in streams(self.cloud, self.group) if self.wanted(stream)]
        fresh = [(stream, line) for stream in found for line in self._new(stream)]
        return sorted(fresh, key=lambda each: each[1].at)

    def _new(self, stream: Stream) -> Sequence[Line]:
        token = self._tokens.get(stream.name)
        start: dict[str, Any] = {"nextToken": token} if token else {"startFromHead": False, "limit": PAGE}
        answer = _events(self.cloud, self.group, stream, **start, **({"startFromHead": True} if token else {}))
        self._tokens[stream.name] = str(answer.get("nextForwardToken") or token or "")
        lines = list(_lines(stream, answer.get("events", [])))
        return lines if token else lines[-self.lines :]


def text_of(cloud: Cloud, group: str, stream: Stream, lines: int) -> str:
    """Return the end of a stream as text, each line with its time; why not, when it cannot be read."""
    try:
        found = tail(cloud, group, stream, lines)
    except CloudError as error:
        return f"(not read: {error.why})\n"
    return "".join(f"{line.time} {line.text}\n" for line in found)
