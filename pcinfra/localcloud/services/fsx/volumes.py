"""OpenZFS volumes: the root volume of a file system and what is made below it.

Source: FSx API reference, CreateVolume, CreateOpenZFSVolumeConfiguration, DeleteVolume.
"""

from __future__ import annotations

from typing import Any

from pcinfra.localcloud.services.fsx import openzfs
from pcinfra.localcloud.services.fsx.backend import FsxBackend, checked_tags, page
from pcinfra.localcloud.services.fsx.errors import bad_request, not_found, refused
from pcinfra.localcloud.services.fsx.model import FileSystem, Volume

ROOT_PATH = "/fsx"
_DEFAULTS: dict[str, Any] = {
    "RecordSizeKiB": 128,
    "DataCompressionType": "NONE",
    "CopyTagsToSnapshots": False,
    "ReadOnly": False,
    "StorageCapacityReservationGiB": 0,
    "StorageCapacityQuotaGiB": 0,
    "NfsExports": [{"ClientConfigurations": [{"Clients": "*", "Options": ["rw", "crossmnt"]}]}],
    "UserAndGroupQuotas": [],
}


def make_root(backend: FsxBackend, system: FileSystem, asked: dict[str, Any]) -> Volume:
    """Make the root volume that every OpenZFS file system has, named fsx and mounted at /fsx."""
    configuration = {**_DEFAULTS, **asked, "VolumePath": ROOT_PATH}
    volume = Volume(id=backend.new("fsvol"), file_system=system.id, name="fsx", configuration=configuration)
    volume.arn = backend.arn(f"volume/{system.id}/{volume.id}")
    backend.volumes[volume.id] = volume
    backend.keep_content(volume.id)
    return volume


def create(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """CreateVolume, of type OPENZFS."""
    if request["VolumeType"] != "OPENZFS":
        raise NotImplementedError(f"volumes of type {request['VolumeType']}")
    if "OpenZFSConfiguration" not in request:
        raise refused("MissingVolumeConfiguration", "A volume configuration is required for this operation.")
    backend.forget_gone()
    made = backend.once("CreateVolume", request, backend.volumes, lambda: _make(backend, request))
    return {"Volume": made.describe()}


def describe(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeVolumes, by ids or the filter file-system-id."""
    backend.forget_gone()
    wanted = request.get("VolumeIds")
    rows = [_find(backend, i) for i in wanted] if wanted else list(backend.volumes.values())
    for condition in request.get("Filters") or []:
        if condition["Name"] == "file-system-id":
            rows = [row for row in rows if row.file_system in condition["Values"]]
    shown, token = page(rows, request)
    return {"Volumes": [row.describe() for row in shown], "NextToken": token}


def update(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """UpdateVolume."""
    volume = _find(backend, request["VolumeId"])
    given = request.get("OpenZFSConfiguration") or {}
    openzfs.check_volume(given)
    volume.configuration = {**volume.configuration, **given}
    volume.name = request.get("Name", volume.name)
    volume.begin_update()
    return {"Volume": volume.describe()}


def delete(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteVolume; the root volume goes with its file system only."""
    volume = _find(backend, request["VolumeId"])
    if not volume.parent:
        raise bad_request(f"Volume '{volume.id}' is the root volume of its file system and cannot be deleted.")
    below = _below(backend, volume)
    options = (request.get("OpenZFSConfiguration") or {}).get("Options", [])
    if below and "DELETE_CHILD_VOLUMES_AND_SNAPSHOTS" not in options:
        raise bad_request(f"Volume '{volume.id}' has child volumes.")
    for each in [volume, *below]:
        each.begin_removal()
    return {"VolumeId": volume.id, "Lifecycle": "DELETING"}


def _make(backend: FsxBackend, request: dict[str, Any]) -> Volume:
    asked = dict(request["OpenZFSConfiguration"])
    parent = _find(backend, asked["ParentVolumeId"])
    system = backend.file_system(parent.file_system)
    if system.lifecycle not in ("AVAILABLE", "UPDATING"):
        raise bad_request(f"File system '{system.id}' is {system.lifecycle}.")
    openzfs.check_volume(asked)
    if "OriginSnapshot" in asked:
        raise NotImplementedError("volumes from snapshots")
    path = f"{parent.configuration['VolumePath']}/{request['Name']}"
    if any(v.configuration["VolumePath"] == path and v.file_system == system.id for v in backend.volumes.values()):
        raise bad_request(f"A volume with the path {path} exists.")
    volume = Volume(id=backend.new("fsvol"), file_system=system.id, name=request["Name"], parent=parent.id)
    volume.configuration = {**_DEFAULTS, **asked, "VolumePath": path}
    volume.arn = backend.arn(f"volume/{system.id}/{volume.id}")
    volume.tags = checked_tags(request.get("Tags"))
    backend.keep_content(volume.id)
    return volume


def _find(backend: FsxBackend, wanted: str) -> Volume:
    if wanted not in backend.volumes:
        raise not_found("VolumeNotFound", "Volume", wanted)
    return backend.volumes[wanted]


def _below(backend: FsxBackend, volume: Volume) -> list[Volume]:
    children = [child for child in backend.volumes.values() if child.parent == volume.id]
    return children + [grandchild for child in children for grandchild in _below(backend, child)]
