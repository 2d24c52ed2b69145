"""The table: every API call that pcinfra makes, the IAM action behind it, and the resources that it is for.

Source of actions that are not named like their operation, and of the resources and conditions that an action takes:
Service Authorization Reference, and the S3 API reference's "Permissions" of each operation.
"""

from __future__ import annotations

from pcinfra.iam_policy.model import Grant, Statement, beyond, called
from pcinfra.iam_policy.stack import all_actions
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
OURS = {"StringEquals": {"aws:ResourceTag/pcinfra:project": "{project}"}}

# Source: aws-parallelcluster, cloudformation/policies/parallelcluster-policies.yaml, the policies of its users.
# What they leave open for clusters as ours are: the policies of the nodes' roles, and the bucket's name. The policy of
# the project's own is in the path that they allow; AWS's two are for stacks without it.
NODE_POLICY = f"arn:{{partition}}:iam::{{account}}:policy{NODE_POLICY_PATH}*"
NODE_POLICIES = ("AmazonSSMManagedInstanceCore", "AmazonEC2ContainerRegistryPullOnly")
SESSION = "arn:{{partition}}:ssm:{{region}}:{{account}}:session/${{{{aws:{}}}}}-*"
SESSIONS = ("InteractiveCommand", "PortForwardingSession", "PortForwardingSessionToRemoteHost", "SSHSession")
UNPUBLISHED = "pcluster's published policies do not know it"

ON_CHANGE = "when pcinfra.yaml changes, or a stack is mended"
ON_SWEEP = "when a teardown was cut short, on request"
ON_CODEBUILD = "where CodeBuild builds the image"
ON_PUSH = "docker and podman push with it"


def _fsx(*resources: str) -> tuple[str, ...]:
    return tuple(FSX.format(resource) for resource in resources)


def _of(*purposes: str) -> frozenset[str]:
    return frozenset(purposes)


# Describing takes no resource in FSx: Service Authorization Reference, Amazon FSx.
_DESCRIBE = "fsx:DescribeFileSystems"
_FSX_ACTIONS = tuple(action for action in all_actions() if action.startswith("fsx:") and action != _DESCRIBE)
_IAM_ACTIONS = tuple(action for action in all_actions() if action.startswith("iam:"))
_SECRET_ACTIONS = tuple(action for action in all_actions() if action.startswith("secretsmanager:"))
_DATABASE_ACTIONS = tuple(action for action in all_actions() if action.startswith("rds:"))
_OTHER_ACTIONS = tuple(action for action in all_actions() if action.startswith(("ec2:", "logs:")))

STATEMENTS: tuple[Statement, ...] = (
    # The prerequisites stack
    Statement(
        "ReadStacks", _of("up", "cluster", "data", "down"),
        (
            *called("cloudformation", "DescribeStacks"),
            *called("cloudformation", "DescribeStackEvents", "DescribeStackResources", "ListStackResources",
                    why="while something is made, changed or deleted"),
        ),
        (STACKS,),
    ),
    Statement(
        "ChangeStack", _of("up"),
        (
            *called("cloudformation", "CreateStack"),
            *beyond("CreateStack with tags", "cloudformation:TagResource"),
            *called("cloudformation", "UpdateStack", "CreateChangeSet", "DescribeChangeSet", "ExecuteChangeSet",
                    "DeleteChangeSet", "ContinueUpdateRollback", why=ON_CHANGE),
        ),
        (STACK,),
    ),
    Statement("DeleteStack", _of("up", "down"), called("cloudformation", "DeleteStack", why=ON_CHANGE), (STACK,)),
    Statement(
        "StackNetwork", _of("up", "down"),
        beyond("CloudFormation makes and deletes the stack with your rights", *_OTHER_ACTIONS, _DESCRIBE),
        condition=BY_CLOUDFORMATION,
    ),
    Statement(
        "StackFileSystems", _of("up", "down"),
        (
            *beyond("CloudFormation makes and deletes the stack's file systems with your rights", *_FSX_ACTIONS),
            *beyond("the final backup of FSx for OpenZFS", "fsx:CreateBackup"),
        ),
        _fsx("file-system/*", "volume/*", "backup/*"), BY_CLOUDFORMATION,
    ),
    Statement(
        "StackNodePolicy", _of("up", "down"),
        beyond("CloudFormation makes and deletes the policy of the nodes with your rights", *_IAM_ACTIONS),
        (NODE_POLICY,), BY_CLOUDFORMATION,
    ),
    Statement(
        "MendNodePolicy", _of("up"),
        (
            *called("iam", "GetPolicy", "GetPolicyVersion", why="status, and up --only prerequisites"),
            *called("iam", "ListPolicyVersions", "CreatePolicyVersion", "DeletePolicyVersion",
                    why="the policy of the nodes was changed by hand"),
        ),
        (NODE_POLICY,),
    ),
    Statement(
        "StackDatabase", _of("up", "down"),
        beyond("CloudFormation makes and deletes the accounting database with your rights", *_DATABASE_ACTIONS,
               "secretsmanager:GetRandomPassword"),
        condition=BY_CLOUDFORMATION,
    ),
    Statement(
        "StackPassword", _of("up", "down"),
        beyond("CloudFormation makes, reads and deletes the password of the accounting database with your rights",
               *(action for action in _SECRET_ACTIONS if action != "secretsmanager:GetRandomPassword")),
        ("arn:{partition}:secretsmanager:{region}:{account}:secret:DatabasePassword-*",), BY_CLOUDFORMATION,
    ),
    Statement(
        "RoleOfRds", _of("up"),
        beyond("RDS makes its service-linked role on first use (RDS user guide, Using service-linked roles)",
               "iam:CreateServiceLinkedRole"),
        (ROLES.format("rds.amazonaws.com"),),
    ),
    Statement(
        "RolesOfFsx", _of("up"),
        beyond("FSx makes its service-linked roles on first use (FSx user guide, Using service-linked roles)",
               "iam:CreateServiceLinkedRole", "iam:AttachRolePolicy", "iam:PutRolePolicy"),
        (ROLES.format("fsx.amazonaws.com"), ROLES.format("s3.data-source.lustre.fsx.amazonaws.com")),
    ),
    Statement(
        "ChooseZone", _of("up"),
        (
            *called("ec2", "DescribeInstanceTypeOfferings"),
            *called("ec2", "DescribeAvailabilityZones", "DescribeCapacityReservations",
                    why="for projects without clusters, or with a reservation"),
            *called("fsx", "DescribeFileSystems", why="a file system that was deleted by hand is made anew"),
        ),
    ),
    Statement(
        "Adopt", _of("up"),
        (
            *called("ec2", "DescribeVpcs", "DescribeSubnets", "DescribeRouteTables", "DescribeSecurityGroups",
                    "DescribeVpcAttribute", why="when what exists already is adopted"),
            *called("fsx", "DescribeVolumes", why="when what exists already is adopted"),
        ),
    ),
    Statement("ReadRules", _of("up", "cluster", "data", "down"), called("ec2", "DescribeSecurityGroupRules")),
    Statement(
        "MendGroup", _of("up"),
        called("ec2", "AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress", "RevokeSecurityGroupIngress",
               "RevokeSecurityGroupEgress", why="rules that were changed by hand are mended"),
        (SECURITY.format("security-group"),), OURS,
    ),
    Statement(
        "MendRules", _of("up"),
        beyond("rules carry no tags of the project", "ec2:AuthorizeSecurityGroupIngress",
               "ec2:AuthorizeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress", "ec2:RevokeSecurityGroupEgress"),
        (SECURITY.format("security-group-rule"),),
    ),
    Statement(
        "Key", _of("up", "cluster", "data"),
        beyond("what the project makes is encrypted with its kms_key (user guides of FSx, RDS, ECR and S3)",
               "kms:CreateGrant", "kms:DescribeKey", "kms:Decrypt", "kms:GenerateDataKey", "kms:RetireGrant"),
        ("{key}",),
    ),
    # The bucket
    Statement(
        "ReadBucket", _of("up", "data", "down"),
        (
            Grant("s3:ListBucket", ("s3.HeadBucket", "s3.ListObjectsV2")),
            Grant("s3:GetBucketPublicAccessBlock", ("s3.GetPublicAccessBlock",)),
            Grant("s3:GetEncryptionConfiguration", ("s3.GetBucketEncryption",)),
            Grant("s3:GetBucketVersioning", ("s3.GetBucketVersioning",)),
            Grant("s3:GetLifecycleConfiguration", ("s3.GetBucketLifecycleConfiguration",)),
            Grant("s3:GetBucketPolicy", ("s3.GetBucketPolicy",)),
            Grant("s3:GetBucketTagging", ("s3.GetBucketTagging",)),
        ),
        (BUCKET,),
    ),
    Statement(
        "ChangeBucket", _of("up"),
        (
            Grant("s3:CreateBucket", ("s3.CreateBucket",)),
            Grant("s3:PutBucketPublicAccessBlock", ("s3.PutPublicAccessBlock",)),
            Grant("s3:PutEncryptionConfiguration", ("s3.PutBucketEncryption",)),
            Grant("s3:PutBucketVersioning", ("s3.PutBucketVersioning",)),
            Grant("s3:PutLifecycleConfiguration", ("s3.PutBucketLifecycleConfiguration",)),
            Grant("s3:PutBucketPolicy", ("s3.PutBucketPolicy",)),
            Grant("s3:PutBucketTagging", ("s3.PutBucketTagging",)),
        ),
        (BUCKET,),
    ),
    Statement("PutScripts", _of("up"), called("s3", "PutObject"), (OBJECTS,)),
    Statement(
        "LinkBucket", _of("up"),
        beyond("FSx looks at the bucket with your rights when it is linked (pcluster's FSx policy asks the same)",
               "s3:Get*", "s3:List*", "s3:PutObject"),
        (BUCKET, OBJECTS),
    ),
    Statement(
        "DeleteBucket", _of("down"),
        (
            Grant("s3:DeleteBucket", ("s3.DeleteBucket",)),
            Grant("s3:ListBucketVersions", ("s3.ListObjectVersions",)),
        ),
        (BUCKET,),
    ),
    Statement(
        "DeleteObjects", _of("down"),
        (
            Grant("s3:DeleteObject", ("s3.DeleteObjects",)),
            Grant("s3:DeleteObjectVersion", ("s3.DeleteObjects",)),
        ),
        (OBJECTS,),
    ),
    # The image
    Statement("LogInToRegistry", _of("up"), called("ecr", "GetAuthorizationToken", why=ON_PUSH)),
    Statement(
        "ReadRepository", _of("up", "down"),
        called("ecr", "DescribeRepositories", "ListTagsForResource", "DescribeImages", "GetLifecyclePolicy"),
        (REPOSITORY,),
    ),
    Statement(
        "ChangeRepository", _of("up"),
        (
            *called("ecr", "CreateRepository", "PutLifecyclePolicy"),
            Grant("ecr:PutImage", ("ecr.PutImage",), ON_PUSH),
            *called("ecr", "TagResource", "PutImageScanningConfiguration", "PutImageTagMutability", why=ON_CHANGE),
            *called("ecr", "BatchGetImage", why="to push, and to move a tag to another image"),
            *beyond(ON_PUSH, "ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart",
                    "ecr:CompleteLayerUpload"),
        ),
        (REPOSITORY,),
    ),
    Statement(
        "BuildInAccount", _of("up", "down"),
        called("codebuild", "BatchGetProjects", "BatchGetBuilds", "CreateProject", "UpdateProject", "StartBuild",
               "DeleteProject", why=ON_CODEBUILD),
        ("arn:{partition}:codebuild:{region}:{account}:project/pcinfra-{project}-image",),
    ),
    Statement(
        "RoleOfBuilds", _of("up", "down"),
        (
            *called("iam", "GetRole", "CreateRole", "PutRolePolicy", "DeleteRolePolicy", "DeleteRole",
                    why=ON_CODEBUILD),
            *beyond(ON_CODEBUILD, "iam:TagRole"),
        ),
        (BUILD_ROLE,),
    ),
    Statement(
        "GiveRoleToBuilds", _of("up"), beyond(ON_CODEBUILD, "iam:PassRole"), (BUILD_ROLE,),
        {"StringEquals": {"iam:PassedToService": "codebuild.amazonaws.com"}},
    ),
    Statement(
        "LogsOfBuilds", _of("up", "down"),
        (
            *called("cloudwatch-logs", "CreateLogGroup", "PutRetentionPolicy", "GetLogEvents", "DeleteLogGroup",
                    why=ON_CODEBUILD),
            *beyond("the log group carries the project's tags", "logs:TagResource"),
        ),
        (LOGS.format("/aws/codebuild/pcinfra-{project}-image*"),),
    ),
    Statement("UnmarkRepository", _of("down"), called("ecr", "UntagResource", why=ON_CODEBUILD), (REPOSITORY,)),
    Statement(
        "ScanImages", _of("up"),
        called("ecr", "StartImageScan", "DescribeImageScanFindings", why="pcinfra image scan"), (REPOSITORY,),
    ),
    Statement("ReadRepositoryPolicy", _of("up"), called("ecr", "GetRepositoryPolicy"), (REPOSITORY,)),
    Statement("DeleteRepository", _of("down"), called("ecr", "DeleteRepository"), (REPOSITORY,)),
    # Associations and tasks of FSx for Lustre
    Statement("ReadAssociations", _of("up", "data", "down"), called("fsx", "DescribeDataRepositoryAssociations")),
    Statement(
        "ChangeAssociations", _of("up", "down"),
        called("fsx", "UpdateDataRepositoryAssociation", why=ON_CHANGE),
        _fsx("association/*", "file-system/*"),
    ),
    Statement(
        "MakeAssociations", _of("up"),
        (
            *called("fsx", "CreateDataRepositoryAssociation"),
            *beyond("associations carry the project's tags", "fsx:TagResource"),
            *called("fsx", "DeleteDataRepositoryAssociation", why="a failed one is made anew"),
        ),
        _fsx("association/*", "file-system/*"),
    ),
    Statement(
        "DeleteAssociations", _of("down"), called("fsx", "DeleteDataRepositoryAssociation"),
        _fsx("association/*", "file-system/*"),
    ),
    Statement("ReadTasks", _of("down", "data"), called("fsx", "DescribeDataRepositoryTasks")),
    Statement(
        "Tasks", _of("down", "data"),
        (
            *called("fsx", "CreateDataRepositoryTask"),
            *beyond("tasks carry the project's tags", "fsx:TagResource"),
        ),
        _fsx("file-system/*", "task/*"),
    ),
    # Data
    Statement(
        "Objects", _of("data"),
        (
            *called("s3", "GetObject", "PutObject", "DeleteObject", why="pcinfra data moves files"),
            *beyond("parts of large files", "s3:ListMultipartUploadParts"),
        ),
        (OBJECTS,),
    ),
    Statement(
        "Uploads", _of("data"),
        beyond("transfers that were cut short", "s3:ListBucketMultipartUploads"), (BUCKET,),
    ),
    Statement(
        "CancelTasks", _of("data"),
        called("fsx", "CancelDataRepositoryTask", why="Ctrl-C in pcinfra data export"), _fsx("task/*"),
    ),
    Statement(
        "Lag", _of("data"), called("cloudwatch", "GetMetricStatistics", "ListMetrics", why="pcinfra data status")
    ),
    # Clusters and jobs
    Statement("FindNodes", _of("up", "cluster", "jobs", "down"), called("ec2", "DescribeInstances")),
    Statement(
        "ReadFleet", _of("cluster"), called("dynamodb", "GetItem", why="pcinfra cluster list and show"),
        ("arn:{partition}:dynamodb:{region}:{account}:table/parallelcluster-*",),
    ),
    Statement(
        "ReadClusterLogs", _of("cluster"),
        called("cloudwatch-logs", "DescribeLogStreams", "GetLogEvents", why="pcinfra cluster logs and create"),
        (LOGS.format("/aws/parallelcluster/*"),),
    ),
    Statement(
        "ReadClusterConfig", _of("up", "cluster"),
        (
            Grant("s3:GetObject", ("s3.GetObject",), "when the cluster exists already"),
            *beyond("the bucket is versioned, and a stack names a version", "s3:GetObjectVersion"),
        ),
        ("arn:{partition}:s3:::{bucket}/parallelcluster/*",),
    ),
    Statement(
        "ClusterRoles", _of("cluster", "down"),
        beyond(f"nodes have the project's own policy, or AWS's with a stack made by hand; {UNPUBLISHED}",
               "iam:AttachRolePolicy", "iam:DetachRolePolicy"),
        ("arn:{partition}:iam::{account}:role/parallelcluster/*",),
        {"ArnLike": {"iam:PolicyARN": [
            NODE_POLICY, *(f"arn:{{partition}}:iam::aws:policy/{name}" for name in NODE_POLICIES),
        ]}},
    ),
    Statement(
        "ClusterBucket", _of("cluster", "down"),
        beyond(f"pcluster keeps its files in the project's bucket; {UNPUBLISHED} unless its name begins so",
               "s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:GetBucketVersioning"),
        (BUCKET,),
    ),
    Statement(
        "ClusterFiles", _of("cluster", "down"),
        beyond(f"pcluster keeps its files in the project's bucket; {UNPUBLISHED} unless its name begins so",
               "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"),
        ("arn:{partition}:s3:::{bucket}/parallelcluster/*",),
    ),
    Statement(
        "CheckScripts", _of("cluster"),
        (Grant("s3:GetObject", ("s3.HeadObject",), "whether a script of the nodes is there"),), (OBJECTS,),
    ),
    Statement(
        "CheckSecret", _of("cluster"),
        called("secrets-manager", "DescribeSecret", why="the password of a cluster's accounting database"),
        ("arn:{partition}:secretsmanager:{region}:{account}:secret:*",),
    ),
    Statement(
        "FindKubernetes", _of("jobs"), called("eks", "DescribeCluster", why="jobs on EKS"),
        ("arn:{partition}:eks:{region}:{account}:cluster/*",),
    ),
    Statement(
        "Payloads", _of("jobs"),
        called("s3", "PutObject", "GetObject", "DeleteObject", why="a job with more than SSM carries"),
        ("arn:{partition}:s3:::{bucket}/pcinfra/payloads/*",),
    ),
    Statement(
        "LargeCode", _of("jobs"),
        (
            Grant("s3:PutObject", ("s3.PutObject", "s3.CopyObject"), "code on Kubernetes that no ConfigMap holds"),
            Grant("s3:GetObject", ("s3.CopyObject",), "pcinfra rerun of such a run"),
            Grant("s3:DeleteObject", ("s3.DeleteObject",), "its end"),
        ),
        ("arn:{partition}:s3:::{bucket}/pcinfra/code/*",),
    ),
    Statement(
        "FindLargeCode", _of("jobs"),
        (Grant("s3:ListBucket", ("s3.ListObjectsV2",), "pcinfra k8s sweep looks for code without a run"),), (BUCKET,),
        {"StringLike": {"s3:prefix": "pcinfra/code/*"}},
    ),
    Statement(
        "EndsOfCapacity", _of("jobs"),
        called("ec2", "DescribeCapacityReservations", why="when a queue names a reservation"),
    ),
    Statement(
        "FindImages", _of("jobs"),
        called("ecr", "DescribeImages", "DescribeRepositories", why="a job in one of the project's images"),
        (REPOSITORY,),
    ),
    Statement(
        "RunOnHeadNodes", _of("cluster", "jobs", "down"), called("ssm", "SendCommand"),
        ("arn:{partition}:ec2:{region}:{account}:instance/*",), OURS,
    ),
    Statement(
        "RunShellScripts", _of("cluster", "jobs", "down"), called("ssm", "SendCommand"),
        ("arn:{partition}:ssm:{region}::document/AWS-RunShellScript",),
    ),
    Statement("ReadAnswers", _of("cluster", "jobs", "down"), called("ssm", "GetCommandInvocation")),
    Statement(
        "OpenSessions", _of("cluster"), beyond("pcinfra cluster connect, by the AWS CLI", "ssm:StartSession"),
        ("arn:{partition}:ec2:{region}:{account}:instance/*",), OURS,
    ),
    Statement(
        "SessionDocuments", _of("cluster"), beyond("a shell, a port, ssh", "ssm:StartSession"),
        tuple(f"arn:{{partition}}:ssm:{{region}}::document/AWS-Start{kind}" for kind in SESSIONS),
    ),
    Statement(
        "EndSessions", _of("cluster"), beyond("one's own", "ssm:TerminateSession", "ssm:ResumeSession"),
        tuple(SESSION.format(who) for who in ("username", "userid")),
    ),
    Statement(
        "ReadReservations", _of("cluster"),
        (
            *called("ec2", "DescribeCapacityReservations", why="when a queue names a reservation"),
            *called("ec2", "DescribeSubnets", why="the zone of a queue that names a reservation"),
            *called("ec2", "DescribeInstanceTypeOfferings", why="cluster validate"),
            Grant("secretsmanager:DescribeSecret", ("secrets-manager.DescribeSecret",), "with accounting"),
        ),
    ),
    Statement(
        "ReadScripts", _of("cluster"),
        (Grant("s3:GetObject", ("s3.HeadObject",), "cluster validate: are the nodes' scripts there"),),
        ("arn:{partition}:s3:::{bucket}/scripts/*",),
    ),
    # Teardown
    Statement(
        "Sweep", _of("down"),
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
        "RemoveWhatIsLeft", _of("down"),
        (
            *called("ec2", "TerminateInstances", "DeleteVpc", "DeleteNatGateway", "ReleaseAddress", "DeleteVolume",
                    "DeleteNetworkInterface", "DeleteLaunchTemplate", why=ON_SWEEP),
            *called("fsx", "DeleteFileSystem", why=ON_SWEEP),
        ),
        condition=OURS,
    ),
    Statement(
        "RemoveLogs", _of("down"), called("cloudwatch-logs", "DeleteLogGroup", why=ON_SWEEP),
        (LOGS.format("/aws/parallelcluster/*"), LOGS.format("/aws/lambda/pcluster-*")),
    ),
    Statement(
        "DeleteBackups", _of("down"),
        called("fsx", "DeleteBackup", why="backups of a file system that is gone"), _fsx("backup/*"),
    ),
    # Looking before anything is made
    Statement(
        "Doctor", _of("doctor"),
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
        "DoctorBucket", _of("doctor"),
        (
            Grant("s3:ListBucket", ("s3.HeadBucket",)),
            Grant("s3:GetBucketTagging", ("s3.GetBucketTagging",), "when the bucket exists"),
        ),
        (BUCKET,),
    ),
    Statement(
        "DoctorRepository", _of("doctor"),
        (
            *called("ecr", "DescribeRepositories"),
            *called("ecr", "ListTagsForResource", "DescribeImages", why="when the repository exists"),
        ),
        (REPOSITORY,),
    ),
    Statement("Prices", _of("cost"), called("pricing", "GetProducts", why="pcinfra cost")),
)  # fmt: skip
