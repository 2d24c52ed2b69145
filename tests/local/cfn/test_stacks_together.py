"""Stacks that use each other: exports, nested stacks, wait conditions, custom resources."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Mapping

import pytest
from botocore.exceptions import ClientError

import pcinfra.localcloud.cfn as engine
from tests.local.cfn.harness import Cloud, Json, log_group, parameter, resources, text


def exporting(value: str = "v1", name: str = "shared") -> Json:
    output = {"Value": value, "Export": {"Name": name}}
    return {**resources(Logs=log_group()), "Outputs": {"Out": output}}


IMPORTING = resources(Uses=parameter({"Fn::ImportValue": "shared"}, Name="/uses"))


def test_an_export_is_imported_listed_and_protected(cloud: Cloud) -> None:
    cloud.create(exporting(), "exporter")
    cloud.create(IMPORTING, "importer")

    assert cloud.client("ssm").get_parameter(Name="/uses")["Parameter"]["Value"] == "v1"
    assert [(row["Name"], row["Value"]) for row in cloud.cfn.list_exports()["Exports"]] == [("shared", "v1")]
    assert cloud.cfn.list_imports(ExportName="shared")["Imports"] == ["importer"]

    kept = cloud.delete("exporter")
    assert kept["StackStatus"] == "CREATE_COMPLETE"
    assert kept["StackStatusReason"] == "Delete canceled. Cannot delete export shared as it is in use by importer."
    assert cloud.update(exporting("v2"), "exporter")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "Export shared cannot be updated as it is in use by importer" in str(cloud.history("exporter", "exporter"))

    cloud.delete("importer")
    assert cloud.delete("exporter")["StackStatus"] == "DELETE_COMPLETE"


def test_a_name_is_exported_once(cloud: Cloud) -> None:
    cloud.create(exporting(), "first")
    second = cloud.create(exporting(), "second")
    assert second["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "Export with name shared is already exported by stack first" in str(cloud.history("second", "second"))


def test_an_import_of_nothing_fails_the_resource(cloud: Cloud) -> None:
    assert cloud.create(IMPORTING)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert cloud.failures() == {"Uses": "No export named shared found."}


@pytest.fixture
def child_url(cloud: Cloud) -> str:
    """Address of a child template that writes its parameter to SSM and gives it back."""
    child = {
        "Parameters": {"Word": {"Type": "String"}},
        "Resources": {"P": parameter({"Ref": "Word"}, Name="/child")},
        "Outputs": {"Echo": {"Value": {"Fn::GetAtt": ["P", "Value"]}}},
    }
    cloud.client("s3").create_bucket(Bucket="templates")
    cloud.client("s3").put_object(Bucket="templates", Key="child.json", Body=text(child))
    return "https://templates.s3.amazonaws.com/child.json"


def parent(url: str, word: str, **more: Json) -> Json:
    nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url, "Parameters": {"Word": word}}}
    outputs = {"Echo": {"Value": {"Fn::GetAtt": ["Child", "Outputs.Echo"]}}}
    return {**resources(Child=nested, **more), "Outputs": outputs}


def test_a_nested_stack_lives_with_its_parent(cloud: Cloud, child_url: str) -> None:
    stack = cloud.create(parent(child_url, "one"), Tags=[{"Key": "team", "Value": "a"}])
    assert cloud.outputs() == {"Echo": "one"}
    child = cloud.stack(cloud.physical("Child"))
    assert child["StackName"].startswith("stack-Child-")
    assert (child["ParentId"], child["RootId"]) == (stack["StackId"], stack["StackId"])
    assert child["Tags"] == [{"Key": "team", "Value": "a"}]

    cloud.update(parent(child_url, "two"))
    assert cloud.outputs() == {"Echo": "two"}
    assert cloud.physical("Child") == child["StackId"]

    cloud.delete()
    assert cloud.stack(child["StackId"])["StackStatus"] == "DELETE_COMPLETE"


def test_a_parent_that_fails_takes_its_nested_stack_back(cloud: Cloud, child_url: str) -> None:
    cloud.client("ssm").put_parameter(Name="/taken", Value="theirs", Type="String")
    cloud.create(parent(child_url, "one"))
    bad = {**parameter("x", Name="/taken"), "DependsOn": "Child"}
    assert cloud.update(parent(child_url, "two", Bad=bad))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert cloud.client("ssm").get_parameter(Name="/child")["Parameter"]["Value"] == "one"


def test_a_nested_stack_that_fails_names_its_reason_in_the_parent(cloud: Cloud, child_url: str) -> None:
    cloud.client("ssm").put_parameter(Name="/child", Value="theirs", Type="String")
    stack = cloud.create(parent(child_url, "one"))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = cloud.failures()["Child"]
    assert reason.startswith("Embedded stack arn:aws:cloudformation:us-east-1:")
    assert "was not successfully created: The following resource(s) failed to create: [P]. " in reason


def test_a_nested_template_that_is_refused_fails_the_resource(cloud: Cloud, child_url: str) -> None:
    template = parent(child_url, "one")
    del template["Resources"]["Child"]["Properties"]["Parameters"]
    cloud.create(template)
    assert cloud.failures()["Child"] == "Parameters: [Word] must have values"


def wait_template() -> Json:
    return {
        "Parameters": {"Name": {"Type": "String", "Default": "train"}},
        **resources(
            Handle={"Type": "AWS::CloudFormation::WaitConditionHandle"},
            Wait={
                "Type": "AWS::CloudFormation::WaitCondition",
                "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "600", "Count": 1},
            },
            Logs=log_group(LogGroupName="mine"),
        ),
        "Outputs": {"Data": {"Value": {"Fn::GetAtt": ["Wait", "Data"]}}},
    }


def test_a_wait_condition_calls_the_hook_when_the_rest_is_made(cloud: Cloud) -> None:
    seen: list[engine.WaitCondition] = []

    def signal(condition: engine.WaitCondition) -> Mapping[str, str]:
        seen.append(condition)
        assert condition.resource("Logs").physical_id == "mine"
        assert condition.client("logs").describe_log_groups()["logGroups"]
        with pytest.raises(KeyError):
            condition.resource("Nothing")
        return {"i-1": "ready"}

    engine.install(engine.Hooks(wait_condition=signal))
    cloud.create(wait_template())
    assert cloud.outputs() == {"Data": '{"i-1": "ready"}'}
    condition = seen[0]
    assert (condition.stack_name, condition.logical_id, condition.timeout) == ("stack", "Wait", 600)
    assert condition.parameters == {"Name": "train"}
    assert (condition.account, condition.region) == ("123456789012", "us-east-1")


def test_what_the_hook_raises_is_the_reason(cloud: Cloud) -> None:
    message = "WaitCondition received failed message: 'Failed to execute OnNodeStart' for uniqueId: i-0123"
    deleted: list[engine.StackDeleted] = []

    def fail(_: engine.WaitCondition) -> Mapping[str, str]:
        raise RuntimeError(message)

    engine.install(engine.Hooks(wait_condition=fail, stack_deleted=deleted.append))
    stack = cloud.create(wait_template())
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert cloud.failures() == {"Wait": message}
    assert [event.stack_id for event in deleted] == [stack["StackId"]]


def test_deleting_a_stack_ends_a_wait_that_is_going_on(cloud: Cloud) -> None:
    waiting = threading.Event()

    def wait(condition: engine.WaitCondition) -> Mapping[str, str]:
        waiting.set()
        while not condition.cancelled():
            waiting.wait(0.01)
        raise RuntimeError("given up")

    engine.install(engine.Hooks(wait_condition=wait))
    stack_id = cloud.start(wait_template())
    assert waiting.wait(30)
    cloud.cfn.delete_stack(StackName=stack_id)
    assert cloud.wait(stack_id)["StackStatus"] == "DELETE_COMPLETE"
    assert cloud.inventory()["log groups"] == []


CRHELPER = """
import time
import boto3
from beside import Helper

helper = Helper()

@helper.create
def create(event, _):
    helper.Data["Word"] = event["ResourceProperties"]["Word"]
    return "chosen-id"

@helper.delete
def delete(event, _):
    time.sleep(30)
    boto3.client("ssm").put_parameter(Name="/deleted", Value=event["ResourceProperties"]["Word"], Type="String")

def handler(event, context):
    helper(event, context)
"""
BESIDE = """
class Helper:
    def __init__(self):
        self.Data = {}
    def create(self, func):
        self._create_func = func
        return func
    def delete(self, func):
        self._delete_func = func
        return func
"""
PLAIN = """
import cfnresponse

def handler(event, context):
    word = event["ResourceProperties"]["Word"]
    if word == "bad":
        cfnresponse.send(event, context, cfnresponse.FAILED, {}, reason="bad word")
    else:
        cfnresponse.send(event, context, cfnresponse.SUCCESS, {"Word": word.upper()}, "plain-id")
"""


def custom(code: Json, module: str, word: str) -> Json:
    role = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
                ],
            }
        },
    }
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Code": code,
            "Handler": f"{module}.handler",
            "Runtime": "python3.12",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        },
    }
    resource = {
        "Type": "Custom::Thing",
        "Properties": {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}, "Word": word},
    }
    outputs = {"Word": {"Value": {"Fn::GetAtt": ["Thing", "Word"]}}, "Id": {"Value": {"Ref": "Thing"}}}
    return {**resources(Role=role, Function=function, Thing=resource), "Outputs": outputs}


IAM: Json = {"Capabilities": ["CAPABILITY_IAM"]}


def test_a_custom_resource_runs_the_code_of_its_function(cloud: Cloud) -> None:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("thing.py", CRHELPER)
        archive.writestr("beside.py", BESIDE)
    cloud.client("s3").create_bucket(Bucket="code")
    cloud.client("s3").put_object(Bucket="code", Key="thing.zip", Body=package.getvalue())

    cloud.create(custom({"S3Bucket": "code", "S3Key": "thing.zip"}, "thing", "hello"), **IAM)
    assert cloud.outputs() == {"Word": "hello", "Id": "chosen-id"}
    cloud.delete()
    assert cloud.client("ssm").get_parameter(Name="/deleted")["Parameter"]["Value"] == "hello"


def test_a_custom_resource_with_inline_code_answers_through_cfnresponse(cloud: Cloud) -> None:
    cloud.create(custom({"ZipFile": PLAIN}, "index", "hello"), **IAM)
    assert cloud.outputs() == {"Word": "HELLO", "Id": "plain-id"}
    cloud.delete()


def test_a_custom_resource_that_answers_failed_fails(cloud: Cloud) -> None:
    assert cloud.create(custom({"ZipFile": PLAIN}, "index", "bad"), **IAM)["StackStatus"].startswith("ROLLBACK")
    assert (
        "Received response status [FAILED] from custom resource. Message returned: bad word"
        in (cloud.failures()["Thing"])
    )


def test_capabilities_must_be_acknowledged(cloud: Cloud) -> None:
    template = custom({"ZipFile": PLAIN}, "index", "hello")
    with pytest.raises(ClientError) as refused:
        cloud.start(template)
    assert refused.value.response["Error"]["Code"] == "InsufficientCapabilitiesException"
    assert "[CAPABILITY_IAM]" in str(refused.value)
    template["Resources"]["Role"]["Properties"]["RoleName"] = "mine"
    with pytest.raises(ClientError, match="CAPABILITY_NAMED_IAM"):
        cloud.start(template, **IAM)
