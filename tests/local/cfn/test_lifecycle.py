"""A stack from nothing to nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.local.cfn.harness import Cloud, Json, log_group, parameter, resources

NETWORK = (Path(__file__).parent / "network.yaml").read_text()


def test_a_network_with_file_systems_is_made_whole_and_deleted_without_a_trace(cloud: Cloud) -> None:
    before = cloud.inventory()
    stack = cloud.create(NETWORK, Tags=[{"Key": "team", "Value": "training"}])

    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures()
    outputs = cloud.outputs()
    system = cloud.client("fsx").describe_file_systems(FileSystemIds=[cloud.physical("Lustre")])["FileSystems"][0]
    assert outputs["MountName"] == system["LustreConfiguration"]["MountName"]
    assert outputs["DnsName"] == system["DNSName"]
    assert outputs["RootVolume"].startswith("fsvol-")
    assert {"Key": "team", "Value": "training"} in system["Tags"]
    assert {"Key": "Name", "Value": "fast"} in system["Tags"]
    _check_network(cloud)

    assert cloud.delete()["StackStatus"] == "DELETE_COMPLETE", cloud.failures(stack["StackId"])
    assert cloud.inventory() == before


def _check_network(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.describe_vpcs(VpcIds=[cloud.physical("Vpc")])["Vpcs"][0]
    tags = {tag["Key"]: tag["Value"] for tag in vpc["Tags"]}
    assert tags["Name"] == "stack-vpc"
    assert tags["team"] == "training"
    assert tags["aws:cloudformation:logical-id"] == "Vpc"
    assert tags["aws:cloudformation:stack-name"] == "stack"
    tables = ec2.describe_route_tables(RouteTableIds=[cloud.physical("PrivateRoutes")])["RouteTables"][0]
    assert [row["SubnetId"] for row in tables["Associations"]] == [cloud.physical("Private")]
    assert cloud.physical("Nat") in [route.get("NatGatewayId") for route in tables["Routes"]]
    group = ec2.describe_security_groups(GroupIds=[cloud.physical("Group")])["SecurityGroups"][0]
    assert [pair["GroupId"] for rule in group["IpPermissions"] for pair in rule["UserIdGroupPairs"]] == [
        group["GroupId"]
    ]
    out = [pair["GroupId"] for rule in group["IpPermissionsEgress"] for pair in rule["UserIdGroupPairs"]]
    assert group["GroupId"] in out


def test_a_file_system_that_fsx_refuses_rolls_the_stack_back_with_its_reason(cloud: Cloud) -> None:
    before = cloud.inventory()
    stack = cloud.create(NETWORK, Parameters=[{"ParameterKey": "Capacity", "ParameterValue": "1000"}])

    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert list(cloud.failures()) == ["Lustre"]
    assert "1000" in cloud.failures()["Lustre"]
    rollback = dict(cloud.history("stack"))["ROLLBACK_IN_PROGRESS"]
    assert rollback.startswith("The following resource(s) failed to create: [")
    assert rollback.endswith("Rollback requested by user.")
    assert cloud.inventory() == before
    assert cloud.delete()["StackStatus"] == "DELETE_COMPLETE"


def test_every_resource_reports_begin_physical_id_and_end(cloud: Cloud) -> None:
    cloud.create(resources(Logs=log_group(LogGroupName="mine")))
    events = [event for event in cloud.events() if event["LogicalResourceId"] == "Logs"]

    assert [event["ResourceStatus"] for event in events] == [
        "CREATE_IN_PROGRESS",
        "CREATE_IN_PROGRESS",
        "CREATE_COMPLETE",
    ]
    assert [event["PhysicalResourceId"] for event in events] == ["", "mine", "mine"]
    assert events[1]["ResourceStatusReason"] == "Resource creation Initiated"
    assert [status for status, _ in cloud.history("stack")] == ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]


@pytest.mark.parametrize(
    ("arguments", "status", "left"),
    [
        ({"OnFailure": "ROLLBACK"}, "ROLLBACK_COMPLETE", []),
        ({"OnFailure": "DELETE"}, "DELETE_COMPLETE", []),
        ({"OnFailure": "DO_NOTHING"}, "CREATE_FAILED", ["first"]),
        ({"DisableRollback": True}, "CREATE_FAILED", ["first"]),
    ],
)
def test_on_failure_decides_what_stays(cloud: Cloud, arguments: Json, status: str, left: list[str]) -> None:
    template = resources(
        First=log_group(LogGroupName="first"),
        Second={**parameter("x", Name="/taken"), "DependsOn": "First"},
    )
    cloud.client("ssm").put_parameter(Name="/taken", Value="theirs", Type="String")

    stack_id = cloud.start(template, **arguments)

    assert cloud.wait(stack_id)["StackStatus"] == status
    groups = cloud.client("logs").describe_log_groups()["logGroups"]
    assert [group["logGroupName"] for group in groups] == left
    assert "AlreadyExists" in cloud.failures(stack_id)["Second"]
    assert cloud.client("ssm").get_parameter(Name="/taken")["Parameter"]["Value"] == "theirs"


def test_termination_protection_refuses_the_deletion_until_it_is_off(cloud: Cloud) -> None:
    cloud.create(resources(Logs=log_group()), EnableTerminationProtection=True)

    with pytest.raises(ClientError, match="cannot be deleted while TerminationProtection is enabled"):
        cloud.cfn.delete_stack(StackName="stack")
    assert cloud.stack()["StackStatus"] == "CREATE_COMPLETE"
    cloud.cfn.update_termination_protection(StackName="stack", EnableTerminationProtection=False)
    assert cloud.delete()["StackStatus"] == "DELETE_COMPLETE"


@pytest.mark.parametrize("policy", ["Retain", "RetainExceptOnCreate"])
def test_retained_resources_outlive_their_stack(cloud: Cloud, policy: str) -> None:
    template = resources(Kept={**log_group(LogGroupName="kept"), "DeletionPolicy": policy}, Gone=log_group())
    stack = cloud.create(template)
    cloud.delete()

    groups = cloud.client("logs").describe_log_groups()["logGroups"]
    assert [group["logGroupName"] for group in groups] == ["kept"]
    assert cloud.history("Kept", stack["StackId"])[-1][0] == "DELETE_SKIPPED"


@pytest.mark.parametrize(("policy", "left"), [("Retain", ["kept"]), ("RetainExceptOnCreate", [])])
def test_a_rolled_back_creation_keeps_only_what_says_retain(cloud: Cloud, policy: str, left: list[str]) -> None:
    cloud.client("ssm").put_parameter(Name="/taken", Value="theirs", Type="String")
    cloud.create(
        resources(
            Kept={**log_group(LogGroupName="kept"), "DeletionPolicy": policy},
            Bad={**parameter("x", Name="/taken"), "DependsOn": "Kept"},
        )
    )
    groups = cloud.client("logs").describe_log_groups()["logGroups"]
    assert [group["logGroupName"] for group in groups] == left


def test_a_deletion_that_is_blocked_names_the_resource_and_can_leave_it_behind(cloud: Cloud) -> None:
    stack = cloud.create(resources(Bucket={"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "full-of-data"}}))
    cloud.client("s3").put_object(Bucket="full-of-data", Key="a", Body=b"1")

    with pytest.raises(ClientError, match="only be specified for stacks in the DELETE_FAILED state"):
        cloud.cfn.delete_stack(StackName="stack", RetainResources=["Bucket"])
    failed = cloud.delete()
    assert failed["StackStatus"] == "DELETE_FAILED"
    assert failed["StackStatusReason"] == "The following resource(s) failed to delete: [Bucket]. "
    assert "not empty" in cloud.failures()["Bucket"]
    with pytest.raises(ClientError, match="to retain do not exist"):
        cloud.cfn.delete_stack(StackName="stack", RetainResources=["Nope"])

    cloud.cfn.delete_stack(StackName="stack", RetainResources=["Bucket"])
    assert cloud.wait(stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    assert cloud.client("s3").get_object(Bucket="full-of-data", Key="a")["Body"].read() == b"1"


def test_force_deletion_leaves_behind_what_is_stuck(cloud: Cloud) -> None:
    stack = cloud.create(resources(Bucket={"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "full-of-data"}}))
    cloud.client("s3").put_object(Bucket="full-of-data", Key="a", Body=b"1")
    cloud.delete()
    cloud.cfn.delete_stack(StackName="stack", DeletionMode="FORCE_DELETE_STACK")
    assert cloud.wait(stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"


def test_deleting_what_does_not_exist_succeeds(cloud: Cloud) -> None:
    cloud.cfn.delete_stack(StackName="never-was")


def test_a_deleted_stack_is_found_by_id_only(cloud: Cloud) -> None:
    stack = cloud.create(resources(Logs=log_group()))
    cloud.delete()
    assert cloud.stack(stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="Stack with id stack does not exist"):
        cloud.stack()
    assert cloud.create(resources(Logs=log_group()))["StackId"] != stack["StackId"]


def test_the_same_request_token_makes_one_stack(cloud: Cloud) -> None:
    template = resources(Logs=log_group())
    first = cloud.start(template, ClientRequestToken="once")
    assert cloud.start(template, ClientRequestToken="once") == first
    with pytest.raises(ClientError) as refused:
        cloud.start(template, ClientRequestToken="twice")
    assert refused.value.response["Error"]["Code"] == "AlreadyExistsException"


def test_what_is_not_implemented_says_so_and_is_not_retried(cloud: Cloud) -> None:
    cloud.create(resources(Logs=log_group()))
    with pytest.raises(ClientError, match="not implemented by the local cloud: DetectStackDrift") as refused:
        cloud.cfn.detect_stack_drift(StackName="stack")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert refused.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    with pytest.raises(ClientError, match="the parameter NotificationARNs"):
        cloud.start(resources(Logs=log_group()), "other", NotificationARNs=["arn:aws:sns:us-east-1:1:topic"])


def test_listings_come_in_pages(cloud: Cloud) -> None:
    chain = {f"P{i:03}": parameter(str(i)) for i in range(60)}
    cloud.create({"Resources": chain})
    first = cloud.cfn.describe_stack_events(StackName="stack")
    assert len(first["StackEvents"]) == 100
    assert len(cloud.events()) == 2 + 60 * 3
    with pytest.raises(ClientError, match="NextToken"):
        cloud.cfn.describe_stack_events(StackName="stack", NextToken="!!!")
    assert len(cloud.cfn.list_stack_resources(StackName="stack")["StackResourceSummaries"]) == 60
    found = cloud.cfn.describe_stack_resources(PhysicalResourceId=cloud.physical("P003"))["StackResources"]
    assert found[0]["StackName"] == "stack"


def test_the_template_is_given_back_as_it_came(cloud: Cloud) -> None:
    cloud.create(NETWORK, "net")
    assert cloud.cfn.get_template(StackName="net")["TemplateBody"] == NETWORK
    summary = cloud.cfn.get_template_summary(StackName="net")
    assert [row["ParameterKey"] for row in summary["Parameters"]] == ["Capacity", "Zone"]
    assert "AWS::FSx::FileSystem" in summary["ResourceTypes"]
    checked = cloud.cfn.validate_template(TemplateBody=NETWORK)
    assert checked["Description"] == "A network with two file systems, as the prerequisites have one"
