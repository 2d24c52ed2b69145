"""AWS::FSx types. A file system is complete when its Lifecycle is AVAILABLE, and deleted when it is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pcinfra.localcloud.cfn.handlers.base import (
    Context,
    Existing,
    Handler,
    Json,
    Made,
    fit,
    handler_failure,
    input_shape,
    is_gone,
    names,
    refuse_changes,
)

FILE_SYSTEM_KEYS = (
    "FileSystemType", "StorageType", "StorageCapacity", "SubnetIds", "SecurityGroupIds", "KmsKeyId",
    "FileSystemTypeVersion", "LustreConfiguration", "OpenZFSConfiguration",
)  # fmt: skip
UPDATE_KEYS = ("StorageCapacity", "LustreConfiguration", "OpenZFSConfiguration")
READY = ("AVAILABLE", "CREATED")
BROKEN = ("FAILED", "MISCONFIGURED", "MISCONFIGURED_UNAVAILABLE")


def _wait(context: Context, describe: Callable[[], Json]) -> Json:
    """Poll until the thing described is available.

    Raises:
        ResourceFailure: it ended in a failed state; the reason is the service's own.
    """
    last: Json = {}

    def ready() -> bool:
        last.clear()
        last.update(describe())
        state = last["Lifecycle"]
        if state in BROKEN:
            details = last.get("FailureDetails") or last.get("LifecycleTransitionReason") or {}
            raise handler_failure(details.get("Message", f"ended in the state {state}"))
        return state in READY

    context.poll(ready)
    return last


def _wait_gone(context: Context, describe: Callable[[], Json]) -> None:
    def gone() -> bool:
        try:
            row = describe()
        except (IndexError, LookupError):
            return True
        except Exception as error:
            if is_gone(error):
                return True
            raise
        if row["Lifecycle"] == "FAILED":
            raise handler_failure(row.get("FailureDetails", {}).get("Message", "the deletion failed"))
        return False

    context.poll(gone)


def _tags(context: Context) -> Json:
    return {"Tags": context.tag_list()} if context.tags else {}


def _set_tags(context: Context, arn: str) -> None:
    fsx = context.client("fsx")
    present = {tag["Key"] for tag in fsx.list_tags_for_resource(ResourceARN=arn)["Tags"]}
    stale = sorted(key for key in present - set(context.tags) if not key.startswith("aws:"))
    if stale:
        fsx.untag_resource(ResourceARN=arn, TagKeys=stale)
    if context.tags:
        fsx.tag_resource(ResourceARN=arn, Tags=context.tag_list())


def _file_system(context: Context, file_system: str) -> Json:
    row: Json = context.client("fsx").describe_file_systems(FileSystemIds=[file_system])["FileSystems"][0]
    return row


def _request(context: Context, operation: str, properties: Json, keys: tuple[str, ...]) -> Json:
    shape = input_shape(context.client("fsx"), operation)
    wanted = {key: properties[key] for key in keys if key in properties}
    if "OpenZFSConfiguration" in wanted:  # Options is read when the file system is deleted, see _delete_file_system
        settings = wanted["OpenZFSConfiguration"].items()
        wanted["OpenZFSConfiguration"] = {key: value for key, value in settings if key != "Options"}
    return {key: fit(value, shape.members[key], key) for key, value in wanted.items()}


def _create_file_system(context: Context, properties: Json) -> Made:
    request = _request(context, "CreateFileSystem", properties, FILE_SYSTEM_KEYS)
    row = context.client("fsx").create_file_system(**request, **_tags(context))["FileSystem"]
    context.begun(row["FileSystemId"])
    row = _wait(context, lambda: _file_system(context, row["FileSystemId"]))
    return Made(row["FileSystemId"], _file_system_attributes(row))


def _file_system_attributes(row: Json) -> Json:
    return {
        "Id": row["FileSystemId"],
        "DNSName": row.get("DNSName", ""),
        "ResourceARN": row["ResourceARN"],
        "LustreMountName": (row.get("LustreConfiguration") or {}).get("MountName", ""),
        "RootVolumeId": (row.get("OpenZFSConfiguration") or {}).get("RootVolumeId", ""),
    }


def _update_file_system(context: Context, existing: Existing, properties: Json) -> Json:
    changed = {
        key: properties[key]
        for key in UPDATE_KEYS
        if properties.get(key) != existing.properties.get(key) and key in properties
    }
    for key in ("LustreConfiguration", "OpenZFSConfiguration"):
        if key in changed:
            old = existing.properties.get(key, {})
            changed[key] = {name: value for name, value in changed[key].items() if old.get(name) != value}
    request = {
        key: value for key, value in _request(context, "UpdateFileSystem", changed, UPDATE_KEYS).items() if value != {}
    }
    if request:
        context.client("fsx").update_file_system(FileSystemId=existing.physical_id, **request)
        _wait(context, lambda: _file_system(context, existing.physical_id))
    _set_tags(context, existing.attributes["ResourceARN"])
    return existing.attributes


def _delete_file_system(context: Context, existing: Existing) -> None:
    """Delete without overriding the service's defaults, and wait.

    Source: DeleteFileSystem: OpenZFS takes a final backup unless SkipFinalBackup is true, Lustre takes none; and
    AWS::FSx::FileSystem OpenZFSConfiguration, Options: DELETE_CHILD_VOLUMES_AND_SNAPSHOTS is what a template can say
    about its deletion. Through CloudFormation a final backup of OpenZFS cannot be skipped.
    """
    options = existing.properties.get("OpenZFSConfiguration", {}).get("Options")
    extra = {"OpenZFSConfiguration": {"Options": options}} if options else {}
    context.client("fsx").delete_file_system(FileSystemId=existing.physical_id, **extra)
    _wait_gone(context, lambda: _file_system(context, existing.physical_id))


def _volume(context: Context, volume: str) -> Json:
    row: Json = context.client("fsx").describe_volumes(VolumeIds=[volume])["Volumes"][0]
    return row


def _create_volume(context: Context, properties: Json) -> Made:
    fsx = context.client("fsx")
    shape = input_shape(fsx, "CreateVolume").members["OpenZFSConfiguration"]
    settings = {key: value for key, value in properties["OpenZFSConfiguration"].items() if key != "Options"}
    row = fsx.create_volume(
        VolumeType=properties.get("VolumeType", "OPENZFS"),
        Name=properties["Name"],
        OpenZFSConfiguration=fit(settings, shape, "OpenZFSConfiguration"),
        **_tags(context),
    )["Volume"]
    context.begun(row["VolumeId"])
    row = _wait(context, lambda: _volume(context, row["VolumeId"]))
    return Made(row["VolumeId"], {"VolumeId": row["VolumeId"], "ResourceARN": row["ResourceARN"], "UUID": ""})


def _update_volume(context: Context, existing: Existing, properties: Json) -> Json:
    refuse_changes(existing, properties, "Name", "OpenZFSConfiguration")
    _set_tags(context, existing.attributes["ResourceARN"])
    return existing.attributes


def _update_snapshot(context: Context, existing: Existing, properties: Json) -> Json:
    refuse_changes(existing, properties, "Name")
    _set_tags(context, existing.attributes["ResourceARN"])
    return existing.attributes


def _delete_volume(context: Context, existing: Existing) -> None:
    options = existing.properties["OpenZFSConfiguration"].get("Options")
    extra = {"OpenZFSConfiguration": {"Options": options}} if options else {}
    context.client("fsx").delete_volume(VolumeId=existing.physical_id, **extra)
    _wait_gone(context, lambda: _volume(context, existing.physical_id))


ASSOCIATION_KEYS = (
    "FileSystemId", "FileSystemPath", "DataRepositoryPath", "BatchImportMetaDataOnCreate", "ImportedFileChunkSize",
    "S3",
)  # fmt: skip


def _association(context: Context, association: str) -> Json:
    found = context.client("fsx").describe_data_repository_associations(AssociationIds=[association])
    row: Json = found["Associations"][0]
    return row


def _create_association(context: Context, properties: Json) -> Made:
    request = _request(context, "CreateDataRepositoryAssociation", properties, ASSOCIATION_KEYS)
    row = context.client("fsx").create_data_repository_association(**request, **_tags(context))["Association"]
    context.begun(row["AssociationId"])
    row = _wait(context, lambda: _association(context, row["AssociationId"]))
    return Made(row["AssociationId"], {"AssociationId": row["AssociationId"], "ResourceARN": row["ResourceARN"]})


def _update_association(context: Context, existing: Existing, properties: Json) -> Json:
    keys = ("ImportedFileChunkSize", "S3")
    changed = {
        key: properties[key] for key in keys if key in properties and properties[key] != existing.properties.get(key)
    }
    if "S3" in existing.properties and "S3" not in properties:
        changed["S3"] = {"AutoImportPolicy": {"Events": []}, "AutoExportPolicy": {"Events": []}}
    if changed:
        request = _request(context, "UpdateDataRepositoryAssociation", changed, keys)
        context.client("fsx").update_data_repository_association(AssociationId=existing.physical_id, **request)
        _wait(context, lambda: _association(context, existing.physical_id))
    _set_tags(context, existing.attributes["ResourceARN"])
    return existing.attributes


def _delete_association(context: Context, existing: Existing) -> None:
    """Source: AWS::FSx::DataRepositoryAssociation: the data in the file system stays."""
    context.client("fsx").delete_data_repository_association(
        AssociationId=existing.physical_id, DeleteDataInFileSystem=False
    )
    _wait_gone(context, lambda: _association(context, existing.physical_id))


def _create_snapshot(context: Context, properties: Json) -> Made:
    fsx: Any = context.client("fsx")
    row = fsx.create_snapshot(Name=properties["Name"], VolumeId=properties["VolumeId"], **_tags(context))["Snapshot"]
    context.begun(row["SnapshotId"])
    found = _wait(context, lambda: fsx.describe_snapshots(SnapshotIds=[row["SnapshotId"]])["Snapshots"][0])
    return Made(found["SnapshotId"], {"Id": found["SnapshotId"], "ResourceARN": found["ResourceARN"]})


def _delete_snapshot(context: Context, existing: Existing) -> None:
    fsx: Any = context.client("fsx")
    fsx.delete_snapshot(SnapshotId=existing.physical_id)
    _wait_gone(context, lambda: fsx.describe_snapshots(SnapshotIds=[existing.physical_id])["Snapshots"][0])


HANDLERS = (
    Handler(
        "AWS::FSx::FileSystem",
        frozenset({*FILE_SYSTEM_KEYS, "Tags"}),
        _create_file_system,
        _delete_file_system,
        _update_file_system,
    ),
    Handler(
        "AWS::FSx::Volume",
        names("Name VolumeType OpenZFSConfiguration Tags"),
        _create_volume,
        _delete_volume,
        _update_volume,
    ),
    Handler("AWS::FSx::Snapshot", names("Name VolumeId Tags"), _create_snapshot, _delete_snapshot, _update_snapshot),
    Handler(
        "AWS::FSx::DataRepositoryAssociation",
        frozenset({*ASSOCIATION_KEYS, "Tags"}),
        _create_association,
        _delete_association,
        _update_association,
    ),
)
