"""Operations on file systems, from the request to the answer."""

from __future__ import annotations

from typing import Any

from pcinfra.localcloud.services.fsx import backups, lustre, network, openzfs, volumes
from pcinfra.localcloud.services.fsx.backend import FsxBackend, checked_tags, page
from pcinfra.localcloud.services.fsx.errors import bad_request, refused
from pcinfra.localcloud.services.fsx.model import FileSystem

DELETE_CHILDREN = "DELETE_CHILD_VOLUMES_AND_SNAPSHOTS"
_CONFIGURATIONS = {"LUSTRE": "LustreConfiguration", "OPENZFS": "OpenZFSConfiguration"}


def create(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """CreateFileSystem."""
    backend.forget_gone()
    made = backend.once("CreateFileSystem", request, backend.file_systems, lambda: _make(backend, request))
    return {"FileSystem": made.describe()}


def describe(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeFileSystems."""
    wanted = request.get("FileSystemIds")
    rows = [backend.file_system(i) for i in wanted] if wanted else backend.live_file_systems()
    shown, token = page(rows, request)
    return {"FileSystems": [row.describe() for row in shown], "NextToken": token}


def update(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """UpdateFileSystem: the change is there at once, the file system busy for a while."""
    system = backend.file_system(request["FileSystemId"])
    _require_available(system)
    _require_own_configuration(system.kind, request)
    if "StorageType" in request and request["StorageType"] != system.storage:
        raise bad_request("StorageType cannot be changed.")
    given = request.get(_CONFIGURATIONS[system.kind]) or {}
    if system.kind == "LUSTRE":
        _update_lustre(system, request, given)
    else:
        _update_openzfs(system, request, given)
    system.begin_update()
    return {"FileSystem": system.describe()}


def delete(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteFileSystem. OpenZFS takes a final backup unless told not to, Lustre only when told to."""
    system = backend.file_system(request["FileSystemId"])
    if system.lifecycle == "DELETING":
        raise bad_request(f"File system '{system.id}' is being deleted.")
    if backend.running_tasks(system.id):
        raise bad_request("The file system has a data repository task in the PENDING or EXECUTING state.")
    _require_own_configuration(system.kind, request)
    options = request.get(_CONFIGURATIONS[system.kind]) or {}
    answer = {"FileSystemId": system.id, "Lifecycle": "DELETING"}
    if system.kind == "OPENZFS":
        _require_no_children(backend, system, options)
    if not options.get("SkipFinalBackup", system.kind == "LUSTRE"):
        tags = options.get("FinalBackupTags")
        backup = backups.make(backend, system, tags)
        field = "LustreResponse" if system.kind == "LUSTRE" else "OpenZFSResponse"
        answer[field] = {"FinalBackupId": backup.id, "FinalBackupTags": backup.tags}  # type: ignore[assignment]
    system.begin_removal()
    backend.forget_soon()
    return answer


def _make(backend: FsxBackend, request: dict[str, Any]) -> FileSystem:
    kind = request["FileSystemType"]
    if kind not in _CONFIGURATIONS:
        raise NotImplementedError(f"file systems of type {kind}")
    _require_own_configuration(kind, request)
    tags = checked_tags(request.get("Tags"))
    if kind == "LUSTRE":
        network.require_one(request["SubnetIds"])
        configuration, version = lustre.configuration(request), lustre.version(request)
    else:
        if "OpenZFSConfiguration" not in request:
            message = "A file system configuration is required for this operation."
            raise refused("MissingFileSystemConfiguration", message)
        configuration, version = openzfs.configuration(request), ""
    vpc, groups = network.place(backend, request)
    system = FileSystem(
        id=backend.new("fs"),
        kind=kind,
        owner=backend.account_id,
        region=backend.region_name,
        capacity=request["StorageCapacity"],
        storage=request.get("StorageType") or "SSD",
        version=version,
        vpc=vpc,
        subnets=list(request["SubnetIds"]),
        groups=groups,
        kms_key=request.get("KmsKeyId") or f"arn:aws:kms:{backend.region_name}:{backend.account_id}:key/aws-fsx",
        configuration=configuration,
        tags=tags,
    )
    system.arn = backend.arn(f"file-system/{system.id}")
    _attach(backend, system)
    if kind == "OPENZFS":
        root = (request["OpenZFSConfiguration"].get("RootVolumeConfiguration")) or {}
        system.root_volume = volumes.make_root(backend, system, root).id
    else:
        backend.keep_content(system.id)
    return system


def _attach(backend: FsxBackend, system: FileSystem) -> None:
    """One interface for a single file server, two for a pair in one zone, one in each zone of MULTI_AZ_1."""
    pair = "_HA_" in system.configuration["DeploymentType"]
    description = f"Created by Amazon FSx - {system.id}"
    made = network.attach(backend, system.subnets, system.groups, description, 2 if pair else 1)
    system.interfaces = [interface.id for interface in made]
    if system.kind == "OPENZFS":
        system.configuration["EndpointIpAddress"] = made[0].private_ip_address


def _require_own_configuration(kind: str, request: dict[str, Any]) -> None:
    for other in ("LustreConfiguration", "OpenZFSConfiguration", "WindowsConfiguration", "OntapConfiguration"):
        if other != _CONFIGURATIONS[kind] and request.get(other):
            raise bad_request(f"{other} cannot be specified for a file system of type {kind}.")


def _require_available(system: FileSystem) -> None:
    if system.lifecycle not in ("AVAILABLE", "UPDATING"):
        raise bad_request(f"File system '{system.id}' is {system.lifecycle}.")


def _require_no_children(backend: FsxBackend, system: FileSystem, options: dict[str, Any]) -> None:
    """ "If your file system has child volumes and you don't use this option, the delete request will fail"."""
    children = [v for v in backend.volumes.values() if v.file_system == system.id and v.parent]
    if children and DELETE_CHILDREN not in options.get("Options", []):
        raise bad_request(f"File system '{system.id}' has child volumes; specify the option {DELETE_CHILDREN}.")


def _update_lustre(system: FileSystem, request: dict[str, Any], given: dict[str, Any]) -> None:
    after = lustre.updated(system.configuration, system.storage, given)
    if "FileSystemTypeVersion" in request:
        lustre.check_newer(system.version, request["FileSystemTypeVersion"])
    if "StorageCapacity" in request:
        lustre.check_growth(system.capacity, request["StorageCapacity"], after, system.storage)
    system.version = request.get("FileSystemTypeVersion", system.version)
    system.capacity = request.get("StorageCapacity", system.capacity)
    system.configuration = after


def _update_openzfs(system: FileSystem, request: dict[str, Any], given: dict[str, Any]) -> None:
    if "FileSystemTypeVersion" in request:
        raise bad_request("FileSystemTypeVersion is not supported for FSx for OpenZFS file systems.")
    after = openzfs.updated(system.configuration, given)
    if "StorageCapacity" in request:
        openzfs.check_growth(system.capacity, request["StorageCapacity"])
        system.capacity = request["StorageCapacity"]
    system.configuration = after
