"""Updates in place and by replacement, their roll-back, and change sets."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.cfn.harness import Cloud, Json, log_group, parameter, resources, text


def retention(cloud: Cloud, name: str) -> int | None:
    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return groups[0].get("retentionInDays") if groups else None


def value(cloud: Cloud, name: str) -> str:
    return str(cloud.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


def test_an_update_in_place_keeps_the_physical_resource(cloud: Cloud) -> None:
    cloud.create(resources(Logs=log_group(LogGroupName="mine", RetentionInDays=7)))
    stack = cloud.update(resources(Logs=log_group(LogGroupName="mine", RetentionInDays=30)))

    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    assert retention(cloud, "mine") == 30
    assert [status for status, _ in cloud.history("Logs")[-2:]] == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]
    assert [status for status, _ in cloud.history("stack")][-3:] == [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]


def test_a_replacement_is_made_before_the_old_one_goes(cloud: Cloud) -> None:
    cloud.create(resources(Logs=log_group(LogGroupName="old"), Uses=parameter({"Ref": "Logs"}, Name="/uses")))
    cloud.update(resources(Logs=log_group(LogGroupName="new"), Uses=parameter({"Ref": "Logs"}, Name="/uses")))

    assert cloud.physical("Logs") == "new"
    assert value(cloud, "/uses") == "new"
    assert retention(cloud, "old") is None
    order = [(e["PhysicalResourceId"], e["ResourceStatus"]) for e in cloud.events() if e["LogicalResourceId"] == "Logs"]
    assert order.index(("new", "UPDATE_COMPLETE")) < order.index(("old", "DELETE_IN_PROGRESS"))


def test_update_replace_policy_keeps_the_old_one(cloud: Cloud) -> None:
    kept = {"UpdateReplacePolicy": "Retain"}
    cloud.create(resources(Logs={**log_group(LogGroupName="old"), **kept}))
    cloud.update(resources(Logs={**log_group(LogGroupName="new"), **kept}))
    names = [group["logGroupName"] for group in cloud.client("logs").describe_log_groups()["logGroups"]]
    assert names == ["new", "old"]


def test_removed_resources_go_and_new_ones_come(cloud: Cloud) -> None:
    cloud.create(resources(A=log_group(LogGroupName="a"), B={**log_group(LogGroupName="b"), "DependsOn": "A"}))
    cloud.update(resources(B=log_group(LogGroupName="b"), C=log_group(LogGroupName="c")))
    names = [group["logGroupName"] for group in cloud.client("logs").describe_log_groups()["logGroups"]]
    assert names == ["b", "c"]


def failing_update() -> Json:
    """Changes one in place, replaces one, adds one, and fails last."""
    return resources(
        InPlace=parameter("new", Name="/in-place"),
        Replaced=log_group(LogGroupName="replaced-new"),
        Added={**log_group(LogGroupName="added"), "DependsOn": ["InPlace", "Replaced"]},
        Bad={**parameter("x", Name="/taken"), "DependsOn": "Added"},
    )


def start_of_failing_update() -> Json:
    return resources(InPlace=parameter("old", Name="/in-place"), Replaced=log_group(LogGroupName="replaced-old"))


def test_a_failed_update_gives_every_resource_its_old_state_back(cloud: Cloud) -> None:
    cloud.client("ssm").put_parameter(Name="/taken", Value="theirs", Type="String")
    cloud.create(start_of_failing_update())

    stack = cloud.update(failing_update())

    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert value(cloud, "/in-place") == "old"
    names = [group["logGroupName"] for group in cloud.client("logs").describe_log_groups()["logGroups"]]
    assert names == ["replaced-old"]
    assert cloud.physical("Replaced") == "replaced-old"
    assert dict(cloud.history("stack"))["UPDATE_ROLLBACK_IN_PROGRESS"] == (
        "The following resource(s) failed to create: [Bad]. "
    )
    assert cloud.update(resources(InPlace=parameter("later", Name="/in-place")))["StackStatus"] == "UPDATE_COMPLETE"
    assert value(cloud, "/in-place") == "later"


def test_a_failed_update_may_be_left_as_it_is_and_rolled_back_later(cloud: Cloud) -> None:
    cloud.client("ssm").put_parameter(Name="/taken", Value="theirs", Type="String")
    cloud.create(start_of_failing_update())
    stack = cloud.update(failing_update(), DisableRollback=True)
    assert stack["StackStatus"] == "UPDATE_FAILED"
    assert value(cloud, "/in-place") == "new"

    cloud.cfn.rollback_stack(StackName="stack")
    assert cloud.wait("stack")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert value(cloud, "/in-place") == "old"


def test_a_rollback_that_fails_can_be_continued_without_the_resource(cloud: Cloud) -> None:
    old = resources(Logs=log_group(LogGroupName="mine", RetentionInDays=7))
    cloud.client("ssm").put_parameter(Name="/taken", Value="theirs", Type="String")
    cloud.create(old)
    gone = {**parameter("x", Name="/taken"), "DependsOn": "Delay"}
    bad = resources(
        Logs=log_group(LogGroupName="mine", RetentionInDays=30),
        Delay={**_lustre_delay(cloud), "DependsOn": "Logs"},
        Bad=gone,
    )
    cloud.cfn.update_stack(StackName="stack", TemplateBody=text(bad))
    while ("UPDATE_COMPLETE", "") not in cloud.history("Logs"):
        time.sleep(0.005)
    cloud.client("logs").delete_log_group(logGroupName="mine")  # the roll-back cannot give it its retention back
    stack = cloud.wait("stack")
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_FAILED", cloud.events()
    assert stack["StackStatusReason"] == "The following resource(s) failed to update: [Logs]. "

    with pytest.raises(ClientError, match="can not be updated"):
        cloud.cfn.update_stack(StackName="stack", TemplateBody=text(old))
    with pytest.raises(ClientError, match="Only resources in UPDATE_FAILED can be skipped"):
        cloud.cfn.continue_update_rollback(StackName="stack", ResourcesToSkip=["Bad"])
    cloud.cfn.continue_update_rollback(StackName="stack", ResourcesToSkip=["Logs"])
    assert cloud.wait("stack")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"


def _lustre_delay(cloud: Cloud) -> Json:
    """A resource that takes its time: a file system in the default network."""
    subnet = cloud.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    return {
        "Type": "AWS::FSx::FileSystem",
        "Properties": {
            "FileSystemType": "LUSTRE",
            "StorageCapacity": 1200,
            "SubnetIds": [subnet],
            "LustreConfiguration": {"DeploymentType": "SCRATCH_2"},
        },
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "No updates are to be performed."),
        ({"Type": "AWS::S3::Bucket", "Properties": {}}, "Update of resource type is not permitted"),
    ],
)
def test_updates_that_cloudformation_refuses(cloud: Cloud, change: Json, message: str) -> None:
    cloud.create(resources(Logs=log_group(LogGroupName="mine")))
    with pytest.raises(ClientError, match=message):
        cloud.update(resources(Logs={**log_group(LogGroupName="mine"), **change}))
    assert cloud.stack()["StackStatus"] == "CREATE_COMPLETE"


def test_a_stack_that_rolled_back_cannot_be_updated(cloud: Cloud) -> None:
    cloud.create(resources(Bad=log_group(RetentionInDays=8)))
    assert cloud.stack()["StackStatus"] == "ROLLBACK_COMPLETE"
    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        cloud.update(resources(Logs=log_group()))


def test_a_custom_named_resource_cannot_be_replaced_under_the_same_name(cloud: Cloud) -> None:
    role: Json = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": "mine",
            "Path": "/one/",
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []},
        },
    }
    named: Json = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}
    cloud.create(resources(Role=role), **named)
    role = {**role, "Properties": {**role["Properties"], "Path": "/two/"}}
    assert cloud.update(resources(Role=role), **named)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "custom-named resource requires replacing. Rename mine" in cloud.failures()["Role"]


def test_stack_tags_reach_the_resources_and_change_with_the_stack(cloud: Cloud) -> None:
    template = resources(Logs=log_group(LogGroupName="mine", Tags=[{"Key": "own", "Value": "1"}]))
    cloud.create(template, Tags=[{"Key": "team", "Value": "a"}, {"Key": "own", "Value": "0"}])
    assert cloud.client("logs").list_tags_log_group(logGroupName="mine")["tags"] == {"team": "a", "own": "1"}
    cloud.update(template, Tags=[{"Key": "team", "Value": "b"}])
    assert cloud.client("logs").list_tags_log_group(logGroupName="mine")["tags"] == {"team": "b", "own": "1"}


def test_parameters_keep_their_previous_value_only_when_asked(cloud: Cloud) -> None:
    template: Json = {
        "Parameters": {"Days": {"Type": "Number", "Default": 7}},
        "Resources": {"Logs": log_group(LogGroupName="mine", RetentionInDays={"Ref": "Days"})},
    }
    cloud.create(template, Parameters=[{"ParameterKey": "Days", "ParameterValue": "30"}])
    with pytest.raises(ClientError, match="No updates"):
        cloud.cfn.update_stack(
            StackName="stack", UsePreviousTemplate=True, Parameters=[{"ParameterKey": "Days", "UsePreviousValue": True}]
        )
    cloud.cfn.update_stack(StackName="stack", UsePreviousTemplate=True)
    cloud.wait("stack")
    assert retention(cloud, "mine") == 7


def change_set(cloud: Cloud, template: Json, name: str = "changes", **arguments: Any) -> Json:
    cloud.cfn.create_change_set(StackName="stack", ChangeSetName=name, TemplateBody=text(template), **arguments)
    found: Json = cloud.cfn.describe_change_set(StackName="stack", ChangeSetName=name)
    return found


def summary(found: Json) -> dict[str, tuple[str, str | None]]:
    changes = [row["ResourceChange"] for row in found["Changes"]]
    return {row["LogicalResourceId"]: (row["Action"], row.get("Replacement")) for row in changes}


def test_a_change_set_tells_what_is_added_changed_replaced_and_removed(cloud: Cloud) -> None:
    cloud.create(
        resources(
            Same=parameter("s"),
            InPlace=log_group(LogGroupName="a", RetentionInDays=7),
            Replaced=log_group(LogGroupName="b"),
            UsesReplaced=parameter({"Ref": "Replaced"}),
            Removed=log_group(),
        )
    )
    found = change_set(
        cloud,
        resources(
            Same=parameter("s"),
            InPlace=log_group(LogGroupName="a", RetentionInDays=30),
            Replaced=log_group(LogGroupName="c"),
            UsesReplaced=parameter({"Ref": "Replaced"}),
            Added=log_group(),
        ),
    )
    assert (found["Status"], found["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    assert summary(found) == {
        "InPlace": ("Modify", "False"),
        "Replaced": ("Modify", "True"),
        "UsesReplaced": ("Modify", "False"),
        "Added": ("Add", None),
        "Removed": ("Remove", None),
    }
    detail = next(
        r["ResourceChange"] for r in found["Changes"] if r["ResourceChange"]["LogicalResourceId"] == "Replaced"
    )
    assert detail["Details"][0]["Target"] == {
        "Attribute": "Properties",
        "Name": "LogGroupName",
        "RequiresRecreation": "Always",
    }
    assert cloud.physical("Replaced") == "b"

    cloud.cfn.execute_change_set(StackName="stack", ChangeSetName="changes")
    assert cloud.wait("stack")["StackStatus"] == "UPDATE_COMPLETE"
    assert cloud.physical("Replaced") == "c"


def test_a_replacement_that_depends_on_another_is_conditional(cloud: Cloud) -> None:
    def template(cidr: str) -> Json:
        return resources(
            Vpc={"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": cidr}},
            Routes={"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Vpc"}}},
        )

    cloud.create(template("10.0.0.0/16"))
    found = change_set(cloud, template("10.9.0.0/16"))
    assert summary(found) == {"Vpc": ("Modify", "True"), "Routes": ("Modify", "Conditional")}
    assert found["Changes"][0]["ResourceChange"]["Details"][0]["Evaluation"] == "Dynamic"


@pytest.mark.parametrize(
    ("key", "new", "verdict"),
    [
        ("StorageCapacity", 2400, "True"),
        ("LustreConfiguration", {"DeploymentType": "SCRATCH_1"}, "True"),
        ("LustreConfiguration", {"DeploymentType": "SCRATCH_2", "DataCompressionType": "LZ4"}, "False"),
    ],
)
def test_a_change_set_warns_before_a_file_system_is_replaced(cloud: Cloud, key: str, new: object, verdict: str) -> None:
    lustre = _lustre_delay(cloud)
    cloud.create(resources(Lustre=lustre))
    found = change_set(cloud, resources(Lustre={**lustre, "Properties": {**lustre["Properties"], key: new}}))
    assert summary(found) == {"Lustre": ("Modify", verdict)}


def test_a_change_set_without_changes_has_failed(cloud: Cloud) -> None:
    template = resources(Logs=log_group(LogGroupName="mine"))
    cloud.create(template)
    found = change_set(cloud, template)
    assert (found["Status"], found["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert found["StatusReason"].startswith("The submitted information didn't contain changes.")
    with pytest.raises(ClientError) as refused:
        cloud.cfn.execute_change_set(StackName="stack", ChangeSetName="changes")
    assert refused.value.response["Error"]["Code"] == "InvalidChangeSetStatus"
    cloud.cfn.delete_change_set(StackName="stack", ChangeSetName="changes")
    with pytest.raises(cloud.cfn.exceptions.ChangeSetNotFoundException):
        cloud.cfn.describe_change_set(StackName="stack", ChangeSetName="changes")


def test_a_change_set_may_create_the_stack(cloud: Cloud) -> None:
    found = change_set(cloud, resources(Logs=log_group(LogGroupName="mine")), ChangeSetType="CREATE")
    assert summary(found) == {"Logs": ("Add", None)}
    assert cloud.stack()["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert retention(cloud, "mine") is None

    cloud.cfn.execute_change_set(StackName="stack", ChangeSetName="changes")
    assert cloud.wait("stack")["StackStatus"] == "CREATE_COMPLETE"


def test_a_stack_in_review_can_be_deleted(cloud: Cloud) -> None:
    change_set(cloud, resources(Logs=log_group()), ChangeSetType="CREATE")
    assert cloud.delete()["StackStatus"] == "DELETE_COMPLETE"


def test_an_update_in_progress_can_be_cancelled(cloud: Cloud) -> None:
    logs = log_group(LogGroupName="mine")
    cloud.create(resources(Logs=logs))
    slow = {f"Fs{i}": {**_lustre_delay(cloud), "DependsOn": f"Fs{i - 1}" if i else "Logs"} for i in range(30)}
    cloud.cfn.update_stack(StackName="stack", TemplateBody=text(resources(Logs=logs, **slow)))
    cloud.cfn.cancel_update_stack(StackName="stack")
    assert cloud.wait("stack")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert cloud.inventory()["file systems"] == []
