"""What FSx refuses while something is going on: the operations themselves, with a clock that the test sets."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")

from moto.ec2.models import ec2_backends

from pcinfra.localcloud.services.errors import ServiceError
from pcinfra.localcloud.services.fsx import associations, file_systems, tasks
from pcinfra.localcloud.services.fsx.backend import FsxBackend

ACCOUNT, REGION = "210987654321", "eu-north-1"
FOREVER = "3600"


@pytest.fixture
def fsx(monkeypatch: pytest.MonkeyPatch) -> FsxBackend:
    monkeypatch.setenv("PCINFRA_LOCAL_DELAY", "0")
    return FsxBackend(REGION, ACCOUNT)


@pytest.fixture
def system(fsx: FsxBackend) -> str:
    ec2: Any = ec2_backends[ACCOUNT][REGION]
    subnet = next(iter(ec2.describe_subnets()))
    group = ec2.create_security_group(f"lustre-{uuid4().hex}", "x", vpc_id=subnet.vpc_id)
    ec2.authorize_security_group_ingress(group.id, "-1", None, None, [{"CidrIp": "10.0.0.0/8"}], vpc_id=subnet.vpc_id)
    request = {
        "FileSystemType": "LUSTRE",
        "StorageCapacity": 1200,
        "SubnetIds": [subnet.id],
        "SecurityGroupIds": [group.id],
        "LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 250},
    }
    return str(file_systems.create(fsx, request)["FileSystem"]["FileSystemId"])


def link(fsx: FsxBackend, system: str, **more: Any) -> dict[str, Any]:
    request = {"FileSystemId": system, "FileSystemPath": "/data", "DataRepositoryPath": "s3://bucket/data", **more}
    association: dict[str, Any] = associations.create(fsx, request)["Association"]
    return association


def request_for_import(system: str) -> dict[str, Any]:
    return {"FileSystemId": system, "Type": "IMPORT_METADATA_FROM_REPOSITORY", "Report": {"Enabled": False}}


def test_a_batch_import_holds_association_and_file_system(
    fsx: FsxBackend, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCINFRA_LOCAL_DELAY", FOREVER)
    wanted = link(fsx, system, BatchImportMetaDataOnCreate=True)["AssociationId"]
    with pytest.raises(ServiceError, match="PENDING or EXECUTING"):
        associations.delete(fsx, {"AssociationId": wanted})
    with pytest.raises(ServiceError, match="PENDING or EXECUTING"):
        file_systems.delete(fsx, {"FileSystemId": system})
    (task,) = tasks.describe(fsx, {})["DataRepositoryTasks"]
    tasks.cancel(fsx, {"TaskId": task["TaskId"]})
    assert associations.delete(fsx, {"AssociationId": wanted})["Lifecycle"] == "DELETING"
    with pytest.raises(ServiceError, match="being deleted"):
        associations.delete(fsx, {"AssociationId": wanted})


def test_one_task_at_a_time(fsx: FsxBackend, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    link(fsx, system)
    monkeypatch.setenv("PCINFRA_LOCAL_DELAY", FOREVER)
    task = tasks.create(fsx, request_for_import(system))["DataRepositoryTask"]
    assert task["Lifecycle"] == "PENDING"
    with pytest.raises(ServiceError, match="DataRepositoryTaskExecuting"):
        tasks.create(fsx, request_for_import(system))
    assert tasks.cancel(fsx, {"TaskId": task["TaskId"]})["Lifecycle"] == "CANCELING"
    (ended,) = tasks.describe(fsx, {"TaskIds": [task["TaskId"]]})["DataRepositoryTasks"]
    assert ended["Lifecycle"] == "CANCELED"
    with pytest.raises(ServiceError, match="DataRepositoryTaskEnded"):
        tasks.cancel(fsx, {"TaskId": task["TaskId"]})


def test_what_is_being_made_or_removed_cannot_be_used(
    fsx: FsxBackend, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCINFRA_LOCAL_DELAY", FOREVER)
    wanted = link(fsx, system)["AssociationId"]
    with pytest.raises(ServiceError, match="CREATING"):
        associations.update(fsx, {"AssociationId": wanted})
    with pytest.raises(ServiceError, match="not linked"):
        tasks.create(fsx, request_for_import(system))
    assert file_systems.delete(fsx, {"FileSystemId": system})["Lifecycle"] == "DELETING"
    with pytest.raises(ServiceError, match="DELETING"):
        link(fsx, system, FileSystemPath="/other", DataRepositoryPath="s3://bucket/other")
