"""The prerequisites stack that a project asks for: its template, parameters and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcinfra import assets
from pcinfra.project import grants
from pcinfra.stages.stack_operations import WantedStack

if TYPE_CHECKING:
    from pcinfra.project import Project
    from pcinfra.stacks.settings import StackSettings

STAGE = "prerequisites"


def wanted_stack(project: Project, account: str, zone: str, second: str = "", mount_name: str = "") -> WantedStack:
    """Return the stack that ``project`` asks for.

    Args:
        account: 12 digits; whose repositories and secrets the nodes use.
        zone: availability zone of everything; ``second`` is the other one, where the project wants two.
        mount_name: of the Lustre file system that is adopted.
    """
    template = (assets.folder("cfn") / "parallelcluster-prerequisites.yaml").read_text(encoding="utf-8")
    parameters = tuple(sorted(_settings(project, account, zone, second, mount_name).parameters().items()))
    tags = tuple(sorted(project.tags_for(STAGE).items()))
    return WantedStack(project.prerequisites.stack, template, parameters, tags)


def _settings(project: Project, account: str, zone: str, second: str = "", mount_name: str = "") -> StackSettings:
    """Return the template's settings for ``project``; see :func:`wanted_stack`."""
    from pcinfra.stacks.settings import StackSettings

    wanted = project.prerequisites
    return StackSettings(
        primary_subnet_az=zone,
        secondary_subnet_az=second if project.two_zones else "",
        vpc_name=wanted.vpc_name,
        vpc_cidr=wanted.vpc_cidr,
        public_subnet_cidr=wanted.public_subnet_cidr,
        private_cidr=wanted.private_cidr,
        primary_private_subnet_cidr=wanted.private_subnet_cidr,
        secondary_private_subnet_cidr=_second_subnet(project),
        create_s3_endpoint=wanted.s3_endpoint,
        create_dynamodb_endpoint=wanted.dynamodb_endpoint,
        create_ecr_endpoints=wanted.ecr_endpoints,
        create_ssm_endpoints=wanted.ssm_endpoints,
        flow_logs_bucket_arn=_bucket_arn(project, wanted.flow_logs_bucket),
        lustre_deployment_type=wanted.lustre.deployment_type,
        lustre_storage_type=wanted.lustre.storage_type,
        lustre_drive_cache=wanted.lustre.drive_cache,
        lustre_capacity=wanted.lustre.capacity,
        lustre_throughput=wanted.lustre.throughput,
        lustre_compression=wanted.lustre.compression,
        lustre_version=wanted.lustre.version,
        lustre_metadata_iops=wanted.lustre.metadata_iops,
        lustre_efa=wanted.lustre.efa,
        openzfs_deployment_type=project.openzfs_deployment_type,
        openzfs_capacity=wanted.openzfs.capacity,
        openzfs_throughput=wanted.openzfs.throughput,
        openzfs_backup_retention_days=wanted.openzfs.backup_days,
        openzfs_backup_time=wanted.openzfs.backup_time,
        kms_key_arn=project.kms_key or "",
        accounting_database=project.has_database,
        database_min_capacity=wanted.database.min_capacity,
        database_max_capacity=wanted.database.max_capacity,
        database_backup_days=wanted.database.backup_days,
        node_repository_arns=",".join(grants.repository_arns(project, account)),
        node_secret_arns=",".join(grants.secret_arns(project, account)),
        node_parameter_arns=",".join(grants.parameter_arns(project, account)),
        existing_vpc=wanted.adopt.vpc or "",
        existing_public_subnet=wanted.adopt.public_subnet or "",
        existing_private_subnet=wanted.adopt.private_subnet or "",
        existing_security_group=wanted.adopt.security_group or "",
        existing_lustre=wanted.adopt.lustre or "",
        existing_lustre_mount_name=mount_name if wanted.adopt.lustre else "",
        existing_openzfs_volume=wanted.adopt.openzfs_volume or "",
    )


def _second_subnet(project: Project) -> str:
    """Return the range of the second private subnet; the template's default where there is none."""
    from pcinfra.project.sizes import second_subnet

    wanted = project.prerequisites
    if not project.two_zones:
        return "10.1.128.0/17"
    beside = second_subnet(wanted.private_cidr, wanted.private_subnet_cidr)
    return wanted.secondary_private_subnet_cidr or beside or ""


def _bucket_arn(project: Project, bucket: str | None) -> str:
    return f"arn:{project.partition}:s3:::{bucket}" if bucket else ""
