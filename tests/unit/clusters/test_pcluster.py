"""pcluster as a program: what it is asked, and what its answers mean."""

from __future__ import annotations

from typing import Any

import pytest

from pcinfra import errors
from pcinfra.aws import Target
from pcinfra.clusters.findings import Level
from pcinfra.clusters.pcluster import HeadNode, Pcluster
from tests.unit.clusters.fakes import FakeShell

TARGET = Target("us-east-1", "http://127.0.0.1:9", credentials=("id", "secret"))
DRYRUN = {"message": "Request would have succeeded, but DryRun flag is set."}
WRONG = {"level": "ERROR", "type": "EfaValidator", "message": "no EFA here"}
DOUBT = {"level": "WARNING", "type": "MaxCountValidator", "message": "many"}


def pcluster(*answers: tuple[int, Any], **values: Any) -> tuple[Pcluster, FakeShell]:
    shell = FakeShell(list(answers), **values)
    return Pcluster(shell, TARGET), shell


def test_create_sends_the_configuration_and_keeps_what_fails() -> None:
    program, shell = pcluster((0, {"cluster": {"cloudformationStackArn": "arn:1"}}))
    assert program.create("train", "Region: us-east-1\n") == "arn:1"
    command = " ".join(shell.commands[0])
    assert "create-cluster -n train -c /dev/stdin --rollback-on-failure false" in command
    assert command.endswith("-r us-east-1")
    assert shell.stdins == ["Region: us-east-1\n"]


def test_the_program_is_sent_to_our_target_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "other")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "other")
    program, shell = pcluster((0, {"clusters": []}))
    program.statuses()
    environment = shell.environments[0]
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"
    assert environment["AWS_ACCESS_KEY_ID"] == "id"
    assert "AWS_PROFILE" not in environment
    assert "AWS_SESSION_TOKEN" not in environment


def test_create_refused_by_validators_carries_every_error_and_no_warning() -> None:
    other = {"level": "ERROR", "type": "NameValidator", "message": "bad name"}
    answer = {"message": "Invalid cluster configuration.", "configurationValidationErrors": [WRONG, DOUBT, other]}
    program, _ = pcluster((1, answer))
    with pytest.raises(errors.InputError) as caught:
        program.create("train", "")
    assert [(problem.key, problem.why) for problem in caught.value.problems] == [
        ("EfaValidator", "no EFA here"),
        ("NameValidator", "bad name"),
    ]
    assert caught.value.exit_code == 2


def test_dryrun_returns_errors_and_warnings() -> None:
    program, _ = pcluster((1, {"message": "Invalid", "configurationValidationErrors": [WRONG, DOUBT]}))
    findings = program.dryrun("train", "")
    assert [(f.level, f.check, f.what) for f in findings] == [
        (Level.ERROR, "EfaValidator", "no EFA here"),
        (Level.WARNING, "MaxCountValidator", "many"),
    ]


@pytest.mark.parametrize("status", [0, 1])
def test_dryrun_of_a_right_configuration_says_nothing(status: int) -> None:
    assert pcluster((status, DRYRUN))[0].dryrun("train", "") == []
    assert len(pcluster((status, {**DRYRUN, "validationMessages": [DOUBT]}))[0].dryrun("train", "")) == 1


def test_dryrun_that_could_not_run_is_an_error() -> None:
    with pytest.raises(errors.Conflict):
        pcluster((1, {"message": "Bad Request: Cluster train already exists."}))[0].dryrun("train", "")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Bad Request: Cluster train already exists.", errors.Conflict),
        (
            "Cluster 'train' does not exist or belongs to an incompatible ParallelCluster major version.",
            errors.NotFound,
        ),
        ("An error occurred (AlreadyExistsException): Stack [train] already exists", errors.Conflict),
        ("Cluster update failed.\nStack:arn:x is in UPDATE_IN_PROGRESS state and can not be updated.", errors.Conflict),
        ("Cannot execute update while stack is in UPDATE_IN_PROGRESS status.", errors.Conflict),
        ("The specified bucket does not exist", errors.CloudError),
        ("Unable to locate credentials", errors.CredentialsError),
        ("An error occurred (ExpiredToken) when calling the X operation", errors.CredentialsError),
        ("User: arn:x is not authorized to perform: cloudformation:CreateStack", errors.AccessDenied),
        ("Rate exceeded", errors.Unreachable),
        ("Unable to find node executable. Node.js is required by the AWS CDK library", errors.MissingTool),
        ("something new", errors.CloudError),
    ],
)
def test_messages_have_their_place_in_our_tree(message: str, kind: type[errors.PcinfraError]) -> None:
    with pytest.raises(kind) as caught:
        pcluster((1, {"message": message}))[0].delete("train")
    assert type(caught.value) is kind
    assert message in str(caught.value)


def test_an_answer_that_is_not_json_is_shown_as_it_is() -> None:
    with pytest.raises(errors.CloudError, match="Traceback"):
        pcluster((1, "Traceback (most recent call last): …"))[0].describe("train")


def test_without_node_it_says_how_to_get_it_before_anything_runs() -> None:
    program, shell = pcluster(programs=())
    for ask in (program.create, program.dryrun):
        with pytest.raises(errors.MissingTool) as caught:
            ask("train", "")
        assert "nodejs" in caught.value.hint
    assert shell.commands == []


DESCRIBED: dict[str, Any] = {
    "clusterName": "train", "clusterStatus": "CREATE_FAILED", "cloudFormationStackStatus": "CREATE_FAILED",
    "computeFleetStatus": "UNKNOWN", "version": "3.16.1", "creationTime": "2026-01-01T00:00:00Z",
    "headNode": {"instanceId": "i-1", "instanceType": "m5.large", "state": "running", "privateIpAddress": "10.0.0.1"},
    "failures": [{"failureCode": "FsxMountFailure", "failureReason": "Failed to mount FSX."}],
}  # fmt: skip


def test_describe_tells_head_node_and_failures() -> None:
    found = pcluster((0, DESCRIBED))[0].describe("train")
    assert found.head_node == HeadNode("i-1", "m5.large", "running", "10.0.0.1")
    assert found.failures == (("FsxMountFailure", "Failed to mount FSX."),)


def test_describe_without_a_head_node() -> None:
    answer = {key: value for key, value in DESCRIBED.items() if key not in ("headNode", "failures")}
    found = pcluster((0, answer))[0].describe("train")
    assert found.head_node is None
    assert found.failures == ()


def test_statuses_by_name() -> None:
    clusters = [{"clusterName": "a", "clusterStatus": "CREATE_COMPLETE"}]
    assert pcluster((0, {"clusters": clusters}))[0].statuses() == {"a": "CREATE_COMPLETE"}
