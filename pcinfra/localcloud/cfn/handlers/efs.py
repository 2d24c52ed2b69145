"""AWS::EFS types."""

from __future__ import annotations

from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, fit, input_shape, names

KEYS = ("Encrypted", "KmsKeyId", "PerformanceMode", "ProvisionedThroughputInMibps", "ThroughputMode")


def _create(context: Context, properties: Json) -> Made:
    client = context.client("efs")
    wanted = {key: properties[key] for key in KEYS if key in properties}
    request = fit(wanted, input_shape(client, "CreateFileSystem"), "FileSystem")
    own = {tag["Key"]: tag["Value"] for tag in properties.get("FileSystemTags", [])}
    tags = [{"Key": key, "Value": value} for key, value in {**context.tags, **own}.items()]
    row = client.create_file_system(CreationToken=context.name(), Tags=tags, **request)
    file_system = row["FileSystemId"]
    context.begun(file_system)
    context.poll(lambda: _state(context, file_system) == "available")
    return Made(file_system, {"FileSystemId": file_system, "Arn": row["FileSystemArn"]})


def _state(context: Context, file_system: str) -> str:
    rows = context.client("efs").describe_file_systems(FileSystemId=file_system)["FileSystems"]
    return str(rows[0]["LifeCycleState"])


def _retag(context: Context, existing: Existing, properties: Json) -> Json:
    own = {tag["Key"]: tag["Value"] for tag in properties.get("FileSystemTags", [])}
    tags = [{"Key": key, "Value": value} for key, value in {**context.tags, **own}.items()]
    context.client("efs").tag_resource(ResourceId=existing.physical_id, Tags=tags)
    return existing.attributes


def _delete(context: Context, existing: Existing) -> None:
    context.client("efs").delete_file_system(FileSystemId=existing.physical_id)


def _create_target(context: Context, properties: Json) -> Made:
    wanted = {key: properties[key] for key in ("FileSystemId", "SubnetId", "SecurityGroups", "IpAddress")
              if key in properties}  # fmt: skip
    row = context.client("efs").create_mount_target(**wanted)
    context.begun(row["MountTargetId"])
    return Made(row["MountTargetId"], {"Id": row["MountTargetId"], "IpAddress": row.get("IpAddress", "")})


def _delete_target(context: Context, existing: Existing) -> None:
    context.client("efs").delete_mount_target(MountTargetId=existing.physical_id)


HANDLERS = (
    Handler("AWS::EFS::FileSystem", frozenset(KEYS) | names("FileSystemTags"), _create, _delete, _retag),
    Handler(
        "AWS::EFS::MountTarget",
        names("FileSystemId SubnetId SecurityGroups IpAddress"),
        _create_target,
        _delete_target,
    ),
)
