"""Run Command runs: a real bash behind every instance."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local.services.asking import refusal
from tests.local.services.conftest import Client, client_of
from tests.waiting import until_equal

DOCUMENT = "AWS-RunShellScript"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    command = [sys.executable, "-m", "tests.local.services.bashcloud", str(tmp_path_factory.mktemp("ssm"))]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        yield client_of(f"http://127.0.0.1:{process.stdout.readline().strip()}")
        process.communicate()


@pytest.fixture(scope="module")
def instances(cloud: Client) -> list[str]:
    return [launch(cloud("ec2"), name) for name in ("head", "other")]


def launch(ec2: Any, name: str) -> str:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}]
    answer = ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, TagSpecifications=tags)
    return str(answer["Instances"][0]["InstanceId"])


def send(ssm: Any, instance: str, *commands: str, **more: Any) -> str:
    parameters = {"commands": list(commands), **more.pop("Parameters", {})}
    answer = ssm.send_command(InstanceIds=[instance], DocumentName=DOCUMENT, Parameters=parameters, **more)
    assert answer["Command"]["Status"] in ("Pending", "InProgress")
    return str(answer["Command"]["CommandId"])


def result(ssm: Any, command: str, instance: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def finished() -> bool:
        found.update(ssm.get_command_invocation(CommandId=command, InstanceId=instance))
        return found["Status"] not in ("Pending", "InProgress", "Delayed", "Cancelling")

    until_equal(finished, True)
    return found


def run(ssm: Any, instance: str, *commands: str, **more: Any) -> dict[str, Any]:
    return result(ssm, send(ssm, instance, *commands, **more), instance)


@pytest.mark.parametrize(
    ("commands", "status", "code", "stdout", "stderr"),
    [
        (["echo hello", "echo trouble >&2"], "Success", 0, "hello\n", "trouble\n"),
        (["exit 3"], "Failed", 3, "", ""),
        (["x='a b'", 'printf "%s|" "$x" \'$x\' "ä€"'], "Success", 0, "a b|$x|ä€|", ""),
        (["no-such-program-at-all"], "Failed", 127, "", "not found"),
        (["kill -9 $$"], "Failed", 137, "", ""),
        (["if"], "Failed", 2, "", "syntax error"),
    ],
)
def test_commands(
    cloud: Client, instances: list[str], commands: list[str], status: str, code: int, stdout: str, stderr: str
) -> None:
    found = run(cloud("ssm"), instances[0], *commands)
    assert (found["Status"], found["StatusDetails"], found["ResponseCode"]) == (status, status, code)
    assert found["StandardOutputContent"] == stdout
    assert stderr in found["StandardErrorContent"]


def test_the_working_directory(cloud: Client, instances: list[str], tmp_path: Path) -> None:
    found = run(cloud("ssm"), instances[0], "pwd", Parameters={"workingDirectory": [str(tmp_path)]})
    assert found["StandardOutputContent"] == f"{tmp_path}\n"


def test_a_directory_that_is_not_there(cloud: Client, instances: list[str]) -> None:
    found = run(cloud("ssm"), instances[0], "pwd", Parameters={"workingDirectory": ["/nowhere/at/all"]})
    assert (found["Status"], found["StatusDetails"]) == ("Failed", "Undeliverable")


def test_output_is_cut_where_aws_cuts_it(cloud: Client, instances: list[str]) -> None:
    ssm = cloud("ssm")
    command = send(ssm, instances[0], "head -c 50000 /dev/zero | tr '\\0' x", "head -c 9000 /dev/zero | tr '\\0' y >&2")
    found = result(ssm, command, instances[0])
    assert (len(found["StandardOutputContent"]), len(found["StandardErrorContent"])) == (24_000, 8_000)
    rows = ssm.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
    assert len(rows[0]["CommandPlugins"][0]["Output"]) == 2_500


def test_whole_output_in_s3_and_logs(cloud: Client, instances: list[str]) -> None:
    ssm, s3, logs = cloud("ssm"), cloud("s3"), cloud("logs")
    s3.create_bucket(Bucket="run-command-output")
    command = send(
        ssm,
        instances[0],
        "seq 10000",
        OutputS3BucketName="run-command-output",
        OutputS3KeyPrefix="runs",
        CloudWatchOutputConfig={"CloudWatchOutputEnabled": True},
    )
    key = f"runs/{command}/{instances[0]}/awsrunShellScript/0.awsrunShellScript/stdout"
    found = result(ssm, command, instances[0])
    assert found["StandardOutputUrl"].endswith(key)

    def keys() -> list[str]:
        return [row["Key"] for row in s3.list_objects_v2(Bucket="run-command-output").get("Contents", [])]

    until_equal(keys, [key])
    body = s3.get_object(Bucket="run-command-output", Key=key)["Body"].read()
    assert body.split()[-1] == b"10000"
    stream = f"{command}/{instances[0]}/aws-runShellScript/stdout"

    def streams() -> list[str]:
        groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
        found = [logs.describe_log_streams(logGroupName=group)["logStreams"] for group in groups]
        return [row["logStreamName"] for rows in found for row in rows]

    until_equal(streams, [stream])


def test_too_long(cloud: Client, instances: list[str]) -> None:
    found = run(cloud("ssm"), instances[0], "echo begun", "sleep 600", Parameters={"executionTimeout": ["1"]})
    assert (found["Status"], found["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")
    assert found["StandardOutputContent"] == "begun\n"


def test_cancel(cloud: Client, instances: list[str], tmp_path: Path) -> None:
    ssm, mark = cloud("ssm"), tmp_path / "begun"
    command = send(ssm, instances[0], f"touch {mark}", "sleep 600")
    until_equal(mark.exists, True)
    ssm.cancel_command(CommandId=command)
    assert result(ssm, command, instances[0])["Status"] == "Cancelled"
    assert ssm.list_commands(CommandId=command)["Commands"][0]["Status"] == "Cancelled"
    ssm.cancel_command(CommandId=command)
    assert result(ssm, command, instances[0])["Status"] == "Cancelled"


def test_a_running_command(cloud: Client, instances: list[str], tmp_path: Path) -> None:
    ssm, go = cloud("ssm"), tmp_path / "go"
    command = send(ssm, instances[0], f"until test -e {go}; do sleep 0.05; done")
    ask = {"CommandId": command, "InstanceId": instances[0]}
    until_equal(lambda: ssm.get_command_invocation(**ask)["Status"], "InProgress")
    assert ssm.get_command_invocation(**ask)["ResponseCode"] == -1
    assert ssm.list_commands(CommandId=command)["Commands"][0]["CompletedCount"] == 0
    go.touch()
    assert result(ssm, command, instances[0])["Status"] == "Success"


def test_many_instances(cloud: Client, instances: list[str]) -> None:
    ssm = cloud("ssm")
    targets = [{"Key": "tag:Name", "Values": ["head", "other"]}]
    parameters = {"commands": ["exit 1"]}
    command = ssm.send_command(Targets=targets, DocumentName=DOCUMENT, Parameters=parameters)["Command"]
    assert command["TargetCount"] == 2
    for instance in instances:
        assert result(ssm, command["CommandId"], instance)["Status"] == "Failed"
    found = ssm.list_commands(CommandId=command["CommandId"])["Commands"][0]
    assert (found["Status"], found["CompletedCount"], found["ErrorCount"]) == ("Failed", 2, 2)
    nobody = [{"Key": "tag:Name", "Values": ["nobody"]}]
    command = ssm.send_command(Targets=nobody, DocumentName=DOCUMENT, Parameters=parameters)["Command"]
    assert (command["TargetCount"], command["StatusDetails"]) == (0, "NoInstancesInTag")


def test_instances_that_answer(cloud: Client, instances: list[str]) -> None:
    ssm, ec2 = cloud("ssm"), cloud("ec2")
    silent, stopped = launch(ec2, "silent"), launch(ec2, "stopped")
    ec2.stop_instances(InstanceIds=[stopped])
    found = ssm.describe_instance_information()["InstanceInformationList"]
    assert {row["InstanceId"] for row in found} == set(instances)
    filters = [{"Key": "InstanceIds", "Values": [instances[1]]}]
    rows = ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]
    assert [(row["InstanceId"], row["PingStatus"]) for row in rows] == [(instances[1], "Online")]
    for wanted in (silent, stopped, "i-0123456789abcdef0"):
        request = {"InstanceIds": [wanted], "DocumentName": DOCUMENT, "Parameters": {"commands": ["true"]}}
        code, message = refusal(ssm.send_command, **request)
        assert code == "InvalidInstanceId"
        assert wanted in message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"DocumentName": "Nope"}, "InvalidDocument"),
        ({"DocumentName": "AWS-RunPatchBaseline"}, "NotImplemented"),
        ({"Parameters": {}}, "InvalidParameters"),
        ({"Parameters": {"commands": []}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["x"], "color": ["red"]}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["x"], "executionTimeout": ["0"]}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["x"], "executionTimeout": ["172801"]}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["x"], "executionTimeout": ["soon"]}}, "InvalidParameters"),
        ({"TimeoutSeconds": 29}, "InvalidParameters"),
        ({"InstanceIds": []}, "InvalidParameters"),
        ({"Targets": [{"Key": "tag:Name", "Values": ["head"]}]}, "InvalidParameters"),
    ],
)
def test_refused(cloud: Client, instances: list[str], change: dict[str, Any], code: str) -> None:
    request = {"InstanceIds": instances[:1], "DocumentName": DOCUMENT, "Parameters": {"commands": ["true"]}}
    assert refusal(cloud("ssm").send_command, **{**request, **change})[0] == code


def test_commands_that_are_not_there(cloud: Client, instances: list[str]) -> None:
    ssm, unknown = cloud("ssm"), "01234567-0123-0123-0123-0123456789ab"
    ask = {"CommandId": unknown, "InstanceId": instances[0]}
    assert refusal(ssm.get_command_invocation, **ask)[0] == "InvalidCommandId"
    assert refusal(ssm.cancel_command, CommandId=unknown)[0] == "InvalidCommandId"
    command = send(ssm, instances[0], "true")
    ask = {"CommandId": command, "InstanceId": instances[1]}
    assert refusal(ssm.get_command_invocation, **ask)[0] == "InvocationDoesNotExist"


def test_a_call_answers_while_a_command_runs(cloud: Client, instances: list[str]) -> None:
    ssm = cloud("ssm")
    command = send(ssm, instances[0], "sleep 600")
    began = time.monotonic()
    cloud("sts").get_caller_identity()
    assert run(ssm, instances[1], "echo other")["StandardOutputContent"] == "other\n"
    assert ssm.list_commands(CommandId=command)["Commands"][0]["Status"] in ("Pending", "InProgress")
    assert time.monotonic() - began < 600
    ssm.cancel_command(CommandId=command)


def test_an_agent_runs_five_commands_at_a_time(cloud: Client, tmp_path: Path) -> None:
    ssm, instance = cloud("ssm"), launch(cloud("ec2"), "busy")
    waiting = [send(ssm, instance, f"until [ -e {tmp_path}/go ]; do sleep 0.05; done") for _ in range(5)]

    def states() -> set[str]:
        return {str(ssm.get_command_invocation(CommandId=each, InstanceId=instance)["Status"]) for each in waiting}

    until_equal(states, {"InProgress"})
    sixth = send(ssm, instance, f"touch {tmp_path}/sixth")
    run(ssm, launch(cloud("ec2"), "idle"), "true")  # another instance has an agent of its own
    assert ssm.get_command_invocation(CommandId=sixth, InstanceId=instance)["Status"] == "Pending"
    assert not (tmp_path / "sixth").exists()
    (tmp_path / "go").touch()
    assert result(ssm, sixth, instance)["Status"] == "Success"
    assert {result(ssm, each, instance)["Status"] for each in waiting} == {"Success"}
