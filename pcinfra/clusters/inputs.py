"""What a cluster's configuration takes from the infrastructure below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pcinfra.errors import NotFound
from pcinfra.stacks.settings import NODE_POLICY

if TYPE_CHECKING:
    from pcinfra.project import Project

HEAD_SCRIPT = "scripts/bootstrap/head-node-enroot-pyxis-setup.sh"
COMPUTE_SCRIPT = "scripts/bootstrap/compute-node-enroot-pyxis-setup.sh"

_OUTPUTS = {
    "public_subnet": "PublicSubnet",
    "private_subnet": "PrimaryPrivateSubnet",
    "security_group": "SecurityGroup",
    "lustre_id": "FSxLustreFilesystemId",
    "openzfs_volume": "FSxORootVolumeId",
}


@dataclass(frozen=True, slots=True)
class Database:
    """The accounting database of the stack.

    Args:
        uri: host and port.
        secret: ARN of the secret that is its password.
        group: security group of who reaches it.
    """

    uri: str
    user: str
    secret: str
    group: str


_DATABASE = ("DatabaseUri", "DatabaseUser", "DatabaseSecret", "DatabaseClientGroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterInputs:
    """Ids of what the other stages made.

    Args:
        account: 12 digits.
        lustre_id: ``fs-`` and 17 characters.
        openzfs_volume: ``fsvol-`` and 17 hex digits: the volume, not the file system.
        head_script: S3 URL of the head node's script; ``compute_script`` of the compute nodes'.
        repository_arn: ARN of the ECR repository of the training image.
        tags: put on everything that the cluster makes.
        permissions_boundary: ARN of the policy that bounds the cluster's roles; empty for none.
        node_policy: ARN of the project's own policy of nodes; empty where the stack was made without one.
        database: None where no cluster keeps its history in the stack's.
    """

    region: str
    account: str
    public_subnet: str
    private_subnet: str
    security_group: str
    lustre_id: str
    openzfs_volume: str
    bucket: str
    head_script: str
    compute_script: str
    repository_arn: str
    tags: Mapping[str, str]
    permissions_boundary: str = ""
    node_policy: str = ""
    database: Database | None = None

    @property
    def partition(self) -> str:
        """``aws``, ``aws-cn`` or ``aws-us-gov``."""
        return self.repository_arn.split(":")[1]

    @property
    def registry(self) -> str:
        """Host name of the account's ECR registry."""
        suffix = ".cn" if self.partition == "aws-cn" else ""
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com{suffix}"


def inputs_from_outputs(outputs: Mapping[str, str], project: Project, account: str) -> ClusterInputs:
    """Return the inputs for every cluster of ``project``.

    Args:
        outputs: of the prerequisites stack, under the guide's names.

    Raises:
        NotFound: an output is missing, so the stack is not complete.
    """
    database = _DATABASE if project.has_database else ()
    missing = [key for key in (*_OUTPUTS.values(), *database) if not outputs.get(key)]
    if missing:
        raise NotFound(
            f"the stack has no output {', '.join(missing)}", where=project.prerequisites.stack, hint="pcinfra up"
        )
    bucket = project.bucket_name(account)
    return ClusterInputs(
        region=project.region,
        account=account,
        bucket=bucket,
        head_script=f"s3://{bucket}/{HEAD_SCRIPT}",
        compute_script=f"s3://{bucket}/{COMPUTE_SCRIPT}",
        repository_arn=_repository_arn(project, account),
        tags=project.tags_for("cluster"),
        permissions_boundary=project.permissions_boundary or "",
        node_policy=outputs.get(NODE_POLICY, ""),
        database=Database(*(outputs[key] for key in database)) if database else None,
        **{name: outputs[key] for name, key in _OUTPUTS.items()},
    )


def placeholder_inputs(project: Project) -> ClusterInputs:
    """Return inputs with made-up ids of the right form, to check everything else before anything exists."""
    outputs = {
        "PublicSubnet": "subnet-00000000000000000",
        "PrimaryPrivateSubnet": "subnet-00000000000000001",
        "SecurityGroup": "sg-00000000000000000",
        "FSxLustreFilesystemId": "fs-00000000000000000",
        "FSxORootVolumeId": "fsvol-00000000000000000",
        NODE_POLICY: f"arn:{project.partition}:iam::{'0' * 12}:policy/{NODE_POLICY}",
        "DatabaseUri": "database.cluster-000000000000.rds.amazonaws.com:3306",
        "DatabaseUser": "slurm",
        "DatabaseSecret": f"arn:{project.partition}:secretsmanager:{project.region}:{'0' * 12}:secret:database-000000",
        "DatabaseClientGroup": "sg-00000000000000001",
    }
    return inputs_from_outputs(outputs, project, "0" * 12)


def _repository_arn(project: Project, account: str) -> str:
    partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}
    prefix = next((name for start, name in partition.items() if project.region.startswith(f"{start}-")), "aws")
    return f"arn:{prefix}:ecr:{project.region}:{account}:repository/{project.images[project.first_image].repository}"
