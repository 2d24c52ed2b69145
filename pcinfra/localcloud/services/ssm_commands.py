"""One command of SSM Run Command, from Pending to its end. Plain data, so that it is kept across a restart.

Source: Systems Manager API reference, Command, CommandInvocation, CommandPlugin, GetCommandInvocation, and its user
guide, "Understanding command statuses".
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

STDOUT_LIMIT, STDERR_LIMIT = 24_000, 8_000
"""Characters that GetCommandInvocation returns: "the first 24,000 characters" of stdout, 8,000 of stderr."""

PLUGIN_OUTPUT_LIMIT = 2_500
"""Characters that ListCommandInvocations returns with Details, CommandPlugin.Output."""

UNFINISHED = ("Pending", "InProgress", "Cancelling")
PLUGIN = "aws:runShellScript"


@dataclass
class Invocation:
    """A command on one instance. ``stdout`` and ``stderr`` are whole; the answers cut them."""

    command_id: str
    instance_id: str
    status: str = "Pending"
    details: str = "Pending"
    response_code: int = -1
    stdout: str = ""
    stderr: str = ""
    begun: datetime | None = None
    ended: datetime | None = None
    cancelled: bool = False

    @property
    def finished(self) -> bool:
        return self.status not in UNFINISHED

    def begin(self) -> None:
        self.status = self.details = "InProgress"
        self.begun = now()

    def end(self, status: str, details: str, code: int, stdout: str, stderr: str) -> None:
        self.status, self.details, self.response_code = status, details, code
        self.stdout, self.stderr, self.ended = stdout, stderr, now()

    @property
    def elapsed(self) -> str:
        """ISO 8601 duration, as in PT0.004S."""
        if not self.begun:
            return ""
        return f"PT{((self.ended or now()) - self.begun).total_seconds():.3f}S"


@dataclass
class Command:
    """What SendCommand was asked. ``delivery_timeout`` is TimeoutSeconds, in seconds."""

    document: str
    parameters: dict[str, list[str]]
    instance_ids: list[str]
    targets: list[dict[str, Any]]
    comment: str = ""
    delivery_timeout: int = 3600
    bucket: str = ""
    prefix: str = ""
    log_group: str | None = None
    command_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    requested: datetime = field(default_factory=lambda: now())
    invocations: list[Invocation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.invocations = [Invocation(self.command_id, instance) for instance in self.instance_ids]

    @property
    def script(self) -> str:
        return "\n".join(self.parameters.get("commands", []))

    @property
    def working_directory(self) -> str:
        return (self.parameters.get("workingDirectory") or [""])[0]

    @property
    def execution_timeout(self) -> float:
        """Seconds; document AWS-RunShellScript, executionTimeout: "default is 3600 (1 hour)"."""
        return float((self.parameters.get("executionTimeout") or ["3600"])[0])

    @property
    def status(self) -> str:
        """ "Failed... at least one", "Success... all"; the worst of the invocations otherwise."""
        found = [invocation.status for invocation in self.invocations]
        for status in ("InProgress", "Cancelling", "Pending", "Failed", "TimedOut", "Cancelled"):
            if status in found:
                return "InProgress" if status == "Pending" and any(i.finished for i in self.invocations) else status
        return "Success"

    def describe(self) -> dict[str, Any]:
        """Return the API's Command."""
        ended = [invocation for invocation in self.invocations if invocation.finished]
        return {
            "CommandId": self.command_id,
            "DocumentName": self.document,
            "DocumentVersion": "$DEFAULT",
            "Comment": self.comment,
            "ExpiresAfter": self.requested + timedelta(seconds=self.delivery_timeout + self.execution_timeout),
            "Parameters": self.parameters,
            "InstanceIds": [] if self.targets else self.instance_ids,
            "Targets": self.targets,
            "RequestedDateTime": self.requested,
            "Status": self.status,
            "StatusDetails": self.status if self.invocations else "NoInstancesInTag",
            "OutputS3BucketName": self.bucket,
            "OutputS3KeyPrefix": self.prefix,
            "MaxConcurrency": "50",
            "MaxErrors": "0",
            "TargetCount": len(self.invocations),
            "CompletedCount": len(ended),
            "ErrorCount": sum(invocation.status in ("Failed", "TimedOut") for invocation in ended),
            "DeliveryTimedOutCount": 0,
            "TimeoutSeconds": self.delivery_timeout,
        }


def describe_invocation(command: Command, invocation: Invocation) -> dict[str, Any]:
    """Return the answer of GetCommandInvocation."""
    return {
        "CommandId": command.command_id,
        "InstanceId": invocation.instance_id,
        "Comment": command.comment,
        "DocumentName": command.document,
        "DocumentVersion": "$DEFAULT",
        "PluginName": PLUGIN,
        "ResponseCode": invocation.response_code,
        "ExecutionStartDateTime": _iso(invocation.begun),
        "ExecutionElapsedTime": invocation.elapsed,
        "ExecutionEndDateTime": _iso(invocation.ended),
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "StandardOutputContent": invocation.stdout[:STDOUT_LIMIT],
        "StandardOutputUrl": _url(command, invocation, "stdout"),
        "StandardErrorContent": invocation.stderr[:STDERR_LIMIT],
        "StandardErrorUrl": _url(command, invocation, "stderr"),
        "CloudWatchOutputConfig": {
            "CloudWatchLogGroupName": command.log_group or "",
            "CloudWatchOutputEnabled": command.log_group is not None,
        },
    }


def list_invocation(command: Command, invocation: Invocation, details: bool) -> dict[str, Any]:
    """Return one row of ListCommandInvocations."""
    row = {
        "CommandId": command.command_id,
        "InstanceId": invocation.instance_id,
        "InstanceName": "",
        "Comment": command.comment,
        "DocumentName": command.document,
        "DocumentVersion": "$DEFAULT",
        "RequestedDateTime": command.requested,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "CommandPlugins": [],
    }
    return {**row, "CommandPlugins": [_plugin(invocation)]} if details else row


def _plugin(invocation: Invocation) -> dict[str, Any]:
    output = invocation.stdout
    if invocation.stderr:
        output += f"\n----------ERROR-------\n{invocation.stderr}"
    return {
        "Name": PLUGIN,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "ResponseCode": invocation.response_code,
        "ResponseStartDateTime": invocation.begun,
        "ResponseFinishDateTime": invocation.ended,
        "Output": output[:PLUGIN_OUTPUT_LIMIT],
    }


def output_key(command: Command, invocation: Invocation, stream: str) -> str:
    """Return the S3 key of ``stdout`` or ``stderr``, as the agent makes it."""
    parts = [command.prefix.strip("/"), command.command_id, invocation.instance_id]
    return "/".join([part for part in parts if part] + ["awsrunShellScript", "0.awsrunShellScript", stream])


def _url(command: Command, invocation: Invocation, stream: str) -> str:
    if not command.bucket:
        return ""
    return f"https://s3.amazonaws.com/{command.bucket}/{output_key(command, invocation, stream)}"


def _iso(moment: datetime | None) -> str:
    return moment.isoformat().replace("+00:00", "Z") if moment else ""


def now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)
