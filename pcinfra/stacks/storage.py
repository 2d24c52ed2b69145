"""The file systems of the prerequisites stack: Lustre at ``/lustre``, OpenZFS at ``/home``.

An update that has to replace a file system keeps the old one (``UpdateReplacePolicy: Retain``): data is never
lost by changing a parameter.
"""

from __future__ import annotations

from typing import Any

from troposphere import And, Condition, Equals, If, Not, NoValue, Ref, Template, fsx

from pcinfra.stacks.network import PRIVATE_SUBNET, SECURITY_GROUP, after_rules, named


def add_storage(template: Template) -> None:
    """Add both file systems, and the conditions that keep each parameter to the types that take it."""
    persistent_2 = Equals(Ref("LustreDeploymentType"), "PERSISTENT_2")
    template.add_condition("LustreScratch", Equals(Ref("LustreDeploymentType"), "SCRATCH_2"))
    template.add_condition("LustreHdd", Equals(Ref("LustreStorageType"), "HDD"))
    template.add_condition("LustreMetadata", And(persistent_2, Equals(Ref("LustreVersion"), "2.15")))
    template.add_condition("LustreMetadataAutomatic", Equals(Ref("LustreMetadataIops"), "AUTOMATIC"))
    template.add_condition("LustreWithEfa", Equals(Ref("LustreEfa"), "true"))
    template.add_condition("OpenZFSMultiAz", Equals(Ref("OpenZFSDeploymentType"), "MULTI_AZ_1"))
    template.add_condition("OpenZFSBackups", Not(Equals(Ref("OpenZFSBackupRetentionDays"), 0)))
    template.add_condition("WithKmsKey", Not(Equals(Ref("KmsKeyArn"), "")))
    template.add_condition("LustreWithKmsKey", And(Condition("WithKmsKey"), Not(Condition("LustreScratch"))))
    template.add_resource(_lustre())
    template.add_resource(_openzfs())


def _lustre() -> fsx.FileSystem:
    """``/lustre``. SCRATCH_2 takes no key of one's own. Source: FSx API reference, CreateFileSystem, KmsKeyId."""
    return fsx.FileSystem(
        "FSxLFilesystem",
        Condition="NewLustre",
        FileSystemType="LUSTRE",
        FileSystemTypeVersion=Ref("LustreVersion"),
        StorageType=Ref("LustreStorageType"),
        StorageCapacity=Ref("Capacity"),
        SubnetIds=[PRIVATE_SUBNET],
        KmsKeyId=If("LustreWithKmsKey", Ref("KmsKeyArn"), NoValue),
        LustreConfiguration=fsx.LustreConfiguration(
            DeploymentType=Ref("LustreDeploymentType"),
            PerUnitStorageThroughput=If("LustreScratch", NoValue, Ref("PerUnitStorageThroughput")),
            DriveCacheType=If("LustreHdd", Ref("LustreDriveCacheType"), NoValue),
            DataCompressionType=Ref("Compression"),
            MetadataConfiguration=If("LustreMetadata", _metadata(), NoValue),
            EfaEnabled=If("LustreWithEfa", True, NoValue),
        ),
        Tags=named("Lustre"),
        **_common(),
    )


def _metadata() -> Any:
    """Lustre 2.12 works with PERSISTENT_2 only when this is absent. Source: FSx API reference, CreateFileSystem."""
    automatic = fsx.MetadataConfiguration(Mode="AUTOMATIC")
    chosen = fsx.MetadataConfiguration(Mode="USER_PROVISIONED", Iops=Ref("LustreMetadataIops"))
    return If("LustreMetadataAutomatic", automatic, chosen)


def _openzfs() -> fsx.FileSystem:
    """``/home``.

    CloudFormation deletes with FSx's defaults: child volumes only because of ``Options``, and never without a
    final backup. Tags are copied so that this backup can be found and, if not wanted, deleted. MULTI_AZ_1 needs
    every route table of its clients, or they lose it on failover. Source: FSx API reference,
    DeleteFileSystemOpenZFSConfiguration and CreateFileSystemOpenZFSConfiguration.
    """
    one, two = Ref("PrimaryPrivateSubnet"), Ref("SecondaryPrivateSubnet")
    tables = [Ref("PublicRouteTable"), Ref("PrivateRouteTable")]
    return fsx.FileSystem(
        "OpenZFSFileSystem",
        Condition="NewOpenZFS",
        FileSystemType="OPENZFS",
        StorageType="SSD",
        StorageCapacity=Ref("OpenZFSCapacity"),
        SubnetIds=If("OpenZFSMultiAz", [one, two], [PRIVATE_SUBNET]),
        KmsKeyId=If("WithKmsKey", Ref("KmsKeyArn"), NoValue),
        OpenZFSConfiguration=fsx.OpenZFSConfiguration(
            DeploymentType=Ref("OpenZFSDeploymentType"),
            ThroughputCapacity=Ref("OpenZFSThroughput"),
            PreferredSubnetId=If("OpenZFSMultiAz", one, NoValue),
            RouteTableIds=If("OpenZFSMultiAz", tables, NoValue),
            AutomaticBackupRetentionDays=Ref("OpenZFSBackupRetentionDays"),
            DailyAutomaticBackupStartTime=If("OpenZFSBackups", Ref("OpenZFSBackupTime"), NoValue),
            WeeklyMaintenanceStartTime="1:04:00",
            CopyTagsToBackups=True,
            CopyTagsToVolumes=True,
            Options=["DELETE_CHILD_VOLUMES_AND_SNAPSHOTS"],
            RootVolumeConfiguration=_root_volume(),
        ),
        Tags=named("OpenZFS"),
        **_common(),
    )


def _root_volume() -> fsx.RootVolumeConfiguration:
    """As in the guide's template: a change here replaces the file system.

    ``*`` is whoever the security group lets in, which is the group itself. Root is not squashed: the head node
    makes home directories as root. Source: CloudFormation, AWS::FSx::FileSystem RootVolumeConfiguration.
    """
    clients = fsx.ClientConfigurations(Clients="*", Options=["rw", "no_root_squash", "crossmnt"])
    return fsx.RootVolumeConfiguration(
        DataCompressionType="NONE", NfsExports=[fsx.NfsExports(ClientConfigurations=[clients])]
    )


def _common() -> dict[str, Any]:
    return {
        "SecurityGroupIds": [SECURITY_GROUP],
        "Metadata": after_rules(),
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Retain",
    }
