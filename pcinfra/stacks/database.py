"""The accounting database of the prerequisites stack: Aurora MySQL Serverless v2 for slurmdbd, where it is wanted.

Source of its settings: ParallelCluster, "Slurm accounting with AWS ParallelCluster" (a server that asks for TLS, a
secret that is the password and nothing else, a security group that the head node is in); Slurm, "Accounting and
Resource Limits" (innodb_lock_wait_timeout).
"""

from __future__ import annotations

from typing import Any

from troposphere import (
    And,
    AWSObject,
    Condition,
    Equals,
    GetAtt,
    If,
    NoValue,
    Ref,
    Sub,
    Template,
    rds,
    secretsmanager,
)
from troposphere.ec2 import SecurityGroup

from pcinfra.stacks.network import named

WANTED = "WithDatabase"
USER = "slurm"
PORT = 3306
ENGINE = "aurora-mysql"


def add_database(template: Template) -> None:
    """Add the server, its password and both security groups, made where ``AccountingDatabase`` is true.

    It stands in both private subnets: a subnet group has two zones at least (RDS API reference, CreateDBSubnetGroup).
    Deleting the server, or the stack, makes a last snapshot of it, which stays.
    """
    asked = Equals(Ref("AccountingDatabase"), "true")
    template.add_condition(WANTED, And(asked, Condition("WithSecondZone")))
    for resource in (*_groups(), *_place(), *_password(), *_server()):
        resource.Condition = WANTED
        template.add_resource(resource)


OUTPUTS: dict[str, tuple[str, Any]] = {
    "DatabaseUri": (
        "Host and port of the accounting database",
        Sub("${DatabaseCluster.Endpoint.Address}:${DatabaseCluster.Endpoint.Port}"),
    ),
    "DatabaseUser": ("User of the accounting database", USER),
    "DatabaseSecret": ("Secret with the user's password", Ref("DatabasePassword")),
    "DatabaseServerGroup": ("Security group of the accounting database", Ref("DatabaseGroup")),
    "DatabaseClientGroup": ("Security group of who reaches the accounting database", Ref("DatabaseClients")),
}


def _groups() -> list[AWSObject]:
    """Who is in the first group reaches the server, and nobody else; the server reaches nobody.

    The rule to 255.255.255.255/32 stands for none: a group without rules outwards may send everything everywhere
    (AWS::EC2::SecurityGroup, SecurityGroupEgress).
    """
    clients: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT}
    return [
        SecurityGroup(
            "DatabaseClients",
            GroupDescription="Head nodes, which reach the accounting database",
            VpcId=Ref("VPC"),
            Tags=named("accounting clients"),
        ),
        SecurityGroup(
            "DatabaseGroup",
            GroupDescription="The accounting database",
            VpcId=Ref("VPC"),
            SecurityGroupIngress=[
                {**clients, "SourceSecurityGroupId": Ref("DatabaseClients"), "Description": "slurmdbd on head nodes"}
            ],
            SecurityGroupEgress=[
                {"IpProtocol": "icmp", "FromPort": 252, "ToPort": 86, "CidrIp": "255.255.255.255/32",
                 "Description": "Nothing"}
            ],
            Tags=named("accounting database"),
        ),
    ]  # fmt: skip


def _place() -> list[AWSObject]:
    return [
        rds.DBSubnetGroup(
            "DatabaseSubnets",
            DBSubnetGroupDescription="Private subnets of the accounting database",
            SubnetIds=[Ref("PrimaryPrivateSubnet"), Ref("SecondaryPrivateSubnet")],
            Tags=named("accounting database"),
        ),
        rds.DBClusterParameterGroup(
            "DatabaseParameters",
            Description="TLS only, and the lock timeout that slurmdbd asks for",
            Family="aurora-mysql8.0",
            Parameters={"require_secure_transport": "ON", "innodb_lock_wait_timeout": "900"},
            Tags=named("accounting database"),
        ),
    ]


def _password() -> list[AWSObject]:
    """The whole secret is the password: ParallelCluster reads it as plain text, and RDS's own secrets are JSON."""
    generated = secretsmanager.GenerateSecretString(PasswordLength=32, ExcludePunctuation=True)
    return [
        secretsmanager.Secret(
            "DatabasePassword",
            Metadata=_unchecked("CKV_AWS_149", "a key of one's own would have to be opened to each head node's role"),
            Description="Password of slurmdbd's user of the accounting database",
            GenerateSecretString=generated,
            Tags=named("accounting database"),
        )
    ]


def _server() -> list[AWSObject]:
    """EngineVersion 8.0 is whatever release of Aurora MySQL 3 is the default one, and so never too old.

    Source: RDS API reference, CreateDBCluster, EngineVersion. cfn-lint knows full versions only.
    """
    scaling = {"MinCapacity": Ref("DatabaseMinCapacity"), "MaxCapacity": Ref("DatabaseMaxCapacity")}
    return [
        rds.DBCluster(
            "DatabaseCluster",
            DeletionPolicy="Snapshot",
            UpdateReplacePolicy="Snapshot",
            Metadata={
                "cfn-lint": {"config": {"ignore_checks": ["W3690"]}},
                **_unchecked("CKV_AWS_162", "slurmdbd logs in by password only"),
            },
            Engine=ENGINE,
            EngineVersion="8.0",
            MasterUsername=USER,
            MasterUserPassword=Sub("{{resolve:secretsmanager:${DatabasePassword}}}"),
            ServerlessV2ScalingConfiguration=rds.ServerlessV2ScalingConfiguration(**scaling),
            StorageEncrypted=True,
            KmsKeyId=If("WithKmsKey", Ref("KmsKeyArn"), NoValue),
            BackupRetentionPeriod=Ref("DatabaseBackupDays"),
            CopyTagsToSnapshot=True,
            DBSubnetGroupName=Ref("DatabaseSubnets"),
            DBClusterParameterGroupName=Ref("DatabaseParameters"),
            VpcSecurityGroupIds=[GetAtt("DatabaseGroup", "GroupId")],
            Tags=named("accounting database"),
        ),
        rds.DBInstance(
            "DatabaseInstance",
            DeletionPolicy="Delete",
            UpdateReplacePolicy="Delete",
            Engine=ENGINE,
            Metadata=_unchecked("CKV_AWS_118", "it would need a role; CloudWatch has the server's own metrics"),
            DBClusterIdentifier=Ref("DatabaseCluster"),
            DBInstanceClass="db.serverless",
            PubliclyAccessible=False,
            Tags=named("accounting database"),
        ),
    ]


def _unchecked(check: str, comment: str) -> dict[str, Any]:
    """Return the Metadata by which checkov leaves out ``check``."""
    return {"checkov": {"skip": [{"id": check, "comment": comment}]}}
