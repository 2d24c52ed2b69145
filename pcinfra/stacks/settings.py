"""The values of the prerequisites stack's parameters."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

NODE_POLICY = "NodePolicy"
"""The policy of the nodes: its logical id, and the output with its ARN."""

NODE_POLICY_PATH = "/parallelcluster/pcinfra/{region}/{stack}/"
"""Its path: between ``arn:PARTITION:iam::ACCOUNT:policy`` and a name that CloudFormation makes."""

NODE_POLICY_ROOM = 3800
"""Characters that its ARNs may have together, three more for each. A test holds the whole to the 6,144 that a managed
policy may have (IAM user guide, IAM and STS quotas; white space is not counted)."""


def _parameter(name: str, default: Any) -> Any:
    return field(default=default, metadata={"parameter": name})


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """One choice for every parameter of the template; the defaults are the template's defaults.

    They create a working stack in us-east-1. OpenZFS is SINGLE_AZ_HA_2 because it fails over by itself inside
    the one zone where the nodes are; where a region lacks it, MULTI_AZ_1 exists and needs
    ``secondary_subnet_az``. Capacities are GiB, ``lustre_throughput`` is MB/s per TiB, ``openzfs_throughput``
    is MB/s.
    """

    primary_subnet_az: str = _parameter("PrimarySubnetAZ", "")
    """Name of the availability zone, such as us-east-1f; a stack cannot be created without it."""
    secondary_subnet_az: str = _parameter("SecondarySubnetAZ", "")
    """A second zone, which MULTI_AZ_1 needs; empty makes no second private subnet."""
    vpc_name: str = _parameter("VPCName", "AWS ParallelCluster")
    vpc_cidr: str = _parameter("VpcCidr", "10.0.0.0/16")
    public_subnet_cidr: str = _parameter("PublicSubnetCidr", "10.0.0.0/17")
    private_cidr: str = _parameter("PrivateCidr", "10.1.0.0/16")
    primary_private_subnet_cidr: str = _parameter("PrimaryPrivateSubnetCidr", "10.1.0.0/17")
    secondary_private_subnet_cidr: str = _parameter("SecondaryPrivateSubnetCidr", "10.1.128.0/17")
    create_s3_endpoint: bool = _parameter("CreateS3Endpoint", True)
    create_dynamodb_endpoint: bool = _parameter("CreateDynamoDBEndpoint", True)
    create_ecr_endpoints: bool = _parameter("CreateEcrEndpoints", False)
    create_ssm_endpoints: bool = _parameter("CreateSsmEndpoints", False)
    flow_logs_bucket_arn: str = _parameter("FlowLogsBucketArn", "")
    lustre_deployment_type: str = _parameter("LustreDeploymentType", "PERSISTENT_2")
    lustre_storage_type: str = _parameter("LustreStorageType", "SSD")
    lustre_drive_cache: str = _parameter("LustreDriveCacheType", "NONE")
    """Used with HDD only."""
    lustre_capacity: int = _parameter("Capacity", 1200)
    lustre_throughput: int | None = _parameter("PerUnitStorageThroughput", 250)
    """None with the scratch types."""
    lustre_compression: str = _parameter("Compression", "LZ4")
    lustre_version: str = _parameter("LustreVersion", "2.15")
    lustre_metadata_iops: int | None = _parameter("LustreMetadataIops", None)
    """None leaves them to FSx (AUTOMATIC)."""
    lustre_efa: bool = _parameter("LustreEfa", False)
    openzfs_deployment_type: str = _parameter("OpenZFSDeploymentType", "SINGLE_AZ_HA_2")
    openzfs_capacity: int = _parameter("OpenZFSCapacity", 512)
    openzfs_throughput: int = _parameter("OpenZFSThroughput", 320)
    openzfs_backup_retention_days: int = _parameter("OpenZFSBackupRetentionDays", 7)
    """Days that daily backups are kept; 0 makes none."""
    openzfs_backup_time: str = _parameter("OpenZFSBackupTime", "19:00")
    """HH:MM in UTC."""
    kms_key_arn: str = _parameter("KmsKeyArn", "")
    """Encrypts the file systems; empty leaves it to the key of FSx in the account (aws/fsx)."""

    accounting_database: bool = _parameter("AccountingDatabase", False)
    database_min_capacity: float = _parameter("DatabaseMinCapacity", 0.5)
    database_max_capacity: float = _parameter("DatabaseMaxCapacity", 4.0)
    """Aurora capacity units, of about 2 GiB of memory each."""
    database_backup_days: int = _parameter("DatabaseBackupDays", 7)

    node_repository_arns: str = _parameter("NodeRepositoryArns", "")
    """With commas between, and so the others; empty makes no policy for the nodes."""
    node_secret_arns: str = _parameter("NodeSecretArns", "")
    node_parameter_arns: str = _parameter("NodeParameterArns", "")

    existing_vpc: str = _parameter("ExistingVpc", "")
    """Ids of what is used instead of being made; empty makes it. With a VPC come both subnets."""
    existing_public_subnet: str = _parameter("ExistingPublicSubnet", "")
    existing_private_subnet: str = _parameter("ExistingPrivateSubnet", "")
    existing_security_group: str = _parameter("ExistingSecurityGroup", "")
    existing_lustre: str = _parameter("ExistingLustre", "")
    existing_lustre_mount_name: str = _parameter("ExistingLustreMountName", "")
    existing_openzfs_volume: str = _parameter("ExistingOpenZFSVolume", "")

    def parameters(self) -> dict[str, str]:
        """Return the parameters for CreateStack.

        A value that is None is AUTOMATIC for ``LustreMetadataIops`` and left out (template default) otherwise;
        so is an empty ``PrimarySubnetAZ``, which makes CreateStack ask for it by name.
        """
        values = {item.metadata["parameter"]: getattr(self, item.name) for item in fields(self)}
        texts = {name: _text(value) for name, value in values.items()}
        texts["LustreMetadataIops"] = texts["LustreMetadataIops"] or "AUTOMATIC"
        required = ("PerUnitStorageThroughput", "PrimarySubnetAZ")
        return {name: text for name, text in texts.items() if text or name not in required}


def _text(value: str | float | bool | None) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
