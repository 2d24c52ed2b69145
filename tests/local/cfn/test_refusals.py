"""Broken templates, as data: each is refused as AWS refuses it and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from botocore.exceptions import ClientError

from tests.local.cfn.harness import Cloud, Json, log_group, resources, text

CASES: list[Json] = yaml.safe_load((Path(__file__).parent / "refusals.yaml").read_text())
REFUSED = [case for case in CASES if "refused" in case]
FAILED = [case for case in CASES if "failed" in case]


def arguments(case: Json) -> Json:
    given = case.get("parameters", {})
    return {
        "TemplateBody": case.get("text") or text(case["template"]),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    }


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["name"])
def test_the_call_is_refused(cloud: Cloud, case: Json) -> None:
    with pytest.raises(ClientError) as refused:
        cloud.cfn.create_stack(StackName="stack", **arguments(case))
    error = refused.value.response["Error"]
    assert case["refused"] in error["Message"]
    assert error["Code"] == ("NotImplemented" if "not implemented" in case["refused"] else "ValidationError")
    assert cloud.cfn.list_stacks()["StackSummaries"] == []


@pytest.mark.parametrize("case", FAILED, ids=lambda case: case["name"])
def test_the_resource_fails_and_the_stack_rolls_back(cloud: Cloud, case: Json) -> None:
    before = cloud.inventory()
    stack = cloud.create(text(case["template"]))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert case["failed"] in cloud.failures()["A"]
    assert cloud.inventory() == before


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 30
    assert len({case["name"] for case in CASES}) == len(CASES)


LOGS = text(resources(A=log_group()))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"StackName": "1st"}, "'stackName' failed to satisfy constraint: Member must satisfy regular expression"),
        ({"StackName": "under_score"}, "'stackName' failed to satisfy constraint"),
        ({"StackName": "a" * 129}, "length less than or equal to 128"),
        ({"TemplateBody": LOGS + " " * 51_200}, "length less than or equal to 51200"),
        ({"TemplateURL": "https://bucket.s3.amazonaws.com/t.yaml"}, "Only one of Template URL or Template Body"),
        ({"Tags": [{"Key": "aws:mine", "Value": "x"}]}, "must not begin with aws:"),
        ({"OnFailure": "DELETE", "DisableRollback": True}, "can't specify both DisableRollback and OnFailure"),
        ({"Capabilities": ["CAPABILITY_ALL"]}, "'capabilities' failed to satisfy constraint"),
        ({"TimeoutInMinutes": 5}, "not implemented by the local cloud: the parameter TimeoutInMinutes"),
    ],
)
def test_a_request_that_breaks_the_limits_is_refused(cloud: Cloud, given: Json, message: str) -> None:
    with pytest.raises(ClientError, match=message):
        cloud.cfn.create_stack(**{"StackName": "stack", "TemplateBody": LOGS, **given})


def test_a_template_without_a_body_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="Either Template URL or Template Body must be specified"):
        cloud.cfn.create_stack(StackName="stack")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://templates.s3.amazonaws.com/missing.yaml", "S3 error: "),
        ("https://example.com/bucket/key.yaml", "TemplateURL must be an Amazon S3 URL."),
        ("file:///etc/passwd", "TemplateURL must be a supported URL."),
    ],
)
def test_a_template_that_cannot_be_read_is_refused(cloud: Cloud, url: str, message: str) -> None:
    cloud.client("s3").create_bucket(Bucket="templates")
    with pytest.raises(ClientError, match=message):
        cloud.cfn.create_stack(StackName="stack", TemplateURL=url)


def test_a_template_in_s3_may_have_a_megabyte(cloud: Cloud) -> None:
    cloud.client("s3").create_bucket(Bucket="templates")
    cloud.client("s3").put_object(Bucket="templates", Key="big.json", Body=LOGS + " " * 500_000)
    cloud.client("s3").put_object(Bucket="templates", Key="huge.json", Body=LOGS + " " * 1_048_577)
    url = "https://templates.s3.us-east-1.amazonaws.com/"
    cloud.cfn.create_stack(StackName="stack", TemplateURL=f"{url}big.json")
    assert cloud.wait("stack")["StackStatus"] == "CREATE_COMPLETE"
    with pytest.raises(ClientError, match="may not exceed"):
        cloud.cfn.create_stack(StackName="other", TemplateURL=f"{url}huge.json")


def test_scalars_may_be_written_as_text(cloud: Cloud) -> None:
    """ "true" for true and "7" for 7, in both directions, as templates have it."""
    vpc = {
        "Type": "AWS::EC2::VPC",
        "Properties": {
            "CidrBlock": "10.0.0.0/16",
            "EnableDnsHostnames": "true",
            "Tags": [{"Key": "n", "Value": 7}, {"Key": "b", "Value": True}],
        },
    }
    stack = cloud.create(resources(Vpc=vpc, Logs=log_group(LogGroupName=123, RetentionInDays="7")))
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures()
    row = cloud.client("ec2").describe_vpcs(VpcIds=[cloud.physical("Vpc")])["Vpcs"][0]
    tags = {tag["Key"]: tag["Value"] for tag in row["Tags"]}
    assert (tags["n"], tags["b"]) == ("7", "true")
    assert cloud.client("logs").describe_log_groups()["logGroups"][0]["retentionInDays"] == 7


def test_secrets_are_masked(cloud: Cloud) -> None:
    template = {
        "Parameters": {"Secret": {"Type": "String", "NoEcho": True}},
        **resources(A=log_group(LogGroupName={"Ref": "Secret"})),
    }
    cloud.create(template, Parameters=[{"ParameterKey": "Secret", "ParameterValue": "hidden"}])
    assert cloud.stack()["Parameters"] == [{"ParameterKey": "Secret", "ParameterValue": "****"}]
    assert cloud.physical("A") == "hidden"


def test_a_parameter_may_come_from_ssm(cloud: Cloud) -> None:
    cloud.client("ssm").put_parameter(Name="/image", Value="mine", Type="String")
    template = {
        "Parameters": {"Image": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/image"}},
        **resources(A=log_group(LogGroupName={"Ref": "Image"})),
    }
    cloud.create(template)
    assert cloud.physical("A") == "mine"
    shown = cloud.stack()["Parameters"][0]
    assert (shown["ParameterValue"], shown["ResolvedValue"]) == ("/image", "mine")
