"""The table: every API call that pcinfra makes, the IAM action behind it, and the resources that it is for.

Source of actions that are not named like their operation, and of the resources and conditions that an action takes:
Service Authorization Reference, and the S3 API reference's "Permissions" of each operation.
"""

from __future__ import annotations

from pcinfra.iam_policy.model import Grant, Statement, beyond, called
from pcinfra.stacks.settings import NODE_POLICY_PATH

FREE = {"sts.GetCallerIdentity": "needs no permission (STS API reference)"}

STACK = "arn:{partition}:cloudformation:{region}:{account}:stack/{stack}/*"
STACKS = "arn:{partition}:cloudformation:{region}:{account}:stack/*"
BUCKET = "arn:{partition}:s3:::{bucket}"
OBJECTS = "arn:{partition}:s3:::{bucket}/*"
REPOSITORY = "arn:{partition}:ecr:{region}:{account}:repository/{repository}"
FSX = "arn:{{partition}}:fsx:{{region}}:{{account}}:{}"
LOGS = "arn:{{partition}}:logs:{{region}}:{{account}}:log-group:{}"
SECURITY = "arn:{{partition}}:ec2:{{region}}:{{account}}:{}/*"
ROLES = "arn:{{partition}}:iam::{{account}}:role/aws-service-role/{}/*"
BUILD_ROLE = "arn:{partition}:iam::{account}:role/pcinfra-{project}-{region}"

BY_CLOUDFORMATION = {"ForAnyValue:StringEquals": {"aws:CalledVia": ["cloudformation.amazonaws.com"]}}
# What S3 says to KMS: the bucket with a bucket key, which ours has, else the object. Sources: S3 user guide, "Using
# server-side encryption with AWS KMS keys", encryption context; KMS developer guide, kms:ViaService.
OF_JOBS_BY_S3 = {
    "StringEquals": {"kms:ViaService": "s3.{region}.{suffix}"},
    "StringLike": {"kms:EncryptionContext:aws:s3:arn": [BUCKET, f"{BUCKET}/pcinfra/*"]},
}
OURS = {"StringEquals": {"aws:ResourceTag/pcinfra:project": "{project}"}}

# Source: aws-parallelcluster, cloudformation/policies/parallelcluster-policies.yaml, the policies of its users.
# What they leave open for clusters as ours are: the policies of the nodes' roles, and the bucket's name. The policy of
# the project's own is in the path that they allow; AWS's two are for stacks without it.
NODE_POLICY = f"arn:{{partition}}:iam::{{account}}:policy{NODE_POLICY_PATH}*"
NODE_POLICIES = ("AmazonSSMManagedInstanceCore", "AmazonEC2ContainerRegistryPullOnly")
SESSION = "arn:{{partition}}:ssm:{{region}}:{{account}}:session/${{{{aws:{}}}}}-*"
PORTS = ("PortForwardingSession", "PortForwardingSessionToRemoteHost", "SSHSession")
UNPUBLISHED = "pcluster's published policies do not know it"

ON_CHANGE = "when pcinfra.yaml changes, or a stack is mended"
ON_SWEEP = "when a teardown was cut short, on request"
ON_CODEBUILD = "where CodeBuild builds the image"
ON_PUSH = "docker and podman push with it"


def fsx(*resources: str) -> tuple[str, ...]:
    return tuple(FSX.format(resource) for resource in resources)


def of(*purposes: str) -> frozenset[str]:
    return frozenset(purposes)


STATEMENTS: tuple[Statement, ...] = (
    # Data
    Statement(
        "Objects", of("data"),
        (
            *called("s3", "GetObject", "PutObject", "DeleteObject", why="pcinfra data moves files"),
            *beyond("parts of large files", "s3:ListMultipartUploadParts"),
        ),
        (OBJECTS,),
    ),
    Statement(
        "Uploads", of("data"),
        beyond("transfers that were cut short", "s3:ListBucketMultipartUploads"), (BUCKET,),
    ),
    Statement(
        "CancelTasks", of("data"),
        called("fsx", "CancelDataRepositoryTask", why="Ctrl-C in pcinfra data export"), fsx("task/*"),
    ),
    Statement(
        "Lag", of("data"), called("cloudwatch", "GetMetricStatistics", "ListMetrics", why="pcinfra data status")
    ),
    # Clusters and jobs
    Statement("FindNodes", of("up", "cluster", "jobs", "down"), called("ec2", "DescribeInstances")),
    Statement(
        "ReadFleet", of("up", "cluster"), called("dynamodb", "GetItem", why="pcinfra cluster list and show"),
        ("arn:{partition}:dynamodb:{region}:{account}:table/parallelcluster-*",),
    ),
    Statement(
        "ReadClusterLogs", of("cluster"),
        called("cloudwatch-logs", "DescribeLogStreams", "GetLogEvents", why="pcinfra cluster logs and create"),
        (LOGS.format("/aws/parallelcluster/*"),),
    ),
    Statement(
        "ReadClusterConfig", of("up", "cluster"),
        (
            Grant("s3:GetObject", ("s3.GetObject",), "when the cluster exists already"),
            *beyond("the bucket is versioned, and a stack names a version", "s3:GetObjectVersion"),
        ),
        ("arn:{partition}:s3:::{bucket}/parallelcluster/*",),
    ),
    Statement(
        "ClusterRoles", of("cluster", "down"),
        beyond(f"nodes have the project's own policy, or AWS's with a stack made by hand; {UNPUBLISHED}",
               "iam:AttachRolePolicy", "iam:DetachRolePolicy"),
        ("arn:{partition}:iam::{account}:role/parallelcluster/*",),
        {"ArnLike": {"iam:PolicyARN": [
            NODE_POLICY, *(f"arn:{{partition}}:iam::aws:policy/{name}" for name in NODE_POLICIES),
        ]}},
    ),
    Statement(
        "ClusterBucket", of("cluster", "down"),
        beyond(f"pcluster keeps its files in the project's bucket; {UNPUBLISHED} unless its name begins so",
               "s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:GetBucketVersioning"),
        (BUCKET,),
    ),
    Statement(
        "ClusterFiles", of("cluster", "down"),
        beyond(f"pcluster keeps its files in the project's bucket; {UNPUBLISHED} unless its name begins so",
               "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"),
        ("arn:{partition}:s3:::{bucket}/parallelcluster/*",),
    ),
    Statement(
        "CheckScripts", of("cluster"),
        (Grant("s3:GetObject", ("s3.HeadObject",), "whether a script of the nodes is there"),), (OBJECTS,),
    ),
    Statement(
        "CheckSecret", of("cluster"),
        called("secrets-manager", "DescribeSecret", why="the password of a cluster's accounting database"),
        ("arn:{partition}:secretsmanager:{region}:{account}:secret:*",),
    ),
    Statement(
        "FindKubernetes", of("jobs"), called("eks", "DescribeCluster", why="jobs on EKS"),
        ("arn:{partition}:eks:{region}:{account}:cluster/*",),
    ),
    Statement(
        "Payloads", of("jobs"),
        called("s3", "PutObject", "GetObject", "DeleteObject", why="a job with more than SSM carries"),
        ("arn:{partition}:s3:::{bucket}/pcinfra/payloads/*",),
    ),
    Statement(
        "LargeCode", of("jobs"),
        (
            Grant("s3:PutObject", ("s3.PutObject", "s3.CopyObject"), "code on Kubernetes that no ConfigMap holds"),
            Grant("s3:GetObject", ("s3.CopyObject",), "pcinfra rerun of such a run"),
            Grant("s3:DeleteObject", ("s3.DeleteObject",), "its end"),
        ),
        ("arn:{partition}:s3:::{bucket}/pcinfra/code/*",),
    ),
    Statement(
        "FindLargeCode", of("jobs"),
        (Grant("s3:ListBucket", ("s3.ListObjectsV2",), "pcinfra k8s sweep looks for code without a run"),), (BUCKET,),
        {"StringLike": {"s3:prefix": "pcinfra/code/*"}},
    ),
    Statement(
        "KeyOfJobs", of("jobs"),
        beyond("what jobs put into the bucket is encrypted with the project's kms_key", "kms:Decrypt",
               "kms:GenerateDataKey"),
        ("{key}",), OF_JOBS_BY_S3,
    ),
    Statement(
        "EndsOfCapacity", of("jobs"),
        called("ec2", "DescribeCapacityReservations", why="when a queue names a reservation"),
    ),
    Statement(
        "FindImages", of("jobs"),
        called("ecr", "DescribeImages", "DescribeRepositories", why="a job in one of the project's images"),
        (REPOSITORY,),
    ),
    Statement(
        "RunOnHeadNodes", of("cluster", "jobs", "down"), called("ssm", "SendCommand"),
        ("arn:{partition}:ec2:{region}:{account}:instance/*",), OURS,
    ),
    Statement(
        "RunShellScripts", of("cluster", "jobs", "down"), called("ssm", "SendCommand"),
        ("arn:{partition}:ssm:{region}::document/AWS-RunShellScript",),
    ),
    Statement("ReadAnswers", of("cluster", "jobs", "down"), called("ssm", "GetCommandInvocation")),
    Statement(
        "OpenSessions", of("cluster", "jobs"), called("ssm", "StartSession", why="cluster connect, shell"),
        ("arn:{partition}:ec2:{region}:{account}:instance/*",), OURS,
    ),
    Statement(
        "ShellSessions", of("cluster", "jobs"), called("ssm", "StartSession", why="a shell"),
        ("arn:{partition}:ssm:{region}::document/AWS-StartInteractiveCommand",),
    ),
    Statement(
        "PortSessions", of("cluster"), called("ssm", "StartSession", why="a port, ssh"),
        tuple(f"arn:{{partition}}:ssm:{{region}}::document/AWS-Start{kind}" for kind in PORTS),
    ),
    Statement(
        "OwnSessions", of("cluster", "jobs"),
        (
            *called("ssm", "TerminateSession", "ResumeSession", why="one's own"),
            # Systems Manager user guide, "Sample IAM policies for Session Manager": the WebSocket is signed.
            *beyond("the stream of a session", "ssmmessages:OpenDataChannel"),
        ),
        tuple(SESSION.format(who) for who in ("username", "userid")),
    ),
    Statement(
        "ReadReservations", of("cluster"),
        (
            *called("ec2", "DescribeCapacityReservations", why="when a queue names a reservation"),
            *called("ec2", "DescribeSubnets", why="the zone of a queue that names a reservation"),
            *called("ec2", "DescribeInstanceTypeOfferings", why="cluster validate"),
            Grant("secretsmanager:DescribeSecret", ("secrets-manager.DescribeSecret",), "with accounting"),
        ),
    ),
    Statement(
        "ReadScripts", of("cluster"),
        (Grant("s3:GetObject", ("s3.HeadObject",), "cluster validate: are the nodes' scripts there"),),
        ("arn:{partition}:s3:::{bucket}/scripts/*",),
    ),
    # Teardown
    Statement(
        "Sweep", of("down"),
        (
            *called("ec2", "DescribeVpcs", "DescribeNatGateways", "DescribeAddresses", "DescribeNetworkInterfaces",
                    "DescribeVolumes"),
            *called("ec2", "DescribeLaunchTemplates", why="what pcluster made"),
            *called("fsx", "DescribeFileSystems", "DescribeBackups"),
            *called("rds", "DescribeDBClusterSnapshots"),
            *called("cloudwatch-logs", "DescribeLogGroups"),
            *called("cloudwatch-logs", "ListTagsForResource", why="for log groups that are found"),
            *called("secrets-manager", "ListSecrets", why="what pcluster made"),
        ),
    ),
    Statement(
        "RemoveWhatIsLeft", of("down"),
        (
            *called("ec2", "TerminateInstances", "DeleteVpc", "DeleteNatGateway", "ReleaseAddress", "DeleteVolume",
                    "DeleteNetworkInterface", "DeleteLaunchTemplate", why=ON_SWEEP),
            *called("fsx", "DeleteFileSystem", why=ON_SWEEP),
        ),
        condition=OURS,
    ),
    Statement(
        "RemoveLogs", of("down"), called("cloudwatch-logs", "DeleteLogGroup", why=ON_SWEEP),
        (LOGS.format("/aws/parallelcluster/*"), LOGS.format("/aws/lambda/pcluster-*")),
    ),
    Statement(
        "DeleteBackups", of("down"),
        called("fsx", "DeleteBackup", why="backups of a file system that is gone"), fsx("backup/*"),
    ),
    # Looking before anything is made
    Statement(
        "Doctor", of("doctor"),
        (
            *called("ec2", "DescribeRegions", "DescribeInstanceTypeOfferings", "DescribeInstanceTypes",
                    "DescribeInstances", "DescribeAddresses", "DescribeVpcs"),
            *called("ec2", "DescribeCapacityReservations", why="when a queue names a reservation"),
            *called("fsx", "DescribeFileSystems", why="after the quotas"),
            *called("service-quotas", "GetServiceQuota", "ListServiceQuotas"),
            *called("service-quotas", "GetAWSDefaultServiceQuota",
                    why="where an account has no quota of its own"),
        ),
    ),
    Statement(
        "DoctorBucket", of("doctor"),
        (
            Grant("s3:ListBucket", ("s3.HeadBucket",)),
            Grant("s3:GetBucketTagging", ("s3.GetBucketTagging",), "when the bucket exists"),
        ),
        (BUCKET,),
    ),
    Statement(
        "DoctorRepository", of("doctor"),
        (
            *called("ecr", "DescribeRepositories"),
            *called("ecr", "ListTagsForResource", "DescribeImages", why="when the repository exists"),
        ),
        (REPOSITORY,),
    ),
    Statement("Prices", of("cost"), called("pricing", "GetProducts", why="pcinfra cost")),
)  # fmt: skip
