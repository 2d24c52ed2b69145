"""The shape of ``pcinfra.yaml``, with every default visible.

Units are AWS's: capacities in GiB, Lustre throughput in MB/s per TiB, OpenZFS throughput in MB/s. Descriptions
are written here once; the scaffold's comments and the JSON Schema show them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pcinfra.project.cluster_model import Cluster
from pcinfra.project.fields import (
    AssociationName,
    BackupTime,
    BucketName,
    BuildContext,
    CapacityUnits,
    Cidr,
    ClusterName,
    FileSystemId,
    FlowLogsBucket,
    ImageName,
    ImageTag,
    KmsKey,
    LustrePath,
    PolicyArn,
    ProjectName,
    Region,
    RepositoryGrant,
    RepositoryName,
    S3Prefix,
    SecretGrant,
    SecurityGroupId,
    StackName,
    SubnetId,
    TagKey,
    TagValue,
    VolumeId,
    VpcId,
    VpcName,
    Zone,
)
from pcinfra.project.section import Section
from pcinfra.stacks import limits, regions

EventType = Literal["NEW", "CHANGED", "DELETED"]
LustreDeploymentType = Literal["SCRATCH_2", "PERSISTENT_1", "PERSISTENT_2"]
OpenZFSDeploymentType = Literal["auto", "SINGLE_AZ_1", "SINGLE_AZ_2", "SINGLE_AZ_HA_1", "SINGLE_AZ_HA_2", "MULTI_AZ_1"]
ImageBuilder = Literal["auto", "docker", "podman", "buildah", "codebuild"]

ALL_EVENTS: tuple[EventType, ...] = ("NEW", "CHANGED", "DELETED")


class Lustre(Section):
    """FSx for Lustre, the fast file system at /lustre on every node."""

    deployment_type: LustreDeploymentType = Field(
        "PERSISTENT_2",
        description="SCRATCH_2 is cheaper and keeps no second copy; the others survive a broken disk. "
        "Changing it makes a new, empty file system.",
    )
    storage_type: Literal["SSD", "HDD"] = Field("SSD", description="HDD is cheaper and slower, for PERSISTENT_1 only.")
    drive_cache: Literal["READ", "NONE"] = Field(
        "NONE", description="READ puts an SSD cache in front of HDD; with SSD there is NONE."
    )
    capacity: int = Field(
        1200,
        description="GiB. SSD: 1200 or a multiple of 2400; HDD: a multiple of 6000 (throughput 12) or 1800 (40). "
        "Changing it makes a new, empty file system.",
    )
    throughput: int | None = Field(
        250,
        description="MB/s per TiB. PERSISTENT_2: 125, 250, 500 or 1000; PERSISTENT_1: 50, 100 or 200, on HDD 12 or "
        "40; SCRATCH_2 has none: write null.",
    )
    compression: Literal["LZ4", "NONE"] = Field("LZ4", description="Compress files on disk.")
    version: Literal["2.12", "2.15"] = Field("2.15", description="Lustre version. In quotes, because it is text.")
    metadata_iops: int | None = Field(
        None,
        description="Metadata operations per second of PERSISTENT_2 with 2.15: 1500, 3000, 6000 or a multiple of "
        "12000 up to 192000; null follows the capacity. They can grow, but never shrink.",
    )
    efa: bool = Field(
        False,
        description="Let instances reach the servers by EFA, and GPUs by GPUDirect Storage. PERSISTENT_2 with 2.15; "
        "capacity in steps of 38400 (throughput 125), 19200 (250), 9600 (500) or 4800 (1000).",
    )


class OpenZFS(Section):
    """FSx for OpenZFS, the home directories at /home on every node."""

    deployment_type: OpenZFSDeploymentType = Field(
        "auto",
        description="HA types and MULTI_AZ_1 fail over by themselves; MULTI_AZ_1 makes a second zone. Not every region "
        "has every type: auto is the first of SINGLE_AZ_HA_2, SINGLE_AZ_HA_1 and MULTI_AZ_1 that the region has and "
        "that takes the throughput. Changing it makes a new, empty file system.",
    )
    capacity: int = Field(512, description="GiB: 64 to 524288. Changing it makes a new, empty file system.")
    throughput: int = Field(
        320,
        description="MB/s. SINGLE_AZ_1 and SINGLE_AZ_HA_1: 64, 128, 256, 512, 1024, 2048, 3072 or 4096; "
        "the others: 160, 320, 640, 1280, 2560, 3840, 5120, 7680 or 10240.",
    )
    backup_days: int = Field(7, ge=0, le=90, description="Days that the daily backups are kept; 0 makes none.")
    backup_time: BackupTime = Field("19:00", description="When the daily backup is made, HH:MM in UTC, in quotes.")
    final_backup: bool = Field(
        False,
        description="Keep the backup of /home that FSx makes when the file system is deleted. It costs until you "
        "delete it.",
    )


class Database(Section):
    """The database that clusters with accounting.managed keep their history in: Aurora MySQL Serverless v2."""

    min_capacity: CapacityUnits = Field(
        0.5, description="Least capacity units, of about 2 GiB of memory each, in steps of 0.5; they always cost."
    )
    max_capacity: CapacityUnits = Field(4.0, description="Most capacity units, at most 128.")
    backup_days: int = Field(
        7, ge=1, le=limits.MAX_DATABASE_BACKUP_DAYS, description="Days back to which it can be restored."
    )


class Adopt(Section):
    """What exists already and is used instead of being made. It is never changed and never deleted."""

    vpc: VpcId | None = Field(
        None, description="VPC (vpc-...), with both subnets below. Nothing is made in its network, endpoints neither."
    )
    public_subnet: SubnetId | None = Field(None, description="Its subnet (subnet-...) behind an internet gateway.")
    private_subnet: SubnetId | None = Field(
        None, description="Its subnet (subnet-...) behind a NAT gateway: nodes and new file systems."
    )
    security_group: SecurityGroupId | None = Field(
        None, description="Group (sg-...) open to itself in and out, as EFA needs; null makes one in the VPC."
    )
    lustre: FileSystemId | None = Field(
        None, description="Lustre file system (fs-...) in the VPC and the private subnet's zone; null makes one."
    )
    openzfs_volume: VolumeId | None = Field(
        None, description="OpenZFS volume (fsvol-...) in the VPC, for /home; null makes a file system."
    )


class Prerequisites(Section):
    """Network and storage: one CloudFormation stack."""

    stack: StackName = Field("parallelcluster-prerequisites", description="Name of the stack.")
    vpc_name: VpcName = Field("AWS ParallelCluster", description="Name of the VPC, and the start of every name in it.")
    vpc_cidr: Cidr = Field("10.0.0.0/16", description="First address range of the VPC: /16 to /28.")
    public_subnet_cidr: Cidr = Field("10.0.0.0/17", description="Public subnet, inside vpc_cidr: the NAT gateway.")
    private_cidr: Cidr = Field("10.1.0.0/16", description="Second address range of the VPC, apart from the first.")
    private_subnet_cidr: Cidr = Field(
        "10.1.0.0/17", description="Private subnet, inside private_cidr: compute nodes and file systems."
    )
    secondary_private_subnet_cidr: Cidr | None = Field(
        None,
        description="Private subnet in the second zone, where there is one; null is one as large as the first, "
        "beside it.",
    )
    s3_endpoint: bool = Field(
        True, description="Reach S3 directly instead of through the NAT gateway, whose traffic costs. Free."
    )
    dynamodb_endpoint: bool = Field(
        True, description="Reach DynamoDB, where ParallelCluster keeps a cluster's state, directly. Free."
    )
    ecr_endpoints: bool = Field(
        False,
        description="Reach ECR without the NAT gateway: two interface endpoints, each about 0.01 USD an hour and "
        "0.01 USD a GB in us-east-1. Image layers come from S3 in any case.",
    )
    ssm_endpoints: bool = Field(
        False,
        description="Reach Session Manager and Run Command without the NAT gateway: three interface endpoints, each "
        "about 0.01 USD an hour in us-east-1.",
    )
    flow_logs_bucket: FlowLogsBucket | None = Field(
        None, description="S3 bucket of yours that takes the VPC's flow logs; null records none. S3 bills for them."
    )
    adopt: Adopt = Adopt()
    lustre: Lustre = Lustre()
    openzfs: OpenZFS = OpenZFS()
    database: Database = Database()


class Bucket(Section):
    """The S3 bucket with data, checkpoints, logs, results and the bootstrap scripts."""

    name: BucketName = Field("auto", description="auto is parallelcluster-<account>-<region>.")
    old_versions_days: int = Field(
        30, ge=1, le=3650, description="Days that deleted and overwritten files can still be brought back."
    )


class Association(Section):
    """A Lustre directory tied to an S3 prefix (FSx data repository association)."""

    path: LustrePath = Field(
        examples=["/data"], description="Directory of the Lustre file system: /data is /lustre/data."
    )
    prefix: S3Prefix = Field(examples=["data/"], description="Prefix in the bucket, with / at its end.")
    auto_import: tuple[EventType, ...] = Field((), description="What happens in S3 and is brought to Lustre by itself.")
    auto_export: tuple[EventType, ...] = Field(
        (),
        description="What happens on Lustre and is brought to S3 by itself. With DELETED, rm deletes the file in S3.",
    )
    batch_import: bool = Field(False, description="List what the prefix holds already, when the association is made.")


def default_associations() -> dict[AssociationName, Association]:
    """Return the guide's four, except that an ``rm`` on Lustre never deletes the only copy in S3."""
    keep: tuple[EventType, ...] = ("NEW", "CHANGED")
    return {
        "data": Association(path="/data", prefix="data/", auto_import=ALL_EVENTS, batch_import=True),
        "checkpoints": Association(
            path="/checkpoints", prefix="checkpoints/", auto_import=ALL_EVENTS, auto_export=keep
        ),
        "logs": Association(path="/logs", prefix="logs/", auto_export=ALL_EVENTS),
        "results": Association(path="/results", prefix="results/", auto_export=keep),
    }


class Image(Section):
    """An image that jobs run in, and the ECR repository that keeps it."""

    repository: RepositoryName = Field(
        "pytorch-training-custom", description="Name of the ECR repository; every image has one of its own."
    )
    tag: ImageTag = Field("latest", description='Tag of the image that jobs use. Quote versions: "1.10".')
    context: BuildContext = Field(
        "builtin:pytorch", description="What it is built from: a folder with a Dockerfile, or an image of pcinfra."
    )
    builder: ImageBuilder = Field(
        "auto",
        description="What builds it: auto is the first of docker, podman and buildah that runs here, else codebuild, "
        "which builds in your account, next to the repository.",
    )
    disk_space: int = Field(
        20, ge=0, description="GB that must be free on this machine to build it here; 0 is not checked."
    )
    immutable_tags: bool = Field(False, description="Refuse to move a tag to another image.")
    keep: int = Field(10, ge=1, le=1000, description="Number of images that are kept; older ones are deleted.")


class Nodes(Section):
    """What jobs may use on the nodes of every cluster besides the project's own bucket and images."""

    secrets: tuple[SecretGrant, ...] = Field(
        (),
        max_length=100,
        examples=[["secretsmanager:hugging-face", "ssm:/team/*"]],
        description="Secrets that jobs may name: secretsmanager:NAME, ssm:NAME or an ARN; NAME may end with *.",
    )
    repositories: tuple[RepositoryGrant, ...] = Field(
        (),
        max_length=100,
        examples=[["team/*"]],
        description="ECR repositories of the account, besides those of images, that jobs may have images from; a name "
        "may end with *. Other accounts decide for themselves.",
    )


class Project(Section):
    """The whole of ``pcinfra.yaml``."""

    project: ProjectName = Field("training", description="Name of the project. Everything it makes is tagged with it.")
    region: Region = Field("us-east-1", description="AWS region.")
    protect: bool = Field(False, description="Refuse `pcinfra down` until this is false again.")
    availability_zone: Zone = Field(
        "auto", description="Name such as us-east-1a, or auto: one that has the instances and the capacity reservation."
    )
    secondary_availability_zone: Zone = Field(
        "auto",
        description="Second zone with a private subnet of its own; auto makes one only for OpenZFS MULTI_AZ_1 "
        "and for accounting.managed.",
    )
    tags: dict[TagKey, TagValue] = Field(
        {}, max_length=40, description="Tags of your own for everything that is made, at most 40."
    )
    kms_key: KmsKey | None = Field(
        None,
        description="ARN of a KMS key of yours for both file systems (but SCRATCH_2), the bucket and the repository; "
        "null is the keys of AWS. Its policy must let the nodes decrypt. Changing it makes new, empty file systems.",
    )
    permissions_boundary: PolicyArn | None = Field(
        None, description="ARN of the IAM policy that bounds every role that a cluster makes; null is no bound."
    )
    prerequisites: Prerequisites = Prerequisites()
    bucket: Bucket = Bucket()
    associations: dict[AssociationName, Association] = Field(
        default_factory=default_associations,
        max_length=8,
        description="Lustre directories tied to S3 prefixes, by names of your own; at most 8.",
    )
    images: dict[ImageName, Image] = Field(
        default_factory=lambda: {"pytorch": Image()},
        min_length=1,
        max_length=20,
        description="Images that jobs run in, by names of your own; at most 20. `pcinfra env` names the first one.",
    )
    nodes: Nodes = Nodes()
    clusters: dict[ClusterName, Cluster] = Field(
        default_factory=lambda: {"train": Cluster()}, description="Clusters, by name: pcinfra cluster create NAME."
    )

    @property
    def partition(self) -> str:
        """``aws``, ``aws-cn`` or ``aws-us-gov``. Source: IAM user guide, "Amazon Resource Names (ARNs)"."""
        start = self.region.split("-")[0]
        return "aws-cn" if start == "cn" else "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def openzfs_deployment_type(self) -> str:
        """The deployment type of OpenZFS, with ``auto`` resolved for the region and the throughput."""
        wanted = self.prerequisites.openzfs
        if wanted.deployment_type != "auto":
            return wanted.deployment_type
        choices = regions.openzfs_choices(self.region, one_zone=self.prerequisites.adopt.vpc is not None)
        return next((c for c in choices if wanted.throughput in limits.OPENZFS_THROUGHPUT[c]), choices[0])

    @property
    def two_zones(self) -> bool:
        """Whether there is a second private subnet, in another zone."""
        adopt = self.prerequisites.adopt
        multi = self.openzfs_deployment_type == "MULTI_AZ_1" and not adopt.openzfs_volume
        return not adopt.vpc and (multi or self.has_database or self.secondary_availability_zone != "auto")

    @property
    def has_database(self) -> bool:
        """Whether a cluster keeps its history in the database that pcinfra makes."""
        return any(cluster.accounting.managed for cluster in self.clusters.values())

    @property
    def first_image(self) -> str:
        """Name of the image that is meant where none is said."""
        return next(iter(self.images))

    def bucket_name(self, account: str) -> str:
        """Return the bucket's name in ``account`` (12 digits)."""
        return f"parallelcluster-{account}-{self.region}" if self.bucket.name == "auto" else self.bucket.name

    def tags_for(self, stage: str) -> dict[str, str]:
        """Return the tags of everything that ``stage`` makes; by them it is found again."""
        return {**self.tags, "pcinfra:project": self.project, "pcinfra:stage": stage}
