"""An Aurora cluster with a generated password, as a stack makes, changes and deletes it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.local.cfn.harness import Cloud, Json, parameter, resources


def subnet(number: int, zone: str) -> Json:
    properties = {"VpcId": {"Ref": "Vpc"}, "CidrBlock": f"10.0.{number}.0/24", "AvailabilityZone": zone}
    return {"Type": "AWS::EC2::Subnet", "Properties": properties}


def template(zones: tuple[str, str] = ("us-east-1a", "us-east-1b"), **cluster: Any) -> Json:
    generate = {"PasswordLength": 32, "ExcludePunctuation": True}
    settings = {
        "Engine": "aurora-mysql",
        "EngineVersion": "8.0",
        "MasterUsername": "slurm",
        "MasterUserPassword": {"Fn::Sub": "{{resolve:secretsmanager:${Password}}}"},
        "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 4},
        "StorageEncrypted": True,
        "DBSubnetGroupName": {"Ref": "Subnets"},
        "DBClusterParameterGroupName": {"Ref": "Parameters"},
    }
    parameters = {"require_secure_transport": "ON"}
    group = {"DBSubnetGroupDescription": "both", "SubnetIds": [{"Ref": "One"}, {"Ref": "Two"}]}
    database = {"Type": "AWS::RDS::DBCluster", "DeletionPolicy": "Snapshot", "UpdateReplacePolicy": "Snapshot"}
    instance = {"Engine": "aurora-mysql", "DBInstanceClass": "db.serverless", "DBClusterIdentifier": {"Ref": "Cluster"}}
    return resources(
        Vpc={"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        One=subnet(1, zones[0]),
        Two=subnet(2, zones[1]),
        Subnets={"Type": "AWS::RDS::DBSubnetGroup", "Properties": group},
        Parameters={
            "Type": "AWS::RDS::DBClusterParameterGroup",
            "Properties": {"Family": "aurora-mysql8.0", "Description": "TLS", "Parameters": parameters},
        },
        Password={"Type": "AWS::SecretsManager::Secret", "Properties": {"GenerateSecretString": generate}},
        Cluster={**database, "Properties": {**settings, **cluster}},
        Instance={"Type": "AWS::RDS::DBInstance", "Properties": instance},
    ) | {
        "Outputs": {
            "Uri": {"Value": {"Fn::Sub": "${Cluster.Endpoint.Address}:${Cluster.Endpoint.Port}"}},
            "Secret": {"Value": {"Ref": "Password"}},
        }
    }


def snapshots(cloud: Cloud) -> list[str]:
    rows = cloud.client("rds").describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"]
    return [row["DBClusterSnapshotIdentifier"] for row in rows]


def test_a_database_is_made_changed_and_deleted_with_a_last_snapshot(cloud: Cloud) -> None:
    rds, secrets = cloud.client("rds"), cloud.client("secretsmanager")
    stack = cloud.create(template(), Tags=[{"Key": "team", "Value": "training"}])
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures()
    password = secrets.get_secret_value(SecretId=cloud.outputs()["Secret"])["SecretString"]
    assert len(password) == 32
    assert password.isalnum()
    row = rds.describe_db_clusters(DBClusterIdentifier=cloud.physical("Cluster"))["DBClusters"][0]
    assert cloud.outputs()["Uri"] == f"{row['Endpoint']}:3306"
    assert row["StorageEncrypted"] is True
    assert {"Key": "team", "Value": "training"} in row["TagList"]
    assert [member["DBInstanceIdentifier"] for member in row["DBClusterMembers"]] == [cloud.physical("Instance")]
    told = str(cloud.cfn.get_template(StackName="stack")) + str(cloud.events())
    assert password not in told

    larger = {"MinCapacity": 1, "MaxCapacity": 8}
    changed = template(ServerlessV2ScalingConfiguration=larger)
    stack = cloud.update(changed, Tags=[{"Key": "team", "Value": "inference"}])
    assert stack["StackStatus"] == "UPDATE_COMPLETE", cloud.failures()
    for operation, key in (("describe_db_subnet_groups", "DBSubnetGroups"), ("describe_db_instances", "DBInstances")):
        assert len(getattr(rds, operation)()[key]) == 1
    row = rds.describe_db_clusters(DBClusterIdentifier=cloud.physical("Cluster"))["DBClusters"][0]
    assert row["ServerlessV2ScalingConfiguration"]["MaxCapacity"] == 8
    assert secrets.get_secret_value(SecretId=cloud.outputs()["Secret"])["SecretString"] == password

    gone = cloud.delete()
    assert gone["StackStatus"] == "DELETE_COMPLETE", cloud.failures(gone["StackId"])
    assert rds.describe_db_clusters()["DBClusters"] == []
    assert secrets.list_secrets()["SecretList"] == []
    (last,) = snapshots(cloud)
    assert last.startswith("stack-snapshot-cluster-")


def test_a_replacement_is_reached_by_way_of_a_snapshot(cloud: Cloud) -> None:
    cloud.create(template())
    before = cloud.physical("Cluster")
    assert cloud.update(template(StorageEncrypted=False))["StackStatus"] == "UPDATE_COMPLETE", cloud.failures()
    assert cloud.physical("Cluster") != before
    assert len(snapshots(cloud)) == 1


def test_subnets_of_one_zone_are_refused(cloud: Cloud) -> None:
    stack = cloud.create(template(("us-east-1a", "us-east-1a")))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "Add subnets to cover at least 2 AZs" in cloud.failures()["Subnets"]


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short", "not a valid password"),
        ("with/a/slash", "not a valid password"),
        ("{{resolve:secretsmanager:nothing}}", "can't find the specified secret"),
        ("{{resolve:ssm-secure:/a/b:1}}", "not implemented by the local cloud: {{resolve:ssm-secure:/a/b:1}}"),
    ],
)
def test_a_password_that_cannot_be_is_refused(cloud: Cloud, password: str, reason: str) -> None:
    stack = cloud.create(template(MasterUserPassword=password))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert reason in cloud.failures()["Cluster"]


def test_one_key_of_a_secret_is_put_in(cloud: Cloud) -> None:
    generate = {"SecretStringTemplate": '{"user": "slurm"}', "GenerateStringKey": "password", "PasswordLength": 20}
    made = resources(
        Secret={"Type": "AWS::SecretsManager::Secret", "Properties": {"GenerateSecretString": generate}},
        User=parameter({"Fn::Sub": "{{resolve:secretsmanager:${Secret}:SecretString:user}}"}),
    )
    assert cloud.create(made)["StackStatus"] == "CREATE_COMPLETE", cloud.failures()
    found = cloud.client("ssm").get_parameter(Name=cloud.physical("User"))["Parameter"]["Value"]
    assert found == "slurm"
    wrong = copy.deepcopy(made)
    wrong["Resources"]["User"]["Properties"]["Value"]["Fn::Sub"] = (
        "{{resolve:secretsmanager:${Secret}:SecretString:no}}"
    )
    assert cloud.update(wrong)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
