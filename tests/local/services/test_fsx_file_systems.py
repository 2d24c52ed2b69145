"""What FSx takes and refuses for file systems, and their life."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local.services.asking import refusal
from tests.local.services.conftest import Client, Network, make_network
from tests.waiting import until_equal

P1: dict[str, Any] = {"DeploymentType": "PERSISTENT_1", "PerUnitStorageThroughput": 50}
P2: dict[str, Any] = {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 250}
P2M: dict[str, Any] = {**P2, "MetadataConfiguration": {"Mode": "AUTOMATIC"}}
HDD: dict[str, Any] = {"DeploymentType": "PERSISTENT_1", "PerUnitStorageThroughput": 12, "DriveCacheType": "NONE"}
ZFS: dict[str, Any] = {"DeploymentType": "SINGLE_AZ_HA_2", "ThroughputCapacity": 320}


def iops(number: int) -> dict[str, Any]:
    return {**P2, "MetadataConfiguration": {"Mode": "USER_PROVISIONED", "Iops": number}}


GOOD_LUSTRE: list[tuple[int, dict[str, Any], dict[str, Any]]] = [
    (1200, {"DeploymentType": "SCRATCH_1"}, {}),
    (2400, {"DeploymentType": "SCRATCH_1"}, {}),
    (7200, {"DeploymentType": "SCRATCH_1"}, {}),
    (1200, {"DeploymentType": "SCRATCH_2"}, {}),
    (2400, {"DeploymentType": "SCRATCH_2"}, {}),
    (1200, P1, {"FileSystemTypeVersion": "2.15"}),
    (4800, {**P1, "PerUnitStorageThroughput": 200}, {}),
    (6000, HDD, {"StorageType": "HDD"}),
    (1800, {**HDD, "PerUnitStorageThroughput": 40, "DriveCacheType": "READ"}, {"StorageType": "HDD"}),
    (1200, P2, {"FileSystemTypeVersion": "2.12"}),
    (2400, P2M, {}),
    (2400, P2M, {"FileSystemTypeVersion": "2.15"}),
    (2400, iops(6000), {}),
    (2400, iops(192_000), {}),
    (19_200, {**P2M, "EfaEnabled": True}, {}),
    (1200, {**P2, "DataCompressionType": "LZ4", "AutomaticBackupRetentionDays": 7}, {}),
]

BAD_LUSTRE: list[tuple[int, dict[str, Any], dict[str, Any], str, str]] = [
    (3600, P2, {}, "BadRequest", "1200 or a multiple of 2400"),
    (6000, P2, {}, "BadRequest", "1200 or a multiple of 2400"),
    (8400, P1, {}, "BadRequest", "1200 or a multiple of 2400"),
    (0, P2, {}, "BadRequest", "StorageCapacity 0"),
    (1, P2, {}, "BadRequest", "StorageCapacity 1"),
    (-1200, P2, {}, "ValidationException", "greater than or equal to 0"),
    (3600, {"DeploymentType": "SCRATCH_2"}, {}, "BadRequest", "1200 or a multiple of 2400"),
    (4800, {"DeploymentType": "SCRATCH_1"}, {}, "BadRequest", "multiple of 3600"),
    (1200, HDD, {"StorageType": "HDD"}, "BadRequest", "multiple of 6000"),
    (1200, {**HDD, "PerUnitStorageThroughput": 40}, {"StorageType": "HDD"}, "BadRequest", "multiple of 1800"),
    (6000, {**HDD, "DriveCacheType": None}, {"StorageType": "HDD"}, "BadRequest", "DriveCacheType is required"),
    (1200, {**P2, "DriveCacheType": "READ"}, {}, "BadRequest", "HDD only"),
    (1200, P2, {"StorageType": "HDD"}, "BadRequest", "PERSISTENT_1 deployment type only"),
    (1200, {"DeploymentType": "PERSISTENT_2"}, {}, "InvalidPerUnitStorageThroughput", "125, 250, 500, 1000"),
    (1200, {**P2, "PerUnitStorageThroughput": 200}, {}, "InvalidPerUnitStorageThroughput", "not 200"),
    (1200, {**P1, "PerUnitStorageThroughput": 250}, {}, "InvalidPerUnitStorageThroughput", "50, 100, 200"),
    (1200, {**P2, "PerUnitStorageThroughput": 5}, {}, "ValidationException", "greater than or equal to 12"),
    (1200, {"DeploymentType": "SCRATCH_2", "PerUnitStorageThroughput": 250}, {}, "BadRequest", "not supported"),
    (1200, {"DeploymentType": "PERSISTENT_3"}, {}, "ValidationException", "enum value set"),
    (1200, P2, {"FileSystemTypeVersion": "2.10"}, "BadRequest", "2.10 is not supported"),
    (1200, P2, {"FileSystemTypeVersion": "2.16"}, "BadRequest", "2.10, 2.12, 2.15"),
    (1200, P2M, {"FileSystemTypeVersion": "2.12"}, "BadRequest", "2.15 only"),
    (1200, {**P1, "MetadataConfiguration": {"Mode": "AUTOMATIC"}}, {}, "BadRequest", "PERSISTENT_2"),
    (1200, {**P2, "MetadataConfiguration": {"Mode": "AUTOMATIC", "Iops": 1500}}, {}, "BadRequest", "AUTOMATIC"),
    (1200, iops(2000), {}, "BadRequest", "1500, 3000, 6000"),
    (1200, iops(18_000), {}, "BadRequest", "multiple of 12000"),
    (1200, {**P2M, "EfaEnabled": True}, {}, "BadRequest", "multiple of 19200"),
    (19_200, {**P2, "EfaEnabled": True}, {}, "BadRequest", "MetadataConfiguration"),
    (1200, {**P2, "ImportPath": "s3://bucket"}, {}, "BadRequest", "data repository association"),
    (1200, {**P1, "ExportPath": "s3://bucket/x"}, {}, "BadRequest", "requires ImportPath"),
    (1200, {**P1, "DailyAutomaticBackupStartTime": "05:00"}, {}, "BadRequest", "AutomaticBackupRetentionDays"),
    (1200, {**P1, "WeeklyMaintenanceStartTime": "8:05:00"}, {}, "ValidationException", "regular expression"),
    (1200, {"DeploymentType": "SCRATCH_2", "AutomaticBackupRetentionDays": 1}, {}, "BadRequest", "persistent"),
    (1200, P2, {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}, "BadRequest", "unique"),
    (1200, P2, {"Tags": [{"Key": "aws:mine", "Value": "1"}]}, "BadRequest", "reserved"),
    (1200, P2, {"SubnetIds": ["subnet-0123456789abcdef0"]}, "InvalidNetworkSettings", "does not exist"),
    (1200, P2, {"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidNetworkSettings", "does not exist"),
    (1200, P2, {"OpenZFSConfiguration": ZFS}, "BadRequest", "cannot be specified"),
    (1200, P2, {"StorageType": "INTELLIGENT_TIERING"}, "NotImplemented", "Intelligent-Tiering"),
]

BAD_OPENZFS: list[tuple[int | None, dict[str, Any], dict[str, Any], str, str]] = [
    (63, ZFS, {}, "BadRequest", "64 to 524288"),
    (524_289, ZFS, {}, "BadRequest", "64 to 524288"),
    (None, ZFS, {}, "BadRequest", "StorageCapacity is required"),
    (512, {**ZFS, "ThroughputCapacity": 512}, {}, "BadRequest", "160, 320, 640"),
    (512, {"DeploymentType": "SINGLE_AZ_HA_1", "ThroughputCapacity": 160}, {}, "BadRequest", "64, 128, 256"),
    (512, {"DeploymentType": "SINGLE_AZ_1", "ThroughputCapacity": 320}, {}, "BadRequest", "not 320"),
    (512, {**ZFS, "DeploymentType": "MULTI_AZ_1"}, {}, "BadRequest", "exactly two subnets"),
    (512, {**ZFS, "DeploymentType": "MULTI_AZ_2"}, {}, "ValidationException", "enum value set"),
    (512, {**ZFS, "RouteTableIds": ["rtb-0123456789abcdef0"]}, {}, "BadRequest", "MULTI_AZ_1"),
    (512, {**ZFS, "DiskIopsConfiguration": {"Mode": "USER_PROVISIONED", "Iops": 10}}, {}, "BadRequest", "1536"),
    (512, {**ZFS, "DiskIopsConfiguration": {"Mode": "AUTOMATIC", "Iops": 9000}}, {}, "BadRequest", "AUTOMATIC"),
    (512, {**ZFS, "RootVolumeConfiguration": {"RecordSizeKiB": 100}}, {}, "BadRequest", "RecordSizeKiB"),
    (512, {**ZFS, "AutomaticBackupRetentionDays": 91}, {}, "ValidationException", "less than or equal to 90"),
    (512, ZFS, {"StorageType": "HDD"}, "BadRequest", "HDD"),
    (512, ZFS, {"FileSystemTypeVersion": "2.15"}, "BadRequest", "FileSystemTypeVersion"),
    (512, ZFS, {"LustreConfiguration": P2}, "BadRequest", "cannot be specified"),
]


def lustre(network: Network, capacity: int, configuration: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = {key: value for key, value in configuration.items() if value is not None}
    request = {"FileSystemType": "LUSTRE", "StorageCapacity": capacity, "SubnetIds": [network.subnets[0]]}
    return {**request, "SecurityGroupIds": [network.group], "LustreConfiguration": given, **more}


def openzfs(network: Network, capacity: int | None, configuration: dict[str, Any], **more: Any) -> dict[str, Any]:
    request: dict[str, Any] = {"FileSystemType": "OPENZFS", "SubnetIds": [network.subnets[0]]}
    if capacity is not None:
        request["StorageCapacity"] = capacity
    return {**request, "SecurityGroupIds": [network.group], "OpenZFSConfiguration": configuration, **more}


def lifecycle(fsx: Any, wanted: str) -> str:
    try:
        return str(fsx.describe_file_systems(FileSystemIds=[wanted])["FileSystems"][0]["Lifecycle"])
    except fsx.exceptions.FileSystemNotFound:
        return "gone"


def made(fsx: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Create a file system and wait until it can be used."""
    system: dict[str, Any] = fsx.create_file_system(**request)["FileSystem"]
    until_equal(lambda: lifecycle(fsx, system["FileSystemId"]), "AVAILABLE")
    return system


@pytest.mark.parametrize(("capacity", "configuration", "more"), GOOD_LUSTRE)
def test_lustre_takes(
    client: Client, network: Network, capacity: int, configuration: dict[str, Any], more: dict[str, Any]
) -> None:
    system = client("fsx").create_file_system(**lustre(network, capacity, configuration, **more))["FileSystem"]
    assert len(system["FileSystemId"]) == len("fs-") + 17
    assert system["Lifecycle"] == "CREATING"
    assert system["VpcId"] == network.vpc
    assert configuration.items() <= {**system["LustreConfiguration"], "EfaEnabled": True}.items()
    assert (system["LustreConfiguration"]["MountName"] == "fsx") == (configuration["DeploymentType"] == "SCRATCH_1")


@pytest.mark.parametrize(("capacity", "configuration", "more", "code", "words"), BAD_LUSTRE)
def test_lustre_refuses(
    client: Client,
    network: Network,
    capacity: int,
    configuration: dict[str, Any],
    more: dict[str, Any],
    code: str,
    words: str,
) -> None:
    fsx = client("fsx", "us-east-1")
    found = refusal(fsx.create_file_system, **lustre(network, capacity, configuration, **more))
    assert found[0] == code
    assert words in found[1]


@pytest.mark.parametrize(("capacity", "configuration", "more", "code", "words"), BAD_OPENZFS)
def test_openzfs_refuses(
    client: Client,
    network: Network,
    capacity: int | None,
    configuration: dict[str, Any],
    more: dict[str, Any],
    code: str,
    words: str,
) -> None:
    found = refusal(client("fsx").create_file_system, **openzfs(network, capacity, configuration, **more))
    assert found[0] == code
    assert words in found[1]


@pytest.mark.parametrize(
    ("given", "version"), [(P1, "2.10"), (P2, "2.12"), (P2M, "2.15"), ({"DeploymentType": "SCRATCH_2"}, "2.10")]
)
def test_the_version_that_nobody_chose(client: Client, network: Network, given: dict[str, Any], version: str) -> None:
    system = client("fsx").create_file_system(**lustre(network, 1200, given))["FileSystem"]
    assert system["FileSystemTypeVersion"] == version


def test_refused_requests_leave_no_network_interface(client: Client) -> None:
    ec2, fsx = client("ec2"), client("fsx")
    network = make_network(ec2)
    refusal(fsx.create_file_system, **lustre(network, 3600, P2))
    refusal(fsx.create_file_system, **openzfs(network, 63, ZFS))
    interfaces = ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [network.vpc]}])
    assert interfaces["NetworkInterfaces"] == []


def test_lustre_needs_its_ports_open(client: Client) -> None:
    ec2, fsx = client("ec2"), client("fsx")
    network = make_network(ec2)
    closed = ec2.create_security_group(GroupName="closed", Description="x", VpcId=network.vpc)["GroupId"]
    request = lustre(network, 1200, P2, SecurityGroupIds=[closed])
    code, message = refusal(fsx.create_file_system, **request)
    assert (code, message[-8:]) == ("InvalidNetworkSettings", "port 988")
    for low, high in ((988, 988), (1018, 1023)):
        rule = {"IpProtocol": "tcp", "FromPort": low, "ToPort": high, "UserIdGroupPairs": [{"GroupId": closed}]}
        ec2.authorize_security_group_ingress(GroupId=closed, IpPermissions=[rule])
    assert fsx.create_file_system(**request)["FileSystem"]["Lifecycle"] == "CREATING"


def test_two_zones_of_openzfs(client: Client, network: Network) -> None:
    fsx, two = client("fsx"), {"SubnetIds": list(network.subnets)}
    multi = {**ZFS, "DeploymentType": "MULTI_AZ_1"}
    assert "PreferredSubnetId" in refusal(fsx.create_file_system, **openzfs(network, 512, multi, **two))[1]
    preferred = {**multi, "PreferredSubnetId": network.subnets[1]}
    system = fsx.create_file_system(**openzfs(network, 512, preferred, **two))["FileSystem"]
    assert len(system["NetworkInterfaceIds"]) == 2
    assert "exactly one subnet" in refusal(fsx.create_file_system, **openzfs(network, 512, ZFS, **two))[1]


def test_the_same_token_makes_one_file_system(client: Client, network: Network) -> None:
    fsx = client("fsx")
    request = lustre(network, 1200, P2, ClientRequestToken="once-and-only-once")
    first = fsx.create_file_system(**request)["FileSystem"]["FileSystemId"]
    assert fsx.create_file_system(**request)["FileSystem"]["FileSystemId"] == first
    code, message = refusal(fsx.create_file_system, **{**request, "StorageCapacity": 2400})
    assert code == "IncompatibleParameterError"
    assert "StorageCapacity" in message


def test_a_life(client: Client) -> None:
    ec2, fsx = client("ec2"), client("fsx")
    network = make_network(ec2)
    system = made(fsx, openzfs(network, 512, ZFS))
    wanted = system["FileSystemId"]
    assert "dependencies" in refusal(ec2.delete_subnet, SubnetId=network.subnets[0])[1]
    assert "dependent" in refusal(ec2.delete_security_group, GroupId=network.group)[1]
    fsx.delete_file_system(FileSystemId=wanted, OpenZFSConfiguration={"SkipFinalBackup": True})
    assert lifecycle(fsx, wanted) == "DELETING"
    assert "being deleted" in refusal(fsx.delete_file_system, FileSystemId=wanted)[1]
    until_equal(lambda: lifecycle(fsx, wanted), "gone")
    assert fsx.describe_volumes(Filters=[{"Name": "file-system-id", "Values": [wanted]}])["Volumes"] == []
    ec2.delete_subnet(SubnetId=network.subnets[0])
    ec2.delete_security_group(GroupId=network.group)


def test_network_interfaces_go_without_being_asked_for(client: Client) -> None:
    ec2, fsx = client("ec2"), client("fsx")
    network = make_network(ec2)
    system = made(fsx, lustre(network, 1200, P2))
    fsx.delete_file_system(FileSystemId=system["FileSystemId"])
    filters = [{"Name": "vpc-id", "Values": [network.vpc]}]
    until_equal(lambda: ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"], [])


def test_openzfs_keeps_a_final_backup_unless_told_not_to(client: Client, network: Network) -> None:
    fsx = client("fsx")
    system = made(fsx, openzfs(network, 512, ZFS))["FileSystemId"]
    answer = fsx.delete_file_system(FileSystemId=system)
    backup = answer["OpenZFSResponse"]["FinalBackupId"]
    until_equal(lambda: lifecycle(fsx, system), "gone")
    found = fsx.describe_backups(BackupIds=[backup])["Backups"][0]
    assert (found["FileSystem"]["FileSystemId"], found["Type"]) == (system, "USER_INITIATED")
    fsx.delete_backup(BackupId=backup)
    assert refusal(fsx.describe_backups, BackupIds=[backup])[0] == "BackupNotFound"


def test_lustre_keeps_a_final_backup_only_when_told_to(client: Client, network: Network) -> None:
    fsx = client("fsx")
    first, second = (made(fsx, lustre(network, 1200, P2))["FileSystemId"] for _ in range(2))
    assert "LustreResponse" not in fsx.delete_file_system(FileSystemId=first)
    kept = fsx.delete_file_system(FileSystemId=second, LustreConfiguration={"SkipFinalBackup": False})
    assert kept["LustreResponse"]["FinalBackupId"].startswith("backup-")


def test_child_volumes_hold_their_file_system(client: Client, network: Network) -> None:
    fsx = client("fsx")
    system = made(fsx, openzfs(network, 512, ZFS))
    root = system["OpenZFSConfiguration"]["RootVolumeId"]
    parent: dict[str, Any] = {"ParentVolumeId": root}
    request = {"VolumeType": "OPENZFS", "Name": "home", "OpenZFSConfiguration": parent}
    volume = fsx.create_volume(**request)["Volume"]
    assert volume["OpenZFSConfiguration"]["VolumePath"] == "/fsx/home"
    assert "exists" in refusal(fsx.create_volume, **request)[1]
    assert "root volume" in refusal(fsx.delete_volume, VolumeId=root)[1]
    wanted = {"FileSystemId": system["FileSystemId"]}
    skip: dict[str, Any] = {"SkipFinalBackup": True}
    assert "child volumes" in refusal(fsx.delete_file_system, **wanted, OpenZFSConfiguration=skip)[1]
    skip["Options"] = ["DELETE_CHILD_VOLUMES_AND_SNAPSHOTS"]
    assert fsx.delete_file_system(**wanted, OpenZFSConfiguration=skip)["Lifecycle"] == "DELETING"


def test_updates(client: Client, network: Network) -> None:
    fsx = client("fsx")
    wanted = made(fsx, lustre(network, 1200, P2))["FileSystemId"]
    assert "greater than" in refusal(fsx.update_file_system, FileSystemId=wanted, StorageCapacity=1200)[1]
    assert "multiple" in refusal(fsx.update_file_system, FileSystemId=wanted, StorageCapacity=3600)[1]
    assert "not newer" in refusal(fsx.update_file_system, FileSystemId=wanted, FileSystemTypeVersion="2.12")[1]
    faster = {"PerUnitStorageThroughput": 500, "DataCompressionType": "LZ4"}
    after = fsx.update_file_system(
        FileSystemId=wanted, StorageCapacity=2400, FileSystemTypeVersion="2.15", LustreConfiguration=faster
    )["FileSystem"]
    assert (after["StorageCapacity"], after["FileSystemTypeVersion"]) == (2400, "2.15")
    assert faster.items() <= after["LustreConfiguration"].items()


def test_openzfs_grows_by_a_tenth_at_least(client: Client, network: Network) -> None:
    fsx = client("fsx")
    wanted = made(fsx, openzfs(network, 1000, ZFS))["FileSystemId"]
    assert "10 percent" in refusal(fsx.update_file_system, FileSystemId=wanted, StorageCapacity=1099)[1]
    after = fsx.update_file_system(
        FileSystemId=wanted, StorageCapacity=1100, OpenZFSConfiguration={"ThroughputCapacity": 640}
    )["FileSystem"]
    assert (after["StorageCapacity"], after["OpenZFSConfiguration"]["ThroughputCapacity"]) == (1100, 640)


def test_what_is_not_ready_cannot_be_changed(client: Client, network: Network) -> None:
    fsx = client("fsx")
    wanted = fsx.create_file_system(**lustre(network, 1200, P2))["FileSystem"]["FileSystemId"]
    assert "CREATING" in refusal(fsx.update_file_system, FileSystemId=wanted, StorageCapacity=2400)[1]


def test_tags(client: Client, network: Network) -> None:
    fsx = client("fsx")
    tags = [{"Key": "project", "Value": "one"}, {"Key": "stage", "Value": "x"}]
    arn = fsx.create_file_system(**lustre(network, 1200, P2, Tags=tags))["FileSystem"]["ResourceARN"]
    fsx.tag_resource(ResourceARN=arn, Tags=[{"Key": "project", "Value": "two"}])
    fsx.untag_resource(ResourceARN=arn, TagKeys=["stage"])
    assert fsx.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "project", "Value": "two"}]
    gone = arn.rpartition("/")[0] + "/fs-0123456789abcdef0"
    assert refusal(fsx.list_tags_for_resource, ResourceARN=gone)[0] == "ResourceNotFound"
    found = client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "project", "Values": ["two"]}])
    assert [row["ResourceARN"] for row in found["ResourceTagMappingList"]] == [arn]


def test_pages(client: Client, network: Network) -> None:
    fsx = client("fsx", "us-east-1")
    made_here = {fsx.create_file_system(**lustre(network, 1200, P2))["FileSystem"]["FileSystemId"] for _ in range(3)}
    pages = list(fsx.get_paginator("describe_file_systems").paginate(PaginationConfig={"PageSize": 2}))
    assert len(pages) >= 2
    assert made_here <= {row["FileSystemId"] for page in pages for row in page["FileSystems"]}
    assert "NextToken" in refusal(fsx.describe_file_systems, NextToken="bm9uc2Vuc2U=")[1]


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("describe_file_systems", {"FileSystemIds": ["fs-0123456789abcdef0"]}, "FileSystemNotFound"),
        ("describe_file_systems", {"FileSystemIds": ["fs-XYZ"]}, "ValidationException"),
        ("delete_file_system", {"FileSystemId": "fs-0123456789abcdef0"}, "FileSystemNotFound"),
        ("update_file_system", {"FileSystemId": "fs-0123456789abcdef0"}, "FileSystemNotFound"),
        ("describe_volumes", {"VolumeIds": ["fsvol-0123456789abcdef0"]}, "VolumeNotFound"),
        ("describe_backups", {"BackupIds": ["backup-0123456789abcdef0"]}, "BackupNotFound"),
        ("create_backup", {"FileSystemId": "fs-0123456789abcdef0"}, "FileSystemNotFound"),
        ("list_tags_for_resource", {"ResourceARN": "arn:aws:s3:::bucket"}, "ValidationException"),
        ("create_snapshot", {"Name": "a", "VolumeId": "fsvol-0123456789abcdef0"}, "NotImplemented"),
    ],
)
def test_what_is_not_there(client: Client, operation: str, request_: dict[str, Any], code: str) -> None:
    assert refusal(getattr(client("fsx"), operation), **request_)[0] == code
