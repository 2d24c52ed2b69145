"""The operations of FSx's API, put where moto finds them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import moto.fsx
import moto.fsx.models
import moto.fsx.responses
import moto.fsx.urls
from moto.core.responses import ActionResult, BaseResponse

from pcinfra.localcloud.services.fsx import associations, backups, file_systems, shapes, tasks, volumes
from pcinfra.localcloud.services.fsx.backend import FsxBackend, backends
from pcinfra.localcloud.services.fsx.storage import Storage
from pcinfra.localcloud.services.patching import put

Operation = Callable[[FsxBackend, dict[str, Any]], dict[str, Any]]


class FsxResponse(BaseResponse):
    """moto calls the method that is named as the operation; :data:`_OPERATIONS` makes them."""

    def __init__(self) -> None:
        super().__init__(service_name="fsx")


def install(storage: Storage | None = None) -> None:
    """Take the place of moto's FSx.

    Args:
        storage: where the content of all file systems is; None: there is none, and nothing for a task to move.
    """
    FsxBackend.storage = storage
    for (name, method), operation in _OPERATIONS.items():
        put(FsxResponse, **{method: _method(name, operation)})
    modules: tuple[Any, ...] = (moto.fsx, moto.fsx.models, moto.fsx.responses)
    for module in modules:
        module.fsx_backends = backends
    urls: Any = moto.fsx.urls
    urls.url_paths = {"{0}/$": FsxResponse.dispatch}


def _method(api_name: str, operation: Operation) -> Callable[[Any], ActionResult]:
    def method(self: Any) -> ActionResult:
        request = json.loads(self.body or "{}")
        shapes.check("fsx", api_name, request)
        return ActionResult(operation(backends[self.current_account][self.region], request))

    return method


def _tag(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    backend.add_tags(request["ResourceARN"], request["Tags"])
    return {}


def _untag(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    backend.remove_tags(request["ResourceARN"], request["TagKeys"])
    return {}


def _tags(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    return {"Tags": backend.tagged(request["ResourceARN"]).tags}


_OPERATIONS: dict[tuple[str, str], Operation] = {
    ("CreateFileSystem", "create_file_system"): file_systems.create,
    ("DescribeFileSystems", "describe_file_systems"): file_systems.describe,
    ("UpdateFileSystem", "update_file_system"): file_systems.update,
    ("DeleteFileSystem", "delete_file_system"): file_systems.delete,
    ("CreateVolume", "create_volume"): volumes.create,
    ("DescribeVolumes", "describe_volumes"): volumes.describe,
    ("UpdateVolume", "update_volume"): volumes.update,
    ("DeleteVolume", "delete_volume"): volumes.delete,
    ("CreateDataRepositoryAssociation", "create_data_repository_association"): associations.create,
    ("DescribeDataRepositoryAssociations", "describe_data_repository_associations"): associations.describe,
    ("UpdateDataRepositoryAssociation", "update_data_repository_association"): associations.update,
    ("DeleteDataRepositoryAssociation", "delete_data_repository_association"): associations.delete,
    ("CreateDataRepositoryTask", "create_data_repository_task"): tasks.create,
    ("DescribeDataRepositoryTasks", "describe_data_repository_tasks"): tasks.describe,
    ("CancelDataRepositoryTask", "cancel_data_repository_task"): tasks.cancel,
    ("CreateBackup", "create_backup"): backups.create,
    ("DescribeBackups", "describe_backups"): backups.describe,
    ("DeleteBackup", "delete_backup"): backups.delete,
    ("TagResource", "tag_resource"): _tag,
    ("UntagResource", "untag_resource"): _untag,
    ("ListTagsForResource", "list_tags_for_resource"): _tags,
    ("DescribeFileCaches", "describe_file_caches"): lambda _backend, _request: {"FileCaches": []},
    ("DescribeStorageVirtualMachines", "describe_storage_virtual_machines"): lambda _backend, _request: {
        "StorageVirtualMachines": []
    },
    ("DescribeSnapshots", "describe_snapshots"): lambda _backend, _request: {"Snapshots": []},
}
