"""AWS::RDS types, as far as an Aurora cluster uses them."""

from __future__ import annotations

from typing import Any

from pcinfra.localcloud.cfn.handlers.base import (
    Context,
    Existing,
    Handler,
    Json,
    Made,
    fit,
    input_shape,
    names,
    refuse_changes,
    unique,
)


def _call(context: Context, operation: str, properties: Json, **more: Any) -> Json:
    """Call an operation of RDS with ``properties`` as its input takes them."""
    client = context.client("rds")
    api = "".join(part.capitalize() for part in operation.split("_")).replace("Db", "DB")
    given = fit({**properties, **more}, input_shape(client, api), api)
    answer: Json = getattr(client, operation)(**given)
    return answer


def _retag(context: Context, arn: str) -> None:
    client = context.client("rds")
    present = {tag["Key"] for tag in client.list_tags_for_resource(ResourceName=arn)["TagList"]}
    if present - set(context.tags):
        client.remove_tags_from_resource(ResourceName=arn, TagKeys=sorted(present - set(context.tags)))
    client.add_tags_to_resource(ResourceName=arn, Tags=context.tag_list())


# --- AWS::RDS::DBSubnetGroup --------------------------------------------------------------------------------------


def _create_subnets(context: Context, properties: Json) -> Made:
    name = properties.get("DBSubnetGroupName") or context.name(255).lower()
    row = _call(context, "create_db_subnet_group", properties, DBSubnetGroupName=name, Tags=context.tag_list())[
        "DBSubnetGroup"
    ]
    return Made(name, {"DBSubnetGroupArn": row["DBSubnetGroupArn"]})


def _update_subnets(context: Context, existing: Existing, properties: Json) -> Json:
    wanted = {key: value for key, value in properties.items() if key != "Tags"}
    _call(context, "modify_db_subnet_group", wanted, DBSubnetGroupName=existing.physical_id)
    _retag(context, existing.attributes["DBSubnetGroupArn"])
    return existing.attributes


def _delete_subnets(context: Context, existing: Existing) -> None:
    context.client("rds").delete_db_subnet_group(DBSubnetGroupName=existing.physical_id)


# --- AWS::RDS::DBClusterParameterGroup ----------------------------------------------------------------------------


def _create_parameters(context: Context, properties: Json) -> Made:
    name = properties.get("DBClusterParameterGroupName") or context.name(255).lower()
    client = context.client("rds")
    client.create_db_cluster_parameter_group(
        DBClusterParameterGroupName=name,
        DBParameterGroupFamily=properties["Family"],
        Description=properties["Description"],
        Tags=context.tag_list(),
    )
    context.begun(name)
    _set_parameters(context, name, properties)
    return Made(name, {})


def _set_parameters(context: Context, name: str, properties: Json) -> None:
    rows = [
        {"ParameterName": key, "ParameterValue": str(value), "ApplyMethod": "pending-reboot"}
        for key, value in properties["Parameters"].items()
    ]
    context.client("rds").modify_db_cluster_parameter_group(DBClusterParameterGroupName=name, Parameters=rows)


def _update_parameters(context: Context, existing: Existing, properties: Json) -> Json:
    _set_parameters(context, existing.physical_id, properties)
    return existing.attributes


def _delete_parameters(context: Context, existing: Existing) -> None:
    context.client("rds").delete_db_cluster_parameter_group(DBClusterParameterGroupName=existing.physical_id)


# --- AWS::RDS::DBCluster ------------------------------------------------------------------------------------------


def _create_cluster(context: Context, properties: Json) -> Made:
    name = properties.get("DBClusterIdentifier") or f"{context.name(50)}-{unique(4)}".lower()
    row = _call(context, "create_db_cluster", properties, DBClusterIdentifier=name, Tags=context.tag_list())[
        "DBCluster"
    ]
    context.begun(name)
    attributes = {
        "Endpoint.Address": row["Endpoint"],
        "Endpoint.Port": str(row["Port"]),
        "ReadEndpoint.Address": row["ReaderEndpoint"],
        "DBClusterArn": row["DBClusterArn"],
        "DBClusterResourceId": row["DbClusterResourceId"],
    }
    return Made(name, attributes)


CHANGEABLE = (
    "BackupRetentionPeriod", "DBClusterParameterGroupName", "DeletionProtection", "MasterUserPassword",
    "ServerlessV2ScalingConfiguration", "VpcSecurityGroupIds",
)  # fmt: skip


def _update_cluster(context: Context, existing: Existing, properties: Json) -> Json:
    fixed = set(existing.properties) | set(properties)
    refuse_changes(existing, properties, *(fixed - {"Tags", *CHANGEABLE}))
    wanted = {key: properties[key] for key in CHANGEABLE if key in properties}
    _call(context, "modify_db_cluster", wanted, DBClusterIdentifier=existing.physical_id, ApplyImmediately=True)
    _retag(context, existing.attributes["DBClusterArn"])
    return existing.attributes


def _delete_cluster(context: Context, existing: Existing) -> None:
    context.client("rds").delete_db_cluster(DBClusterIdentifier=existing.physical_id, SkipFinalSnapshot=True)


def _snapshot_cluster(context: Context, existing: Existing) -> None:
    """Source: DeletionPolicy attribute, Snapshot: the snapshot is named after stack and resource, and outlives them."""
    last = f"{context.stack.name}-snapshot-{context.logical_id}-{unique()}".lower()
    context.client("rds").delete_db_cluster(
        DBClusterIdentifier=existing.physical_id, SkipFinalSnapshot=False, FinalDBSnapshotIdentifier=last
    )


# --- AWS::RDS::DBInstance -----------------------------------------------------------------------------------------


def _create_instance(context: Context, properties: Json) -> Made:
    name = properties.get("DBInstanceIdentifier") or f"{context.name(50)}-{unique(4)}".lower()
    row = _call(context, "create_db_instance", properties, DBInstanceIdentifier=name, Tags=context.tag_list())[
        "DBInstance"
    ]
    context.begun(name)
    return Made(name, {"DBInstanceArn": row["DBInstanceArn"], "DbiResourceId": row["DbiResourceId"]})


def _update_instance(context: Context, existing: Existing, properties: Json) -> Json:
    refuse_changes(existing, properties, *((set(existing.properties) | set(properties)) - {"Tags"}))
    _retag(context, existing.attributes["DBInstanceArn"])
    return existing.attributes


def _delete_instance(context: Context, existing: Existing) -> None:
    context.client("rds").delete_db_instance(DBInstanceIdentifier=existing.physical_id, SkipFinalSnapshot=True)


HANDLERS = (
    Handler(
        "AWS::RDS::DBSubnetGroup",
        names("DBSubnetGroupName DBSubnetGroupDescription SubnetIds Tags"),
        _create_subnets,
        _delete_subnets,
        _update_subnets,
    ),
    Handler(
        "AWS::RDS::DBClusterParameterGroup",
        names("DBClusterParameterGroupName Description Family Parameters Tags"),
        _create_parameters,
        _delete_parameters,
        _update_parameters,
    ),
    Handler(
        "AWS::RDS::DBCluster",
        names(
            "DBClusterIdentifier Engine EngineVersion MasterUsername MasterUserPassword StorageEncrypted KmsKeyId"
            " BackupRetentionPeriod CopyTagsToSnapshot DBSubnetGroupName DBClusterParameterGroupName"
            " ServerlessV2ScalingConfiguration VpcSecurityGroupIds DeletionProtection Tags"
        ),
        _create_cluster,
        _delete_cluster,
        _update_cluster,
        _snapshot_cluster,
    ),
    Handler(
        "AWS::RDS::DBInstance",
        names("DBInstanceIdentifier DBInstanceClass DBClusterIdentifier Engine PubliclyAccessible Tags"),
        _create_instance,
        _delete_instance,
        _update_instance,
    ),
)
