"""Data repository associations: links between a directory of a Lustre file system and a prefix of S3.

Source of the rules: FSx API reference, CreateDataRepositoryAssociation ("a maximum of 8", "excluding scratch_1",
"a unique file system directory and a unique S3 bucket or prefix", "cannot have overlapping file system paths",
"'/' only for the first, and then only one"), UpdateDataRepositoryAssociation, DeleteDataRepositoryAssociation,
DataRepositoryAssociation (life cycle); FSx for Lustre user guide, "Linking your file system to an S3 bucket".
"""

from __future__ import annotations

from typing import Any

from pcinfra.localcloud.services.fsx import automatic, tasks
from pcinfra.localcloud.services.fsx.backend import FsxBackend, checked_tags, page
from pcinfra.localcloud.services.fsx.errors import bad_request, not_found, refused, unsupported
from pcinfra.localcloud.services.fsx.model import Association, FileSystem
from pcinfra.localcloud.services.fsx.posix import DEFAULT_MODE, signature
from pcinfra.localcloud.services.fsx.repository import trouble
from pcinfra.localcloud.services.fsx.transfer import Link
from pcinfra.localcloud.services.fsx.tree import Unfollowable
from pcinfra.localcloud.services.s3 import valid_name

LIMIT = 8
_WRITABLE = 0o1777
_POLICIES = ("AutoImportPolicy", "AutoExportPolicy")


def create(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """CreateDataRepositoryAssociation."""
    backend.forget_gone()
    held = backend.associations
    made = backend.once("CreateDataRepositoryAssociation", request, held, lambda: _make(backend, request))
    return {"Association": _described(backend, made)}


def describe(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeDataRepositoryAssociations, by ids or filters file-system-id and data-repository-type."""
    backend.forget_gone()
    wanted = request.get("AssociationIds")
    rows = [_find(backend, i) for i in wanted] if wanted else backend.live_associations()
    for condition in request.get("Filters") or []:
        rows = [row for row in rows if _passes(row, condition["Name"], condition["Values"])]
    shown, token = page(rows, request)
    return {"Associations": [_described(backend, row) for row in shown], "NextToken": token}


def update(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """UpdateDataRepositoryAssociation: policies and chunk size; paths are for life."""
    association = _find(backend, request["AssociationId"])
    if association.lifecycle not in ("AVAILABLE", "UPDATING"):
        raise bad_request(f"Data repository association '{association.id}' is {association.lifecycle}.")
    given = request.get("S3") or {}
    _check_events(given)
    association.s3 = _policies({**association.s3, **given})
    association.chunk_size = request.get("ImportedFileChunkSize", association.chunk_size)
    association.begin_update()
    return {"Association": _described(backend, association)}


def delete(backend: FsxBackend, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteDataRepositoryAssociation: refused with 400 while a task of the file system is PENDING or EXECUTING."""
    association = _find(backend, request["AssociationId"])
    if association.lifecycle == "DELETING":
        raise bad_request(f"Data repository association '{association.id}' is being deleted.")
    if backend.running_tasks(association.file_system):
        raise bad_request("The file system has a data repository task in the PENDING or EXECUTING state.")
    association.begin_removal()
    with_data = bool(request.get("DeleteDataInFileSystem"))
    if with_data and backend.storage:
        Link.of(association, backend.storage).tree.clear()
    return {"AssociationId": association.id, "Lifecycle": "DELETING", "DeleteDataInFileSystem": with_data}


def _make(backend: FsxBackend, request: dict[str, Any]) -> Association:
    system = backend.file_system(request["FileSystemId"])
    _check_file_system(system)
    path, repository = request.get("FileSystemPath", "/"), request["DataRepositoryPath"]
    _check_path(path)
    _check_repository(repository)
    _check_events(request.get("S3") or {})
    others = [a for a in backend.associations.values() if a.file_system == system.id]
    _check_others(others, path, repository)
    association = Association(
        id=backend.new("dra"),
        file_system=system.id,
        path=path,
        repository=repository,
        batch_import=bool(request.get("BatchImportMetaDataOnCreate")),
        chunk_size=request.get("ImportedFileChunkSize", 1024),
        s3=_policies(request.get("S3") or {}),
        tags=checked_tags(request.get("Tags")),
    )
    association.arn = backend.arn(f"association/{system.id}/{association.id}")
    _prepare(backend, association)
    if association.batch_import:
        tasks.begin_batch_import(backend, association)
    return association


def _prepare(backend: FsxBackend, association: Association) -> None:
    """Make the directory, and notice what is on both sides: only what changes from now on is an event.

    Where files are exported from, everybody may write, as the head node's bootstrap script sees to on AWS: it is
    not run here, and the directory would be root's alone. A directory that is there keeps its permissions.
    """
    if backend.storage is None:
        return
    link = Link.of(association, backend.storage)
    try:
        link.tree.prepare(_WRITABLE if association.events("AutoExportPolicy") else DEFAULT_MODE)
        found = link.tree.listing().found
    except (OSError, Unfollowable) as error:
        raise bad_request(f"FileSystemPath {association.path} cannot be a directory: {error}") from error
    association.ledger.files = {path: signature(status) for path, status in found.items()}
    automatic.begin(link)


def _check_file_system(system: FileSystem) -> None:
    if system.kind != "LUSTRE" or system.configuration["DeploymentType"] == "SCRATCH_1":
        raise unsupported("Data repository associations are supported on FSx for Lustre, excluding SCRATCH_1.")
    if system.version == "2.10":
        raise unsupported("Data repository associations are supported on Lustre 2.12 and 2.15 file systems.")
    if system.linked:
        raise bad_request("The file system was created with an ImportPath and cannot have associations.")
    if system.lifecycle not in ("AVAILABLE", "UPDATING"):
        raise bad_request(f"File system '{system.id}' is {system.lifecycle}.")


def _check_path(path: str) -> None:
    if not path.startswith("/"):
        raise bad_request(f"FileSystemPath {path} must begin with a forward slash.")
    parts = path.strip("/").split("/")
    if path != "/" and any(part in ("", ".", "..") for part in parts):
        raise bad_request(f"FileSystemPath {path} is not valid.")


def _check_repository(repository: str) -> None:
    bucket, _, prefix = repository.removeprefix("s3://").partition("/")
    if not repository.startswith("s3://") or not valid_name(bucket) or "//" in f"/{prefix}":
        raise bad_request(f"DataRepositoryPath {repository} must be in the format s3://bucket-name/prefix/.")


def _check_events(given: dict[str, Any]) -> None:
    for policy in _POLICIES:
        events = (given.get(policy) or {}).get("Events") or []
        if len(set(events)) != len(events):
            raise bad_request(f"{policy} has duplicate events: {', '.join(events)}.")


def _check_others(others: list[Association], path: str, repository: str) -> None:
    if len(others) >= LIMIT:
        message = f"A file system has at most {LIMIT} data repository associations."
        raise refused("ServiceLimitExceeded", message)
    for other in others:
        if _inside(path, other.path) or _inside(other.path, path):
            raise bad_request(f"FileSystemPath {path} overlaps {other.path} of association '{other.id}'.")
        if _inside(repository, other.repository) or _inside(other.repository, repository):
            raise bad_request(f"DataRepositoryPath {repository} overlaps {other.repository} of '{other.id}'.")


def _inside(inner: str, outer: str) -> bool:
    """/ns1 is inside /ns1 and /, and not inside /ns; s3://bucket/a is inside s3://bucket."""
    return f"{inner.rstrip('/')}/".startswith(f"{outer.rstrip('/')}/")


def _policies(given: dict[str, Any]) -> dict[str, Any]:
    return {policy: given[policy] for policy in _POLICIES if given.get(policy)}


def _described(backend: FsxBackend, association: Association) -> dict[str, Any]:
    return association.describe(trouble_of(backend, association))


def trouble_of(backend: FsxBackend, association: Association) -> str:
    """Return why the association is MISCONFIGURED, empty when it is not."""
    imports = bool(association.events("AutoImportPolicy"))
    return trouble(association.bucket, backend.region_name, imports)


def _find(backend: FsxBackend, wanted: str) -> Association:
    if wanted not in backend.associations:
        raise not_found("DataRepositoryAssociationNotFound", "Data repository association", wanted)
    return backend.associations[wanted]


def _passes(association: Association, name: str, values: list[str]) -> bool:
    if name == "data-repository-type":
        return "S3" in values
    if name in ("file-system-id", "file-cache-id"):
        return name == "file-system-id" and association.file_system in values
    raise bad_request(f"The filter {name} is not supported for data repository associations.")
