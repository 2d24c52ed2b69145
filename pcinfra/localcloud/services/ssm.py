"""SSM Run Command that runs: moto answers "Success" to everything, with no output, and never fails.

Source of the rules: Systems Manager API reference, SendCommand, CancelCommand, ListCommands,
DescribeInstanceInformation; its document AWS-RunShellScript; botocore's model for the ranges.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Protocol

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ssm.models import ssm_backends
from moto.ssm.responses import SimpleSystemManagerResponse

from pcinfra.localcloud.services.errors import ServiceError
from pcinfra.localcloud.services.patching import put
from pcinfra.localcloud.services.ssm_commands import (
    Command,
    Invocation,
    describe_invocation,
    list_invocation,
    output_key,
)

DOCUMENT = "AWS-RunShellScript"
PARAMETERS = {"commands", "workingDirectory", "executionTimeout"}
EXECUTION_TIMEOUT = range(1, 172_801)
DELIVERY_TIMEOUT = range(30, 2_592_001)
WORKERS = 5
"""Commands that an instance's agent runs at a time; the others wait (amazon-ssm-agent, README, Mds:
CommandWorkersLimit)."""

_LOG = logging.getLogger(__name__)


class Ended(Protocol):
    """How a command ended: ``status`` is its exit status."""

    @property
    def status(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...


class Running(Protocol):
    """A command that has been started."""

    def wait(self, timeout: float | None = None) -> Ended | None:
        """Return how it ended, or None when it still runs after ``timeout`` seconds."""
        ...

    def cancel(self) -> None:
        """End it and what it started. May be called at any time, more than once."""
        ...


class Runner(Protocol):
    """Runs commands where an instance is."""

    def reaches(self, instance_id: str) -> bool:
        """Return whether the instance has an agent that answers."""
        ...

    def start_script(self, instance_id: str, script: str, directory: str) -> Running:
        """Start the shell script as root, as the agent does, and return at once.

        Args:
            directory: where it starts; empty for the agent's own.
        """
        ...


_running: dict[tuple[str, str], Running] = {}
"""(command id, instance id) to what runs in this process: not part of the state."""


def install(runner: Runner) -> None:
    """Make Run Command run through ``runner``."""
    operations = _Operations(runner)
    for name in (
        "send_command",
        "cancel_command",
        "list_commands",
        "get_command_invocation",
        "list_command_invocations",
        "describe_instance_information",
    ):
        put(SimpleSystemManagerResponse, **{name: _as_method(getattr(operations, name))})


def fail_interrupted() -> None:
    """After a restart: end the commands that the last process had not seen the end of."""
    for _, _, backend in list(ssm_backends.iter_backends()):
        for command in _commands(backend).values():
            for invocation in command.invocations:
                if not invocation.finished:
                    why = "the local cloud was stopped while the command ran"
                    invocation.end("Failed", "Terminated", -1, invocation.stdout, why)


def cancel_all() -> None:
    """End what runs, before the machines are stopped."""
    for running in list(_running.values()):
        running.cancel()


def _as_method(operation: Any) -> Any:
    def method(self: Any) -> ActionResult:
        return ActionResult(operation(self, _Parameters(self)))

    return method


class _Parameters:
    """The parameters of a call."""

    def __init__(self, response: Any) -> None:
        self._get = response._get_param

    def text(self, name: str) -> str:
        return str(self._get(name) or "")

    def any(self, name: str, default: Any) -> Any:
        value = self._get(name)
        return default if value is None else value


class _Operations:
    """The operations, each from the call's parameters to the answer."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._workers: defaultdict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(WORKERS))

    def send_command(self, call: Any, parameters: _Parameters) -> dict[str, Any]:
        _check_document(parameters.text("DocumentName"), call)
        given: dict[str, list[str]] = parameters.any("Parameters", {})
        _check_parameters(given)
        ids, targets = parameters.any("InstanceIds", []), parameters.any("Targets", [])
        command = Command(
            document=DOCUMENT,
            parameters=given,
            instance_ids=self._wanted(call, ids, targets),
            targets=targets,
            comment=parameters.text("Comment"),
            delivery_timeout=_in_range("TimeoutSeconds", parameters.any("TimeoutSeconds", 3600), DELIVERY_TIMEOUT),
            bucket=parameters.text("OutputS3BucketName"),
            prefix=parameters.text("OutputS3KeyPrefix"),
            log_group=_log_group(parameters.any("CloudWatchOutputConfig", {})),
        )
        _commands(call.ssm_backend)[command.command_id] = command
        described = command.describe()
        for invocation in command.invocations:
            arguments = (command, invocation, call.region, self._workers[invocation.instance_id])
            threading.Thread(target=self._run, args=arguments, name=command.command_id, daemon=True).start()
        return {"Command": described}

    def cancel_command(self, call: Any, parameters: _Parameters) -> dict[str, Any]:
        """ "No guarantee": what has ended stays as it is."""
        command = _find(call, parameters.text("CommandId"))
        wanted = parameters.any("InstanceIds", []) or command.instance_ids
        for invocation in command.invocations:
            if invocation.instance_id in wanted and not invocation.finished:
                invocation.cancelled = True
                invocation.status = invocation.details = "Cancelling"
                running = _running.get((command.command_id, invocation.instance_id))
                if running:
                    running.cancel()
        return {}

    def list_commands(self, call: Any, parameters: _Parameters) -> dict[str, Any]:
        commands = _select(call, parameters)
        return {"Commands": [command.describe() for command in commands]}

    def get_command_invocation(self, call: Any, parameters: _Parameters) -> dict[str, Any]:
        command, instance = _find(call, parameters.text("CommandId")), parameters.text("InstanceId")
        for invocation in command.invocations:
            if invocation.instance_id == instance and parameters.any("PluginName", PLUGIN_NAMES[0]) in PLUGIN_NAMES:
                return describe_invocation(command, invocation)
        raise ServiceError("InvocationDoesNotExist", "")

    def list_command_invocations(self, call: Any, parameters: _Parameters) -> dict[str, Any]:
        instance, details = parameters.text("InstanceId"), bool(parameters.any("Details", False))
        rows = [
            list_invocation(command, invocation, details)
            for command in _select(call, parameters)
            for invocation in command.invocations
            if instance in ("", invocation.instance_id)
        ]
        return {"CommandInvocations": rows}

    def describe_instance_information(self, call: Any, parameters: _Parameters) -> dict[str, Any]:
        wanted = _instance_filter(parameters)
        rows = [
            {
                "InstanceId": instance.id,
                "PingStatus": "Online",
                "LastPingDateTime": instance.launch_time,
                "AgentVersion": "3.3.0.0",
                "IsLatestVersion": True,
                "PlatformType": "Linux",
                "ResourceType": "EC2Instance",
                "IPAddress": instance.private_ip,
                "ComputerName": instance.private_dns_name,
            }
            for instance in _live(call)
            if self._runner.reaches(instance.id) and (not wanted or instance.id in wanted)
        ]
        return {"InstanceInformationList": rows}

    def _wanted(self, call: Any, ids: list[str], targets: list[dict[str, Any]]) -> list[str]:
        """InvalidInstanceId: "doesn't exist, is not running, the agent is not running or not registered"."""
        if bool(ids) == bool(targets):
            raise ServiceError("InvalidParameters", "Specify either InstanceIds or Targets.")
        live = {instance.id: instance for instance in _live(call) if self._runner.reaches(instance.id)}
        for wanted in ids:
            if wanted not in live:
                why = f"Instances [[{wanted}]] not in a valid state for account {call.current_account}"
                raise ServiceError("InvalidInstanceId", why)
        return ids or [wanted for wanted, instance in live.items() if _matches(instance, targets)]

    def _run(self, command: Command, invocation: Invocation, region: str, worker: threading.Semaphore) -> None:
        """Runs in a thread of its own, to the end of the command."""
        if not worker.acquire(timeout=command.delivery_timeout):
            invocation.end("TimedOut", "DeliveryTimedOut", -1, "", "")
            return
        try:
            self._work(command, invocation)
        finally:
            worker.release()
        try:
            _deliver(command, invocation, region)
        except Exception as error:  # AWS too loses the output when the bucket is not there, not the status
            key = (command.command_id, invocation.instance_id)
            _LOG.warning("the output of command %s on %s is not delivered: %s", *key, error)

    def _work(self, command: Command, invocation: Invocation) -> None:
        key = (command.command_id, invocation.instance_id)
        try:
            running = self._start(command, invocation, key)
            ended = running.wait(command.execution_timeout)
            if ended is None:
                running.cancel()
                _time_out(invocation, running.wait())
            else:
                _finish(invocation, ended)
        except Exception as error:  # the machine went away under the command
            _LOG.warning("command %s on %s: %s", *key, error)
            invocation.end("Failed", "Undeliverable", -1, "", str(error))
        finally:
            _running.pop(key, None)

    def _start(self, command: Command, invocation: Invocation, key: tuple[str, str]) -> Running:
        running = self._runner.start_script(invocation.instance_id, command.script, command.working_directory)
        _running[key] = running
        if invocation.cancelled:
            running.cancel()
        else:
            invocation.begin()
        return running


PLUGIN_NAMES = ("aws:runShellScript", "runShellScript")


def _finish(invocation: Invocation, ended: Ended) -> None:
    """User guide, "Understanding command statuses": a command that was cancelled did not fail."""
    if invocation.cancelled:
        invocation.end("Cancelled", "Cancelled", -1, ended.stdout, ended.stderr)
    elif ended.status:
        invocation.end("Failed", "Failed", ended.status, ended.stdout, ended.stderr)
    else:
        invocation.end("Success", "Success", 0, ended.stdout, ended.stderr)


def _time_out(invocation: Invocation, ended: Ended | None) -> None:
    stdout, stderr = (ended.stdout, ended.stderr) if ended else ("", "")
    invocation.end("TimedOut", "ExecutionTimedOut", -1, stdout, stderr)


def _deliver(command: Command, invocation: Invocation, region: str) -> None:
    """Write the whole output to S3 and to CloudWatch Logs, where the command asks for it."""
    import boto3

    streams = {"stdout": invocation.stdout, "stderr": invocation.stderr}
    for stream, text in streams.items():
        if command.bucket and text:
            key = output_key(command, invocation, stream)
            boto3.client("s3", region_name=region).put_object(Bucket=command.bucket, Key=key, Body=text.encode())
        if command.log_group is not None and text:
            name = f"{command.command_id}/{invocation.instance_id}/aws-runShellScript/{stream}"
            _log(command.log_group or f"/aws/ssm/{command.document}", name, text, region)


def _log(group: str, stream: str, text: str, region: str) -> None:
    import contextlib
    import time

    import boto3

    logs = boto3.client("logs", region_name=region)
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    at = int(time.time() * 1000)
    events = [{"timestamp": at, "message": line} for line in text.splitlines() if line]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def _check_document(name: str, call: Any) -> None:
    if name == DOCUMENT:
        return
    if name.startswith("AWS-") or name in getattr(call.ssm_backend, "_documents", {}):
        raise NotImplementedError(f"the document {name}")
    raise ServiceError("InvalidDocument", f"Document with name {name} does not exist.")


def _check_parameters(given: dict[str, list[str]]) -> None:
    unknown = sorted(set(given) - PARAMETERS)
    if unknown:
        raise ServiceError("InvalidParameters", f"Parameters {unknown} are not defined in the document.")
    if not given.get("commands"):
        raise ServiceError("InvalidParameters", "Parameter commands is required.")
    for value in given.get("executionTimeout", []):
        _in_range("executionTimeout", value, EXECUTION_TIMEOUT)


def _in_range(name: str, value: Any, allowed: range) -> int:
    text = str(value)
    if not text.isdigit() or int(text) not in allowed:
        why = f"Parameter {name} is {text}: it must be from {allowed.start} to {allowed.stop - 1} seconds."
        raise ServiceError("InvalidParameters", why)
    return int(text)


def _log_group(config: dict[str, Any]) -> str | None:
    """None when the output does not go to CloudWatch Logs, empty for the default group."""
    return str(config.get("CloudWatchLogGroupName", "")) if config.get("CloudWatchOutputEnabled") else None


def _matches(instance: Any, targets: list[dict[str, Any]]) -> bool:
    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
    return all(_target(instance, tags, target["Key"], target.get("Values", [])) for target in targets)


def _target(instance: Any, tags: dict[str, str], key: str, values: list[str]) -> bool:
    if key == "InstanceIds":
        return instance.id in values
    if key == "tag-key":
        return any(value in tags for value in values)
    return tags.get(key.removeprefix("tag:")) in values


def _instance_filter(parameters: _Parameters) -> list[str]:
    ids: list[str] = []
    for wanted in parameters.any("Filters", []):
        ids += wanted.get("Values", []) if wanted.get("Key") == "InstanceIds" else []
    for wanted in parameters.any("InstanceInformationFilterList", []):
        ids += wanted.get("valueSet", []) if wanted.get("key") == "InstanceIds" else []
    return ids


def _commands(backend: Any) -> dict[str, Command]:
    return backend.__dict__.setdefault("pcinfra_commands", {})  # type: ignore[no-any-return]


def _select(call: Any, parameters: _Parameters) -> list[Command]:
    wanted, instance = parameters.text("CommandId"), parameters.text("InstanceId")
    held = [_find(call, wanted)] if wanted else list(_commands(call.ssm_backend).values())
    return [command for command in reversed(held) if not instance or instance in command.instance_ids]


def _find(call: Any, command_id: str) -> Command:
    command = _commands(call.ssm_backend).get(command_id)
    if command is None:
        raise ServiceError("InvalidCommandId", f"The command {command_id} does not exist.")
    return command


def _live(call: Any) -> Iterator[Any]:
    for reservation in ec2_backends[call.current_account][call.region].reservations.values():
        yield from (instance for instance in reservation.instances if instance._state.name == "running")
