"""The table of what `up`, `status` and `down` need: stack, bucket, images and associations. See ``grants``."""

from __future__ import annotations

from pcinfra.iam_policy.grants import (
    BUCKET,
    BUILD_ROLE,
    BY_CLOUDFORMATION,
    LOGS,
    NODE_POLICY,
    OBJECTS,
    ON_CHANGE,
    ON_CODEBUILD,
    ON_PUSH,
    OURS,
    REPOSITORY,
    ROLES,
    SECURITY,
    STACK,
    STACKS,
    fsx,
    of,
)
from pcinfra.iam_policy.model import Grant, Statement, beyond, called
from pcinfra.iam_policy.stack import all_actions

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
        "ReadStacks",
        of("up", "cluster", "data", "down"),
        (
            *called("cloudformation", "DescribeStacks"),
            *called(
                "cloudformation",
                "DescribeStackEvents",
                "DescribeStackResources",
                "ListStackResources",
                why="while something is made, changed or deleted",
            ),
        ),
        (STACKS,),
    ),
    Statement(
        "ChangeStack",
        of("up"),
        (
            *called("cloudformation", "CreateStack"),
            *beyond("CreateStack with tags", "cloudformation:TagResource"),
            *called(
                "cloudformation",
                "UpdateStack",
                "CreateChangeSet",
                "DescribeChangeSet",
                "ExecuteChangeSet",
                "DeleteChangeSet",
                "ContinueUpdateRollback",
                why=ON_CHANGE,
            ),
        ),
        (STACK,),
    ),
    Statement("DeleteStack", of("up", "down"), called("cloudformation", "DeleteStack", why=ON_CHANGE), (STACK,)),
    Statement(
        "StackNetwork",
        of("up", "down"),
        beyond("CloudFormation makes and deletes the stack with your rights", *_OTHER_ACTIONS, _DESCRIBE),
        condition=BY_CLOUDFORMATION,
    ),
    Statement(
        "StackFileSystems",
        of("up", "down"),
        (
            *beyond("CloudFormation makes and deletes the stack's file systems with your rights", *_FSX_ACTIONS),
            *beyond("the final backup of FSx for OpenZFS", "fsx:CreateBackup"),
        ),
        fsx("file-system/*", "volume/*", "backup/*"),
        BY_CLOUDFORMATION,
    ),
    Statement(
        "StackNodePolicy",
        of("up", "down"),
        beyond("CloudFormation makes and deletes the policy of the nodes with your rights", *_IAM_ACTIONS),
        (NODE_POLICY,),
        BY_CLOUDFORMATION,
    ),
    Statement(
        "MendNodePolicy",
        of("up"),
        (
            *called("iam", "GetPolicy", "GetPolicyVersion", why="status, and up --only prerequisites"),
            *called(
                "iam",
                "ListPolicyVersions",
                "CreatePolicyVersion",
                "DeletePolicyVersion",
                why="the policy of the nodes was changed by hand",
            ),
        ),
        (NODE_POLICY,),
    ),
    Statement(
        "StackDatabase",
        of("up", "down"),
        beyond(
            "CloudFormation makes and deletes the accounting database with your rights",
            *_DATABASE_ACTIONS,
            "secretsmanager:GetRandomPassword",
        ),
        condition=BY_CLOUDFORMATION,
    ),
    Statement(
        "StackPassword",
        of("up", "down"),
        beyond(
            "CloudFormation makes, reads and deletes the password of the accounting database with your rights",
            *(action for action in _SECRET_ACTIONS if action != "secretsmanager:GetRandomPassword"),
        ),
        ("arn:{partition}:secretsmanager:{region}:{account}:secret:DatabasePassword-*",),
        BY_CLOUDFORMATION,
    ),
    Statement(
        "RoleOfRds",
        of("up"),
        beyond(
            "RDS makes its service-linked role on first use (RDS user guide, Using service-linked roles)",
            "iam:CreateServiceLinkedRole",
        ),
        (ROLES.format("rds.amazonaws.com"),),
    ),
    Statement(
        "RolesOfFsx",
        of("up"),
        beyond(
            "FSx makes its service-linked roles on first use (FSx user guide, Using service-linked roles)",
            "iam:CreateServiceLinkedRole",
            "iam:AttachRolePolicy",
            "iam:PutRolePolicy",
        ),
        (ROLES.format("fsx.amazonaws.com"), ROLES.format("s3.data-source.lustre.fsx.amazonaws.com")),
    ),
    Statement(
        "ChooseZone",
        of("up"),
        (
            *called("ec2", "DescribeInstanceTypeOfferings"),
            *called(
                "ec2",
                "DescribeAvailabilityZones",
                "DescribeCapacityReservations",
                why="for projects without clusters, or with a reservation",
            ),
            *called("fsx", "DescribeFileSystems", why="a file system that was deleted by hand is made anew"),
        ),
    ),
    Statement(
        "Adopt",
        of("up"),
        (
            *called(
                "ec2",
                "DescribeVpcs",
                "DescribeSubnets",
                "DescribeRouteTables",
                "DescribeSecurityGroups",
                "DescribeVpcAttribute",
                why="when what exists already is adopted",
            ),
            *called("fsx", "DescribeVolumes", why="when what exists already is adopted"),
        ),
    ),
    Statement("ReadRules", of("up", "cluster", "data", "down"), called("ec2", "DescribeSecurityGroupRules")),
    Statement(
        "MendGroup",
        of("up"),
        called(
            "ec2",
            "AuthorizeSecurityGroupIngress",
            "AuthorizeSecurityGroupEgress",
            "RevokeSecurityGroupIngress",
            "RevokeSecurityGroupEgress",
            why="rules that were changed by hand are mended",
        ),
        (SECURITY.format("security-group"),),
        OURS,
    ),
    Statement(
        "MendRules",
        of("up"),
        beyond(
            "rules carry no tags of the project",
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:RevokeSecurityGroupIngress",
            "ec2:RevokeSecurityGroupEgress",
        ),
        (SECURITY.format("security-group-rule"),),
    ),
    Statement(
        "Key",
        of("up", "cluster", "data"),
        beyond(
            "what the project makes is encrypted with its kms_key (user guides of FSx, RDS, ECR and S3)",
            "kms:CreateGrant",
            "kms:DescribeKey",
            "kms:Decrypt",
            "kms:GenerateDataKey",
            "kms:RetireGrant",
        ),
        ("{key}",),
    ),
    # The bucket
    Statement(
        "ReadBucket",
        of("up", "data", "down"),
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
        "ChangeBucket",
        of("up"),
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
    Statement("PutScripts", of("up"), called("s3", "PutObject"), (OBJECTS,)),
    Statement(
        "LinkBucket",
        of("up"),
        beyond(
            "FSx looks at the bucket with your rights when it is linked (pcluster's FSx policy asks the same)",
            "s3:Get*",
            "s3:List*",
            "s3:PutObject",
        ),
        (BUCKET, OBJECTS),
    ),
    Statement(
        "DeleteBucket",
        of("down"),
        (
            Grant("s3:DeleteBucket", ("s3.DeleteBucket",)),
            Grant("s3:ListBucketVersions", ("s3.ListObjectVersions",)),
        ),
        (BUCKET,),
    ),
    Statement(
        "DeleteObjects",
        of("down"),
        (
            Grant("s3:DeleteObject", ("s3.DeleteObjects",)),
            Grant("s3:DeleteObjectVersion", ("s3.DeleteObjects",)),
        ),
        (OBJECTS,),
    ),
    # The image
    Statement("LogInToRegistry", of("up"), called("ecr", "GetAuthorizationToken", why=ON_PUSH)),
    Statement(
        "ReadRepository",
        of("up", "down"),
        called("ecr", "DescribeRepositories", "ListTagsForResource", "DescribeImages", "GetLifecyclePolicy"),
        (REPOSITORY,),
    ),
    Statement(
        "ChangeRepository",
        of("up"),
        (
            *called("ecr", "CreateRepository", "PutLifecyclePolicy"),
            Grant("ecr:PutImage", ("ecr.PutImage",), ON_PUSH),
            *called("ecr", "TagResource", "PutImageScanningConfiguration", "PutImageTagMutability", why=ON_CHANGE),
            *called("ecr", "BatchGetImage", why="to push, and to move a tag to another image"),
            *beyond(
                ON_PUSH,
                "ecr:BatchCheckLayerAvailability",
                "ecr:InitiateLayerUpload",
                "ecr:UploadLayerPart",
                "ecr:CompleteLayerUpload",
            ),
        ),
        (REPOSITORY,),
    ),
    Statement(
        "BuildInAccount",
        of("up", "down"),
        called(
            "codebuild",
            "BatchGetProjects",
            "BatchGetBuilds",
            "CreateProject",
            "UpdateProject",
            "StartBuild",
            "DeleteProject",
            why=ON_CODEBUILD,
        ),
        ("arn:{partition}:codebuild:{region}:{account}:project/pcinfra-{project}-image",),
    ),
    Statement(
        "RoleOfBuilds",
        of("up", "down"),
        (
            *called(
                "iam", "GetRole", "CreateRole", "PutRolePolicy", "DeleteRolePolicy", "DeleteRole", why=ON_CODEBUILD
            ),
            *beyond(ON_CODEBUILD, "iam:TagRole"),
        ),
        (BUILD_ROLE,),
    ),
    Statement(
        "GiveRoleToBuilds",
        of("up"),
        beyond(ON_CODEBUILD, "iam:PassRole"),
        (BUILD_ROLE,),
        {"StringEquals": {"iam:PassedToService": "codebuild.amazonaws.com"}},
    ),
    Statement(
        "LogsOfBuilds",
        of("up", "down"),
        (
            *called(
                "cloudwatch-logs",
                "CreateLogGroup",
                "PutRetentionPolicy",
                "GetLogEvents",
                "DeleteLogGroup",
                why=ON_CODEBUILD,
            ),
            *beyond("the log group carries the project's tags", "logs:TagResource"),
        ),
        (LOGS.format("/aws/codebuild/pcinfra-{project}-image*"),),
    ),
    Statement("UnmarkRepository", of("down"), called("ecr", "UntagResource", why=ON_CODEBUILD), (REPOSITORY,)),
    Statement(
        "ScanImages",
        of("up"),
        called("ecr", "StartImageScan", "DescribeImageScanFindings", why="pcinfra image scan"),
        (REPOSITORY,),
    ),
    Statement("ReadRepositoryPolicy", of("up"), called("ecr", "GetRepositoryPolicy"), (REPOSITORY,)),
    Statement("DeleteRepository", of("down"), called("ecr", "DeleteRepository"), (REPOSITORY,)),
    # Associations and tasks of FSx for Lustre
    Statement("ReadAssociations", of("up", "data", "down"), called("fsx", "DescribeDataRepositoryAssociations")),
    Statement(
        "ChangeAssociations",
        of("up", "down"),
        called("fsx", "UpdateDataRepositoryAssociation", why=ON_CHANGE),
        fsx("association/*", "file-system/*"),
    ),
    Statement(
        "MakeAssociations",
        of("up"),
        (
            *called("fsx", "CreateDataRepositoryAssociation"),
            *beyond("associations carry the project's tags", "fsx:TagResource"),
            *called("fsx", "DeleteDataRepositoryAssociation", why="a failed one is made anew"),
        ),
        fsx("association/*", "file-system/*"),
    ),
    Statement(
        "DeleteAssociations",
        of("down"),
        called("fsx", "DeleteDataRepositoryAssociation"),
        fsx("association/*", "file-system/*"),
    ),
    Statement("ReadTasks", of("down", "data"), called("fsx", "DescribeDataRepositoryTasks")),
    Statement(
        "Tasks",
        of("down", "data"),
        (
            *called("fsx", "CreateDataRepositoryTask"),
            *beyond("tasks carry the project's tags", "fsx:TagResource"),
        ),
        fsx("file-system/*", "task/*"),
    ),
)
