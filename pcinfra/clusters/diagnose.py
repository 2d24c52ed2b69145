"""Everything about one cluster in one file for a ticket, and the causes of trouble that are known in it."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pcinfra.clusters import events, streams
from pcinfra.clusters.facts import NAME_TAG, NODE_TYPE_TAG
from pcinfra.clusters.findings import Finding, Level
from pcinfra.clusters.known import CAUSES, matching
from pcinfra.clusters.redact import redacted
from pcinfra.clusters.streams import Stream
from pcinfra.engine import Action, Kind, Operation
from pcinfra.errors import NotFound

if TYPE_CHECKING:
    from pcinfra.cloudformation import Stack
    from pcinfra.doors import Doors

LINES = 1000  # of each log
MOST = 120  # logs that are read: those that were written to last
_STATUS = re.compile(r"pcinfra-status (\{.*\})\s*$")
_TROUBLE = re.compile(r"error|fail|fatal|denied|refused|exception|cannot|unable|exceeded|insufficient|unreach", re.I)

Files = dict[str, str]
"""Text by path in the archive."""


@dataclass(frozen=True, slots=True)
class ReadStack:
    """The result is Files: the stack's events."""

    stack: Stack

    def start(self, context: Doors, results: Mapping[str, Any]) -> Files:
        found = events.all_events(context.cloud, self.stack.id)
        return {"events.json": _json([asdict(event) for event in found])}


@dataclass(frozen=True, slots=True)
class ReadInstances:
    """The result is Files: the cluster's instances, the terminated ones that EC2 remembers too."""

    name: str

    def start(self, context: Doors, results: Mapping[str, Any]) -> Files:
        filters = [{"Name": f"tag:{NAME_TAG}", "Values": [self.name]}]
        reservations = context.cloud.pages("ec2", "DescribeInstances", "Reservations", Filters=filters)
        found = [_instance(each) for reservation in reservations for each in reservation["Instances"]]
        return {"instances.json": _json(found)}


def _instance(row: Mapping[str, Any]) -> dict[str, Any]:
    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", [])}
    keys = ("InstanceId", "InstanceType", "PrivateIpAddress", "SubnetId", "LaunchTime", "StateTransitionReason")
    return {
        **{key: row.get(key) for key in keys},
        "State": row["State"]["Name"],
        "StateReason": (row.get("StateReason") or {}).get("Message"),
        "NodeType": tags.get(NODE_TYPE_TAG),
        "Queue": tags.get("parallelcluster:queue-name"),
        "CapacityReservationId": row.get("CapacityReservationId"),
    }


@dataclass(frozen=True, slots=True)
class ReadLogs:
    """The result is Files: the ends of the logs of every node."""

    stack: Stack

    def start(self, context: Doors, results: Mapping[str, Any]) -> Files:
        try:
            group = streams.log_group(self.stack)
        except NotFound as error:
            return {"logs/none.txt": f"{error}\n"}
        newest = sorted(streams.streams(context.cloud, group), key=lambda stream: -stream.last)[:MOST]
        return {_path(stream): streams.text_of(context.cloud, group, stream, LINES) for stream in newest}


def _path(stream: Stream) -> str:
    return f"logs/{stream.host}.{stream.instance}/{re.sub(r'[^A-Za-z0-9._-]+', '-', stream.log)}.txt"


def reading(stack: Stack) -> list[Action]:
    """Return the Actions that read everything which AWS's API says of the cluster; each result is Files."""
    operations: dict[str, Operation] = {
        "events": ReadStack(stack),
        "instances": ReadInstances(stack.name),
        "logs": ReadLogs(stack),
    }
    return [Action(f"read/{key}", Kind.READ, key, "", operation) for key, operation in operations.items()]


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, default=str) + "\n"


def findings_in(files: Mapping[str, str], name: str) -> list[Finding]:
    """Return the known causes in what was gathered, each once, with the line that tells it."""
    found: dict[str, Finding] = {}
    for path, line in _telling(files):
        for cause in matching([line]):
            hint = cause.do.format(name=name)
            found.setdefault(cause.id, Finding(Level.ERROR, cause.id, path, f"{cause.means}: {_short(line)}", hint))
    order = {cause.id: number for number, cause in enumerate(CAUSES)}
    return [*_scripts(files), *sorted(found.values(), key=lambda finding: order[finding.check])]


def _telling(files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield lines that speak of trouble: of what failed in the stack, of logs, and of Slurm's reasons."""
    if "events.json" in files:
        for event in json.loads(files["events.json"]):
            if event["status"].endswith("_FAILED") and event["reason"]:
                yield f"events: {event['resource']}", event["reason"]
    for path, text in files.items():
        if path.startswith(("logs/", "head/file-")) or path == "head/reasons.txt":
            yield from ((path, line) for line in text.splitlines() if _TROUBLE.search(line))


def _scripts(files: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what pcinfra's own node scripts ended with, where that was a failure: their one line of status."""
    seen = set[str]()
    for path, text in files.items():
        for line in text.splitlines():
            match = _STATUS.search(line)
            told = _parsed(match[1]) if match else {}
            key = f"{told.get('node')} {told.get('reason')}"
            if told.get("status") == "failed" and key not in seen:
                seen.add(key)
                what = f"the {told.get('role')} script of node {told.get('node')} failed: {told.get('reason')}"
                yield Finding(Level.ERROR, "node-script", path, what, "")


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def down_nodes(nodes: Iterable[Any]) -> list[Finding]:
    """Return a remark for every node that Slurm has down, with its reason. ``nodes``: as jobs.slurm.view has them."""
    return [
        Finding(Level.ERROR, "node-down", node.name, f"{node.state}: {node.reason or 'no reason given'}", "")
        for node in nodes
        if node.kind == "down"
    ]


def _short(line: str) -> str:
    line = redacted(line.strip())
    return line if len(line) <= 200 else f"{line[:200]}…"


def archive(name: str, files: Mapping[str, str], summary: Sequence[str]) -> bytes:
    """Return a tar.gz of ``files`` below ``NAME-diagnosis/``, without secrets, with ``summary`` as README.txt."""
    whole = {"README.txt": "\n".join(summary) + "\n", **files}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, text in sorted(whole.items()):
            data = redacted(text).encode("utf-8", errors="replace")
            entry = tarfile.TarInfo(f"{name}-diagnosis/{path}")
            entry.size, entry.mode = len(data), 0o600
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
