"""What the published schemas do not say, but CloudFormation's resource reference does."""

from __future__ import annotations

OPEN_ATTRIBUTES = frozenset(
    {
        "AWS::EC2::CapacityReservation",
        "AWS::EC2::Instance",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::Subnet",
        "AWS::EC2::VPC",
        "AWS::SSM::Parameter",
    }
)
"""Types of which GetAtt returns every property (cfn-lint keeps the same list, from the return values documented)."""

ATTRIBUTES: dict[str, frozenset[str]] = {
    "AWS::EC2::SecurityGroup": frozenset({"GroupId", "VpcId"}),
    "AWS::Lambda::Function": frozenset({"Arn"}),
    "AWS::DynamoDB::Table": frozenset({"Arn", "StreamArn"}),
}
"""Attributes documented in "Return values" that the schema does not list as read-only."""

CREATE_ONLY: dict[str, frozenset[tuple[str, ...]]] = {
    "AWS::FSx::FileSystem": frozenset(
        {
            ("StorageCapacity",),
            ("StorageType",),
            ("FileSystemTypeVersion",),
            ("LustreConfiguration", "DeploymentType"),
            ("LustreConfiguration", "ImportPath"),
            ("LustreConfiguration", "ExportPath"),
            ("LustreConfiguration", "ImportedFileChunkSize"),
            ("LustreConfiguration", "DriveCacheType"),
            ("LustreConfiguration", "EfaEnabled"),
            ("OpenZFSConfiguration", "DeploymentType"),
            ("OpenZFSConfiguration", "PreferredSubnetId"),
            ("OpenZFSConfiguration", "EndpointIpAddressRange"),
        }
    ),
    "AWS::Route53::RecordSet": frozenset({("Name",), ("Type",)}),
    "AWS::EC2::VPCGatewayAttachment": frozenset({("InternetGatewayId",), ("VpnGatewayId",)}),
    "AWS::EC2::EIP": frozenset({("Domain",)}),
    "AWS::EC2::Volume": frozenset({("AvailabilityZone",), ("Encrypted",), ("KmsKeyId",), ("SnapshotId",)}),
}
"""Properties whose "Update requires" is Replacement in the resource reference, though the schema does not say so."""

IN_PLACE = frozenset({"AWS::AutoScaling::AutoScalingGroup"})
"""Types that a property replaces only under an UpdatePolicy, which this engine refuses.

Source: user guide, "UpdatePolicy attribute", AutoScalingReplacingUpdate: without it a group is changed in place.
"""
