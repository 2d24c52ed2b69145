"""Every choice of the prerequisites, made for real on the local cloud: what CloudFormation and FSx then have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from pcinfra.aws import Target
from pcinfra.engine import Plan
from pcinfra.project import Lustre, OpenZFS, Project
from pcinfra.stages.prerequisites import StackFacts
from tests.account import Account
from tests.conftest import new_project


def project_with(**prerequisites: Any) -> Project:
    """Return a project of its own with these settings of the prerequisites."""
    project = new_project()
    return project.model_copy(
        update={"prerequisites": project.prerequisites.model_copy(update=prerequisites)},
    )


@contextmanager
def standing(target: Target, project: Project) -> Iterator[Account]:
    """Yield an account in which the prerequisites of ``project`` stand; take them away afterwards."""
    account = Account(target, project)
    plan = account.plan()
    account.run(Plan(tuple(action for action in plan.actions if action.stage == "prerequisites")))
    yield account
    assert not [action for action in account.plan().actions if action.stage == "prerequisites"]
    account.run_only("prerequisites")


def outputs(account: Account) -> dict[str, str]:
    return dict(account.facts().of(StackFacts).outputs)


def file_system(account: Account, output: str) -> dict[str, Any]:
    found = account.call("fsx", "DescribeFileSystems", FileSystemIds=[outputs(account)[output]])
    system: dict[str, Any] = found["FileSystems"][0]
    return system


LUSTRE = {
    "scratch": Lustre(deployment_type="SCRATCH_2", throughput=None),
    "persistent 1": Lustre(deployment_type="PERSISTENT_1", throughput=50, version="2.12"),
    "hdd": Lustre(deployment_type="PERSISTENT_1", storage_type="HDD", throughput=12, capacity=6000),
    "hdd with cache": Lustre(
        deployment_type="PERSISTENT_1", storage_type="HDD", throughput=40, capacity=1800, drive_cache="READ"
    ),
    "metadata": Lustre(metadata_iops=12000),
    "without metadata": Lustre(version="2.12", throughput=1000, compression="NONE"),
    "efa": Lustre(throughput=1000, capacity=4800, efa=True),
}


OPENZFS = {
    "single": OpenZFS(deployment_type="SINGLE_AZ_1", throughput=64, capacity=64, backup_days=0),
    "single, second generation": OpenZFS(deployment_type="SINGLE_AZ_2", throughput=160),
    "highly available": OpenZFS(deployment_type="SINGLE_AZ_HA_1", throughput=4096, backup_days=90, backup_time="03:30"),
    "two zones": OpenZFS(deployment_type="MULTI_AZ_1", throughput=160),
    "auto": OpenZFS(),
}


# Lustre and OpenZFS are chosen independently, so that one stack shows a choice of each.
PAIRS = {
    f"{one}, {other}": (LUSTRE[one], OPENZFS[other])
    for one, other in zip(LUSTRE, [*OPENZFS, *["auto"] * (len(LUSTRE) - len(OPENZFS))], strict=True)
}


@pytest.mark.parametrize(("lustre", "openzfs"), PAIRS.values(), ids=PAIRS.keys())
def test_file_systems_are_what_was_chosen(local_target: Target, lustre: Lustre, openzfs: OpenZFS) -> None:
    project = project_with(lustre=lustre, openzfs=openzfs)
    with standing(local_target, project) as account:
        one, other = (file_system(account, f"FSx{name}FilesystemId") for name in ("Lustre", "OpenZFS"))
        second = outputs(account).get("SecondaryPrivateSubnet")
    is_chosen_lustre(one, lustre)
    is_chosen_openzfs(other, openzfs, project.openzfs_deployment_type)
    assert (second is not None) is (openzfs.deployment_type == "MULTI_AZ_1")


def is_chosen_lustre(system: dict[str, Any], lustre: Lustre) -> None:
    made = system["LustreConfiguration"]
    assert (system["StorageType"], system["StorageCapacity"]) == (lustre.storage_type, lustre.capacity)
    assert (made["DeploymentType"], system["FileSystemTypeVersion"]) == (lustre.deployment_type, lustre.version)
    assert made.get("PerUnitStorageThroughput") == lustre.throughput
    assert made["DataCompressionType"] == lustre.compression
    assert made.get("DriveCacheType") == (lustre.drive_cache if lustre.storage_type == "HDD" else None)
    assert made.get("MetadataConfiguration", {}).get("Iops") == lustre.metadata_iops
    assert made.get("EfaEnabled", False) is lustre.efa


def is_chosen_openzfs(system: dict[str, Any], openzfs: OpenZFS, deployment_type: str) -> None:
    made = system["OpenZFSConfiguration"]
    assert made["DeploymentType"] == deployment_type != "auto"
    assert (made["ThroughputCapacity"], system["StorageCapacity"]) == (openzfs.throughput, openzfs.capacity)
    assert made["AutomaticBackupRetentionDays"] == openzfs.backup_days
    if openzfs.backup_days:
        assert made["DailyAutomaticBackupStartTime"] == openzfs.backup_time
    assert len(system["SubnetIds"]) == (2 if deployment_type == "MULTI_AZ_1" else 1)


def test_a_second_zone_can_come_later(local_target: Target) -> None:
    project = project_with(openzfs=OpenZFS(deployment_type="SINGLE_AZ_2"))
    with standing(local_target, project):
        multi = project.prerequisites.model_copy(update={"openzfs": OpenZFS(deployment_type="MULTI_AZ_1")})
        after = Account(local_target, project.model_copy(update={"prerequisites": multi}))
        changes = {change.key: change.after for action in after.plan().actions for change in action.changes}
    assert changes["OpenZFSDeploymentType"] == "MULTI_AZ_1"
    assert changes["SecondarySubnetAZ"] not in ("", None, "us-east-1a")


def test_the_network_has_the_endpoints_and_logs_that_were_chosen(local_target: Target) -> None:
    bucket = f"flows-{uuid4().hex[:12]}"
    chosen = project_with(ecr_endpoints=True, ssm_endpoints=True, s3_endpoint=False, flow_logs_bucket=bucket)
    project = chosen.model_copy(update={"secondary_availability_zone": "us-east-1c"})
    Account(local_target, project).call("s3", "CreateBucket", Bucket=bucket)
    with standing(local_target, project) as account:
        here = [{"Name": "vpc-id", "Values": [outputs(account)["VPC"]]}]
        endpoints = account.call("ec2", "DescribeVpcEndpoints", Filters=here)["VpcEndpoints"]
        flows = account.call("ec2", "DescribeFlowLogs")["FlowLogs"]
        subnets = account.call("ec2", "DescribeSubnets", Filters=here)["Subnets"]
    services = {
        row["ServiceName"].removeprefix("com.amazonaws.us-east-1."): row["VpcEndpointType"] for row in endpoints
    }
    interfaces = dict.fromkeys(("ecr.api", "ecr.dkr", "ssm", "ssmmessages", "ec2messages"), "Interface")
    assert services == {"dynamodb": "Gateway", **interfaces}
    assert f"arn:aws:s3:::{bucket}" in [row["LogDestination"] for row in flows]
    assert ("us-east-1c", "10.1.128.0/17") in [(row["AvailabilityZone"], row["CidrBlock"]) for row in subnets]


TAGS = {f"team-{number}": f"ml {number}" for number in range(38)}


@pytest.fixture(scope="module")
def whole(local_target: Target) -> Iterator[Account]:
    """Everything up, with a key and tags of one's own; nothing is left of it afterwards."""
    project = new_project(tags=TAGS)
    key = Account(local_target, project).call("kms", "CreateKey")["KeyMetadata"]["Arn"]
    account = Account(local_target, project.model_copy(update={"kms_key": key}))
    account.up()
    yield account
    account.down()
    assert account.left() == []


def test_a_key_of_ones_own_encrypts_all_that_takes_one(whole: Account) -> None:
    own = whole.project.kms_key
    keys = {file_system(whole, f"FSx{name}FilesystemId")["KmsKeyId"] for name in ("Lustre", "OpenZFS")}
    repository = whole.project.images["pytorch"].repository
    made = whole.call("ecr", "DescribeRepositories", repositoryNames=[repository])["repositories"][0]
    rules = whole.call("s3", "GetBucketEncryption", Bucket=whole.project.bucket.name)
    rule = rules["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert keys | {made["encryptionConfiguration"]["kmsKey"]} == {own}
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": own}
    assert rule["BucketKeyEnabled"] is True
    assert whole.plan().actions == ()


def test_tags_of_ones_own_reach_everything(whole: Account) -> None:
    made = tagged(whole)
    assert {"vpc", "subnet", "security-group", "vpc-endpoint", "route-table"} <= set(made), made.keys()
    assert len([kind for kind in made if "nat" in kind or "elastic" in kind]) == 2, made.keys()
    assert {"file-system", "bucket", "repository", "association"} <= set(made)
    for kind, found in made.items():
        assert TAGS.items() <= found.items(), kind


def tagged(account: Account) -> dict[str, dict[str, str]]:
    """Return the tags of one resource of each kind that the project has."""
    rows = account.call("ec2", "DescribeTags", Filters=[{"Name": "value", "Values": [account.project.project]}])["Tags"]
    found = {row["ResourceType"]: _pairs(_ec2_tags(account, row["ResourceId"])) for row in rows}
    project, arn = account.project, file_system(account, "FSxLustreFilesystemId")["ResourceARN"]
    found["file-system"] = _pairs(account.call("fsx", "ListTagsForResource", ResourceARN=arn)["Tags"])
    found["bucket"] = _pairs(account.call("s3", "GetBucketTagging", Bucket=project.bucket.name)["TagSet"])
    named = {"repositoryNames": [project.images["pytorch"].repository]}
    repository = account.call("ecr", "DescribeRepositories", **named)["repositories"][0]["repositoryArn"]
    found["repository"] = _pairs(account.call("ecr", "ListTagsForResource", resourceArn=repository)["tags"])
    lustre = [{"Name": "file-system-id", "Values": [outputs(account)["FSxLustreFilesystemId"]]}]
    linked = account.call("fsx", "DescribeDataRepositoryAssociations", Filters=lustre)["Associations"]
    found["association"] = _pairs(linked[0]["Tags"])
    return found


def _ec2_tags(account: Account, resource: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = account.call(
        "ec2", "DescribeTags", Filters=[{"Name": "resource-id", "Values": [resource]}]
    )["Tags"]
    return rows


def _pairs(rows: list[dict[str, str]]) -> dict[str, str]:
    return {row["Key"]: row["Value"] for row in rows}
