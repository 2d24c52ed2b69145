"""Data repository associations and tasks: AWS's rules, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.local.services.asking import refusal
from tests.local.services.conftest import Client, Network
from tests.local.services.test_fsx_file_systems import P1, P2, ZFS, lustre, made, openzfs
from tests.waiting import until_equal

BUCKET = "s3://training-data"


@pytest.fixture(scope="module", autouse=True)
def bucket(client: Client) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="training-data")
    for key in ("data/a", "data/b", "data2/c", "other/d"):
        s3.put_object(Bucket="training-data", Key=key, Body=b"x")


@pytest.fixture(scope="module")
def shared(client: Client, network: Network) -> str:
    """A file system that every test leaves without associations."""
    return str(made(client("fsx"), lustre(network, 1200, P2))["FileSystemId"])


@pytest.fixture
def system(client: Client, shared: str) -> Iterator[str]:
    yield shared
    fsx = client("fsx")
    until_equal(lambda: running(fsx, shared), [])
    for row in associations(fsx, shared):
        if row["Lifecycle"] != "DELETING":
            fsx.delete_data_repository_association(AssociationId=row["AssociationId"])
    until_equal(lambda: associations(fsx, shared), [])


def associations(fsx: Any, system: str) -> list[dict[str, Any]]:
    filters = [{"Name": "file-system-id", "Values": [system]}]
    return list(fsx.describe_data_repository_associations(Filters=filters)["Associations"])


def running(fsx: Any, system: str) -> list[str]:
    filters = [
        {"Name": "file-system-id", "Values": [system]},
        {"Name": "task-lifecycle", "Values": ["PENDING", "EXECUTING"]},
    ]
    return [task["TaskId"] for task in fsx.describe_data_repository_tasks(Filters=filters)["DataRepositoryTasks"]]


def lifecycle(fsx: Any, wanted: str) -> str:
    try:
        rows = fsx.describe_data_repository_associations(AssociationIds=[wanted])["Associations"]
    except fsx.exceptions.DataRepositoryAssociationNotFound:
        return "gone"
    return str(rows[0]["Lifecycle"])


def create(fsx: Any, system: str, path: str, repository: str, **more: Any) -> dict[str, Any]:
    request = {"FileSystemId": system, "FileSystemPath": path, "DataRepositoryPath": repository, **more}
    association: dict[str, Any] = fsx.create_data_repository_association(**request)["Association"]
    return association


PAIRS_THAT_FIT = [
    (("/data", f"{BUCKET}/data"), ("/data2", f"{BUCKET}/data2")),
    (("/ns1/a", f"{BUCKET}/a"), ("/ns1/b", f"{BUCKET}/b")),
    (("/x/", f"{BUCKET}/x/"), ("/xy/", f"{BUCKET}/xy/")),
]

PAIRS_THAT_OVERLAP = [
    (("/ns1", f"{BUCKET}/a"), ("/ns1", f"{BUCKET}/b")),
    (("/ns1", f"{BUCKET}/a"), ("/ns1/", f"{BUCKET}/b")),
    (("/ns1", f"{BUCKET}/a"), ("/ns1/ns2", f"{BUCKET}/b")),
    (("/ns1/ns2", f"{BUCKET}/a"), ("/ns1/", f"{BUCKET}/b")),
    (("/", f"{BUCKET}/a"), ("/b", f"{BUCKET}/b")),
    (("/a", f"{BUCKET}/a"), ("/", f"{BUCKET}/b")),
    (("/a", f"{BUCKET}/a"), ("/b", f"{BUCKET}/a")),
    (("/a", f"{BUCKET}/a"), ("/b", f"{BUCKET}/a/")),
    (("/a", f"{BUCKET}/a"), ("/b", f"{BUCKET}/a/b")),
    (("/a", f"{BUCKET}/a/b"), ("/b", BUCKET)),
    (("/a", f"{BUCKET}/"), ("/b", f"{BUCKET}/b")),
]

BAD_REQUESTS: list[tuple[dict[str, Any], str, str]] = [
    ({"FileSystemPath": "data"}, "BadRequest", "forward slash"),
    ({"FileSystemPath": ""}, "ValidationException", "greater than or equal to 1"),
    ({"FileSystemPath": "/a//b"}, "BadRequest", "not valid"),
    ({"FileSystemPath": "/a/../b"}, "BadRequest", "not valid"),
    ({"FileSystemPath": "/a\nb"}, "ValidationException", "pattern"),
    ({"FileSystemPath": "/" + "x" * 4096}, "ValidationException", "4096"),
    ({"DataRepositoryPath": "training-data/data"}, "BadRequest", "s3://bucket-name/prefix/"),
    ({"DataRepositoryPath": "s3://"}, "BadRequest", "s3://bucket-name/prefix/"),
    ({"DataRepositoryPath": "s3://UPPER/x"}, "BadRequest", "s3://bucket-name/prefix/"),
    ({"DataRepositoryPath": "s3://training-data//x"}, "BadRequest", "s3://bucket-name/prefix/"),
    ({"DataRepositoryPath": "https://training-data.s3.amazonaws.com"}, "BadRequest", "s3://bucket-name/prefix/"),
    ({"S3": {"AutoImportPolicy": {"Events": ["NEW", "NEW"]}}}, "BadRequest", "duplicate"),
    ({"S3": {"AutoExportPolicy": {"Events": ["MOVED"]}}}, "ValidationException", "enum value set"),
    ({"S3": {"AutoExportPolicy": {"Events": ["NEW"] * 4}}}, "ValidationException", "less than or equal to 3"),
    ({"ImportedFileChunkSize": 0}, "ValidationException", "greater than or equal to 1"),
    ({"ImportedFileChunkSize": 512_001}, "ValidationException", "less than or equal to 512000"),
    ({"FileSystemId": "fs-0123456789abcdef0"}, "FileSystemNotFound", "does not exist"),
    ({"Tags": [{"Key": "a", "Value": "1"}] * 2}, "BadRequest", "unique"),
]


@pytest.mark.parametrize(("first", "second"), PAIRS_THAT_FIT)
def test_two_that_fit(client: Client, system: str, first: tuple[str, str], second: tuple[str, str]) -> None:
    made_here = {create(client("fsx"), system, *pair)["AssociationId"] for pair in (first, second)}
    assert {row["AssociationId"] for row in associations(client("fsx"), system)} == made_here


@pytest.mark.parametrize(("first", "second"), PAIRS_THAT_OVERLAP)
def test_two_that_overlap(client: Client, system: str, first: tuple[str, str], second: tuple[str, str]) -> None:
    fsx = client("fsx")
    create(fsx, system, *first)
    request = {"FileSystemId": system, "FileSystemPath": second[0], "DataRepositoryPath": second[1]}
    code, message = refusal(fsx.create_data_repository_association, **request)
    assert code == "BadRequest"
    assert "overlaps" in message


@pytest.mark.parametrize(("change", "code", "words"), BAD_REQUESTS)
def test_refused(client: Client, system: str, change: dict[str, Any], code: str, words: str) -> None:
    request = {"FileSystemId": system, "FileSystemPath": "/data", "DataRepositoryPath": f"{BUCKET}/data", **change}
    found = refusal(client("fsx").create_data_repository_association, **request)
    assert found[0] == code
    assert words in found[1]


@pytest.mark.parametrize(
    ("configuration", "more", "code"),
    [
        ({"DeploymentType": "SCRATCH_1"}, {}, "UnsupportedOperation"),
        ({"DeploymentType": "SCRATCH_2"}, {"FileSystemTypeVersion": "2.10"}, "UnsupportedOperation"),
        ({"DeploymentType": "SCRATCH_2"}, {"FileSystemTypeVersion": "2.12"}, ""),
        (P1, {"FileSystemTypeVersion": "2.15"}, ""),
        ({**P1, "ImportPath": "s3://training-data"}, {"FileSystemTypeVersion": "2.12"}, "BadRequest"),
    ],
)
def test_deployment_types(
    client: Client, network: Network, configuration: dict[str, Any], more: dict[str, Any], code: str
) -> None:
    fsx = client("fsx")
    system = made(fsx, lustre(network, 1200, configuration, **more))["FileSystemId"]
    request = {"FileSystemId": system, "FileSystemPath": "/d", "DataRepositoryPath": f"{BUCKET}/d"}
    if code:
        assert refusal(fsx.create_data_repository_association, **request)[0] == code
    else:
        assert fsx.create_data_repository_association(**request)["Association"]["Lifecycle"] == "CREATING"
        assert "linked" in refusal(fsx.create_backup, FileSystemId=system)[1] or "scratch" in str(configuration).lower()


def test_openzfs_has_none(client: Client, network: Network) -> None:
    fsx = client("fsx")
    system = made(fsx, openzfs(network, 512, ZFS))["FileSystemId"]
    request = {"FileSystemId": system, "FileSystemPath": "/d", "DataRepositoryPath": BUCKET}
    assert refusal(fsx.create_data_repository_association, **request)[0] == "UnsupportedOperation"


def test_a_file_system_that_is_not_ready_has_none(client: Client, network: Network) -> None:
    fsx = client("fsx")
    system = fsx.create_file_system(**lustre(network, 1200, P2))["FileSystem"]["FileSystemId"]
    request = {"FileSystemId": system, "FileSystemPath": "/d", "DataRepositoryPath": BUCKET}
    assert "CREATING" in refusal(fsx.create_data_repository_association, **request)[1]


def test_eight_and_no_more(client: Client, system: str) -> None:
    fsx = client("fsx")
    for number in range(8):
        create(fsx, system, f"/d{number}", f"{BUCKET}/d{number}")
    request = {"FileSystemId": system, "FileSystemPath": "/d8", "DataRepositoryPath": f"{BUCKET}/d8"}
    assert refusal(fsx.create_data_repository_association, **request)[0] == "ServiceLimitExceeded"
    asked = {"Filters": [{"Name": "file-system-id", "Values": [system]}], "MaxResults": 3}
    pages = [fsx.describe_data_repository_associations(**asked)]
    while "NextToken" in pages[-1]:
        pages.append(fsx.describe_data_repository_associations(**asked, NextToken=pages[-1]["NextToken"]))
    sizes = [len(page["Associations"]) for page in pages]
    assert sizes == [3, 3, 2]


def test_a_life(client: Client, system: str) -> None:
    fsx = client("fsx")
    events = {"AutoImportPolicy": {"Events": ["NEW", "CHANGED", "DELETED"]}}
    wanted = create(fsx, system, "/data", f"{BUCKET}/data", S3=events, ImportedFileChunkSize=512)["AssociationId"]
    assert wanted.startswith("dra-")
    change = {"AssociationId": wanted, "S3": {"AutoExportPolicy": {"Events": ["NEW"]}}}
    assert "CREATING" in refusal(fsx.update_data_repository_association, **change)[1]
    until_equal(lambda: lifecycle(fsx, wanted), "AVAILABLE")
    after = fsx.update_data_repository_association(**change)["Association"]
    assert after["Lifecycle"] == "UPDATING"
    assert after["S3"] == {**events, **change["S3"]}
    until_equal(lambda: lifecycle(fsx, wanted), "AVAILABLE")
    answer = fsx.delete_data_repository_association(AssociationId=wanted, DeleteDataInFileSystem=True)
    assert (answer["Lifecycle"], answer["DeleteDataInFileSystem"]) == ("DELETING", True)
    until_equal(lambda: lifecycle(fsx, wanted), "gone")
    assert refusal(fsx.delete_data_repository_association, AssociationId=wanted)[0].endswith("NotFound")


def test_the_same_token_makes_one(client: Client, system: str) -> None:
    fsx, token = client("fsx"), uuid4().hex
    first = create(fsx, system, "/data", f"{BUCKET}/data", ClientRequestToken=token)["AssociationId"]
    assert create(fsx, system, "/data", f"{BUCKET}/data", ClientRequestToken=token)["AssociationId"] == first
    request = {"FileSystemId": system, "FileSystemPath": "/data", "DataRepositoryPath": f"{BUCKET}/other"}
    found = refusal(fsx.create_data_repository_association, **request, ClientRequestToken=token)
    assert found[0] == "IncompatibleParameterError"


def test_a_bucket_that_is_not_there(client: Client, system: str) -> None:
    fsx, name = client("fsx"), f"late-{uuid4().hex[:8]}"
    wanted = create(fsx, system, "/late", f"s3://{name}")["AssociationId"]
    until_equal(lambda: lifecycle(fsx, wanted), "MISCONFIGURED")
    row = fsx.describe_data_repository_associations(AssociationIds=[wanted])["Associations"][0]
    assert name in row["FailureDetails"]["Message"]
    client("s3").create_bucket(Bucket=name)
    assert lifecycle(fsx, wanted) == "AVAILABLE"


def test_automatic_import_is_from_the_same_region(client: Client, system: str) -> None:
    fsx, name = client("fsx"), f"far-{uuid4().hex[:8]}"
    place = {"LocationConstraint": "eu-west-1"}
    client("s3", "eu-west-1").create_bucket(Bucket=name, CreateBucketConfiguration=place)
    events = {"AutoImportPolicy": {"Events": ["NEW"]}}
    wanted = create(fsx, system, "/far", f"s3://{name}", S3=events)["AssociationId"]
    until_equal(lambda: lifecycle(fsx, wanted), "MISCONFIGURED")


def test_the_batch_import_counts_objects(client: Client, system: str) -> None:
    fsx = client("fsx")
    create(fsx, system, "/data", f"{BUCKET}/data", BatchImportMetaDataOnCreate=True)
    until_equal(lambda: running(fsx, system), [])
    filters = [{"Name": "file-system-id", "Values": [system]}]
    task = fsx.describe_data_repository_tasks(Filters=filters)["DataRepositoryTasks"][-1]
    assert (task["Lifecycle"], task["Type"]) == ("SUCCEEDED", "IMPORT_METADATA_FROM_REPOSITORY")
    assert task["Status"] == {"TotalCount": 2, "SucceededCount": 2, "FailedCount": 0}


def test_tasks_that_cannot_be(client: Client, system: str) -> None:
    fsx = client("fsx")
    request: dict[str, Any] = {
        "FileSystemId": system,
        "Type": "IMPORT_METADATA_FROM_REPOSITORY",
        "Report": {"Enabled": False},
    }
    assert "not linked" in refusal(fsx.create_data_repository_task, **request)[1]
    wanted = create(fsx, system, "/data2", f"{BUCKET}/data2")["AssociationId"]
    until_equal(lambda: lifecycle(fsx, wanted), "AVAILABLE")
    assert "not linked" in refusal(fsx.create_data_repository_task, **request, Paths=["/elsewhere"])[1]
    report = {**request, "Report": {"Enabled": True}}
    assert "Path, Format, Scope" in refusal(fsx.create_data_repository_task, **report)[1]
    cache = {**request, "Type": "AUTO_RELEASE_DATA"}
    assert "File Cache" in refusal(fsx.create_data_repository_task, **cache)[1]
    assert refusal(fsx.describe_data_repository_tasks, TaskIds=["task-0123456789abcdef0"])[0].endswith("NotFound")


def test_an_export_wants_automatic_export_off(client: Client, system: str) -> None:
    fsx = client("fsx")
    events = {"AutoExportPolicy": {"Events": ["NEW", "CHANGED"]}}
    wanted = create(fsx, system, "/logs", f"{BUCKET}/logs", S3=events)["AssociationId"]
    until_equal(lambda: lifecycle(fsx, wanted), "AVAILABLE")
    request = {"FileSystemId": system, "Type": "EXPORT_TO_REPOSITORY", "Report": {"Enabled": False}}
    assert "Disable automatic export" in refusal(fsx.create_data_repository_task, **request)[1]
    off: dict[str, Any] = {"AutoExportPolicy": {"Events": []}}
    fsx.update_data_repository_association(AssociationId=wanted, S3=off)
    until_equal(lambda: lifecycle(fsx, wanted), "AVAILABLE")
    assert fsx.create_data_repository_task(**request)["DataRepositoryTask"]["Lifecycle"] == "PENDING"
