"""Files that really move between Lustre, a directory of this machine, and S3: both ways, and no further."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")

from botocore.exceptions import ClientError

from pcinfra.localcloud.process import LocalCloud
from tests.local.services.conftest import Client, Network, client_of, make_network
from tests.local.services.test_fsx_file_systems import P2, ZFS, lustre, openzfs
from tests.waiting import until_equal

ALL = ("NEW", "CHANGED", "DELETED")
ROOT = os.geteuid() == 0


@dataclass
class Cloud:
    """A local cloud of these tests' own, with one bucket."""

    local: LocalCloud
    client: Client
    network: Network
    bucket: str = "lustre-data"

    def __post_init__(self) -> None:
        self.fsx, self.s3 = self.client("fsx"), self.client("s3")
        self.storage = self.local.directory / "filesystems"

    def file_system(self) -> str:
        made = self.fsx.create_file_system(**lustre(self.network, 1200, P2))["FileSystem"]["FileSystemId"]
        self.until(lambda: self.fsx.describe_file_systems(FileSystemIds=[made])["FileSystems"][0]["Lifecycle"])
        return str(made)

    def until(self, ask: Callable[[], Any], wanted: Any = "AVAILABLE") -> None:
        until_equal(ask, wanted)


@dataclass
class Link:
    """An association, with its directory and its prefix."""

    cloud: Cloud
    system: str
    prefix: str
    imports: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    batch: bool = False

    def __post_init__(self) -> None:
        self.directory = self.cloud.storage / self.system / "d" / self.prefix
        answer = self.cloud.fsx.create_data_repository_association(
            FileSystemId=self.system, FileSystemPath=f"/d/{self.prefix}", BatchImportMetaDataOnCreate=self.batch,
            DataRepositoryPath=f"s3://{self.cloud.bucket}/{self.prefix}/", S3=self.policies,
        )  # fmt: skip
        self.id = answer["Association"]["AssociationId"]
        self.cloud.until(self.lifecycle)

    @property
    def policies(self) -> dict[str, Any]:
        return {"AutoImportPolicy": {"Events": [*self.imports]}, "AutoExportPolicy": {"Events": [*self.exports]}}

    def lifecycle(self) -> str:
        rows = self.cloud.fsx.describe_data_repository_associations(AssociationIds=[self.id])["Associations"]
        return str(rows[0]["Lifecycle"])

    def change(self, imports: tuple[str, ...] = (), exports: tuple[str, ...] = ()) -> None:
        self.imports, self.exports = imports, exports
        self.cloud.fsx.update_data_repository_association(AssociationId=self.id, S3=self.policies)
        self.cloud.until(self.lifecycle)

    def put(self, name: str, body: bytes = b"x", **more: Any) -> None:
        self.cloud.s3.put_object(Bucket=self.cloud.bucket, Key=f"{self.prefix}/{name}", Body=body, **more)

    def delete(self, name: str) -> None:
        self.cloud.s3.delete_object(Bucket=self.cloud.bucket, Key=f"{self.prefix}/{name}")

    def head(self, name: str) -> dict[str, Any]:
        return dict(self.cloud.s3.head_object(Bucket=self.cloud.bucket, Key=f"{self.prefix}/{name}"))

    def object(self, name: str) -> bytes | None:
        try:
            answer = self.cloud.s3.get_object(Bucket=self.cloud.bucket, Key=f"{self.prefix}/{name}")
        except ClientError:
            return None
        return bytes(answer["Body"].read())

    def keys(self) -> list[str]:
        rows = self.cloud.s3.list_objects_v2(Bucket=self.cloud.bucket, Prefix=f"{self.prefix}/").get("Contents", [])
        return [row["Key"].removeprefix(f"{self.prefix}/") for row in rows]

    def file(self, name: str) -> bytes | None:
        try:
            return (self.directory / name).read_bytes()
        except OSError:
            return None

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.directory)) for path in self.directory.rglob("*"))

    def task(self, kind: str, **more: Any) -> dict[str, Any]:
        """Run a task to its end and return its description."""
        fsx = self.cloud.fsx
        request = {"Type": kind, "FileSystemId": self.system, "Report": {"Enabled": False}, **more}
        task = fsx.create_data_repository_task(**request)["DataRepositoryTask"]["TaskId"]
        return self.ended(task)

    def ended(self, task: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def runs() -> bool:
            found.update(self.cloud.fsx.describe_data_repository_tasks(TaskIds=[task])["DataRepositoryTasks"][0])
            return found["Lifecycle"] in ("PENDING", "EXECUTING")

        self.cloud.until(runs, False)
        return found

    def settle(self) -> None:
        """Wait until whatever came before has been noticed: what happens to a later association is followed later."""
        mark = uuid4().hex
        other = Link(self.cloud, self.system, f"settle-{mark}", imports=ALL, exports=ALL)
        other.put("there")
        (other.directory / "back").write_bytes(b"y")
        self.cloud.until(lambda: (other.file("there"), other.object("back")), (b"x", b"y"))
        self.cloud.fsx.delete_data_repository_association(AssociationId=other.id)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    local = LocalCloud(tmp_path_factory.mktemp("data") / "local")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PCINFRA_LOCAL_DELAY", "0.05")
        client = client_of(local.start().url)
    cloud = Cloud(local, client, make_network(client("ec2")))
    cloud.s3.create_bucket(Bucket=cloud.bucket)
    yield cloud
    cloud.local.stop()


@pytest.fixture
def system(cloud: Cloud) -> Iterator[str]:
    """A Lustre file system."""
    made = cloud.file_system()
    yield made
    for row in cloud.fsx.describe_data_repository_tasks()["DataRepositoryTasks"]:
        with contextlib.suppress(ClientError):  # those that have ended
            cloud.fsx.cancel_data_repository_task(TaskId=row["TaskId"])
    cloud.fsx.delete_file_system(FileSystemId=made)


@pytest.fixture
def prefix() -> str:
    return f"p{uuid4().hex[:8]}"


def test_a_directory_comes_and_goes_with_its_file_system(cloud: Cloud) -> None:
    made = cloud.file_system()
    directory = cloud.storage / made
    assert (directory.is_dir(), directory.stat().st_mode & 0o7777) == (True, 0o755)
    inside = directory / "a" / "closed"
    inside.mkdir(parents=True)
    (inside / "file").write_bytes(b"x")
    if ROOT:
        os.chown(inside / "file", 54321, 54321)
        os.chown(inside, 54321, 54321)
    inside.chmod(0)
    cloud.fsx.delete_file_system(FileSystemId=made)
    cloud.until(lambda: list(cloud.storage.glob(f"**/*{made}*")), [])


def test_openzfs_volumes_have_directories(cloud: Cloud) -> None:
    request = openzfs(cloud.network, 512, ZFS)
    row = cloud.fsx.create_file_system(**request)["FileSystem"]
    root = row["OpenZFSConfiguration"]["RootVolumeId"]
    assert (cloud.storage / root).is_dir()
    cloud.fsx.delete_file_system(FileSystemId=row["FileSystemId"], OpenZFSConfiguration={"SkipFinalBackup": True})
    cloud.until((cloud.storage / root).exists, False)


def test_objects_appear_change_and_vanish(cloud: Cloud, system: str, prefix: str) -> None:
    link = Link(cloud, system, prefix, imports=ALL)
    link.put("a/b/c.txt", b"one")
    cloud.until(lambda: link.file("a/b/c.txt"), b"one")
    link.put("a/b/c.txt", b"two")
    cloud.until(lambda: link.file("a/b/c.txt"), b"two")
    link.delete("a/b/c.txt")
    cloud.until(lambda: link.file("a/b/c.txt"), None)
    assert link.keys() == [], "an import is no export"


def test_files_go_to_s3_with_what_they_are(cloud: Cloud, system: str, prefix: str) -> None:
    link = Link(cloud, system, prefix, exports=ALL)
    assert link.directory.stat().st_mode & 0o7777 == 0o1777
    (link.directory / "sub").mkdir()
    file = link.directory / "sub" / "model 🙂.bin"
    file.write_bytes(b"weights")
    file.chmod(0o640)
    (link.directory / "latest").symlink_to("sub/model")
    cloud.until(lambda: sorted(link.keys()), sorted(["latest", "sub/", "sub/model 🙂.bin"]))
    found = link.head("sub/model 🙂.bin")["Metadata"]
    assert found["file-permissions"] == "0100640"
    assert (found["file-owner"], found["file-group"]) == (str(os.geteuid()), str(os.getegid()))
    assert found["file-mtime"] == f"{file.stat().st_mtime_ns}ns"
    assert link.object("latest") == b"sub/model"
    assert link.head("sub/")["ContentType"] == "application/x-directory"
    file.write_bytes(b"more")
    cloud.until(lambda: link.object("sub/model 🙂.bin"), b"more")
    file.unlink()
    cloud.until(lambda: sorted(link.keys()), ["latest", "sub/"])


def test_events_that_are_not_in_the_policy_are_not_followed(cloud: Cloud, system: str, prefix: str) -> None:
    link = Link(cloud, system, prefix, imports=("NEW",), exports=("NEW",))
    link.put("in", b"1")
    (link.directory / "out").write_bytes(b"1")
    cloud.until(lambda: (link.file("in"), link.object("out")), (b"1", b"1"))
    link.put("in", b"22")
    (link.directory / "out").write_bytes(b"22")
    link.settle()
    assert (link.file("in"), link.object("out")) == (b"1", b"1")
    link.delete("in")
    (link.directory / "out").unlink()
    link.settle()
    assert (link.file("in"), link.object("out")) == (b"1", b"1")


def test_both_ways_at_once_come_to_rest(cloud: Cloud, system: str, prefix: str) -> None:
    cloud.s3.put_bucket_versioning(Bucket=cloud.bucket, VersioningConfiguration={"Status": "Enabled"})
    link = Link(cloud, system, prefix, imports=ALL, exports=ALL)
    for number in range(5):
        link.put(f"s3/{number}", b"s")
        (link.directory / f"file-{number}").write_bytes(b"f")
    wanted = sorted([*(f"s3/{n}" for n in range(5)), *(f"file-{n}" for n in range(5)), "s3"])
    cloud.until(lambda: (link.files(), len(link.keys())), (wanted, 10))
    link.settle()
    versions = cloud.s3.list_object_versions(Bucket=cloud.bucket, Prefix=f"{prefix}/")
    assert (len(versions["Versions"]), versions.get("DeleteMarkers", [])) == (10, [])
    cloud.s3.put_bucket_versioning(Bucket=cloud.bucket, VersioningConfiguration={"Status": "Suspended"})


def test_a_file_that_is_being_written_waits(cloud: Cloud, system: str, prefix: str) -> None:
    link = Link(cloud, system, prefix, exports=("NEW", "CHANGED"))
    old = time.time() - 3600
    with (link.directory / "log").open("wb", buffering=0) as log:
        log.write(b"first half, ")
        os.utime(link.directory / "log", (old, old))
        link.settle()
        assert link.keys() == []
        log.write(b"second half")
    cloud.until(lambda: link.object("log"), b"first half, second half")


def test_how_long_files_wait_is_in_cloudwatch(cloud: Cloud, system: str, prefix: str) -> None:
    link = Link(cloud, system, prefix, exports=("NEW",))

    def ages() -> list[float]:
        answer = cloud.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/FSx", MetricName="AgeOfOldestQueuedMessage", Period=60, Statistics=["Maximum"],
            Dimensions=[{"Name": "FileSystemId", "Value": system}, {"Name": "Publisher", "Value": "AutoExport"}],
            StartTime=datetime.now(UTC) - timedelta(hours=1), EndTime=datetime.now(UTC) + timedelta(minutes=1),
        )  # fmt: skip
        return [point["Maximum"] for point in answer["Datapoints"]]

    cloud.until(ages, [0.0])
    with (link.directory / "open").open("wb") as file:
        file.write(b"x")
        cloud.until(lambda: max(ages()) > 0, True)
    cloud.until(lambda: link.object("open"), b"x")


def test_a_task_exports_what_automatic_export_did_not(cloud: Cloud, system: str, prefix: str) -> None:
    link = Link(cloud, system, prefix)
    for name in ("a", "b", "sub/c"):
        (link.directory / name).parent.mkdir(exist_ok=True)
        (link.directory / name).write_bytes(name.encode())
    some = link.task("EXPORT_TO_REPOSITORY", Paths=[f"d/{prefix}/sub"])
    assert some["Lifecycle"] == "SUCCEEDED"
    assert some["Status"] == {"TotalCount": 2, "SucceededCount": 2, "FailedCount": 0}
    assert sorted(link.keys()) == ["sub/", "sub/c"]
    rest = link.task("EXPORT_TO_REPOSITORY")
    assert (rest["Status"]["TotalCount"], sorted(link.keys())) == (2, ["a", "b", "sub/", "sub/c"])
    assert link.task("EXPORT_TO_REPOSITORY")["Status"]["TotalCount"] == 0
    link.settle()
    assert link.task("EXPORT_TO_REPOSITORY")["Status"]["TotalCount"] == 0


def test_what_a_task_cannot_export_is_counted_and_reported(cloud: Cloud, system: str, prefix: str) -> None:
    link = Link(cloud, system, prefix)
    (link.directory / "good").write_bytes(b"x")
    (link.directory / os.fsdecode(b"\xff")).write_bytes(b"x")
    deep = link.directory / ("d" * 250) / ("e" * 250) / ("f" * 250) / ("g" * 250)
    deep.mkdir(parents=True)
    (deep / ("+" * 50)).write_bytes(b"x")
    (link.directory / '=cmd,"x"').write_bytes(b"x")
    report = {
        "Enabled": True, "Path": f"s3://{cloud.bucket}/{prefix}/reports", "Format": "REPORT_CSV_20191124",
        "Scope": "FAILED_FILES_ONLY",
    }  # fmt: skip
    done = link.task("EXPORT_TO_REPOSITORY", Report=report)
    assert done["Lifecycle"] == "FAILED"
    assert done["Status"]["FailedCount"] == 2
    body = link.object(f"reports/{done['TaskId']}/failures.csv")
    assert body is not None
    rows = list(csv.reader(body.decode().splitlines()))
    assert sorted(row[1:] for row in rows) == [["failed", "N/A"], ["failed", "PathSizeTooLong"]]
    assert {"good", '=cmd,"x"'} <= set(link.keys())
    elsewhere = link.task("EXPORT_TO_REPOSITORY", Report={**report, "Path": f"s3://{cloud.bucket}/elsewhere"})
    assert "does not belong to a data repository" in elsewhere["FailureDetails"]["Message"]


def test_a_task_imports_everything_there_is(cloud: Cloud, system: str, prefix: str) -> None:
    for key in ("a", "b/", "b/c"):
        cloud.s3.put_object(Bucket=cloud.bucket, Key=f"{prefix}/{key}", Body=b"" if key == "b/" else b"x")
    link = Link(cloud, system, prefix)
    link.settle()
    assert link.files() == [], "what was there before is no event"
    done = link.task("IMPORT_METADATA_FROM_REPOSITORY")
    assert done["Status"] == {"TotalCount": 3, "SucceededCount": 3, "FailedCount": 0}
    assert link.files() == ["a", "b", "b/c"]
    (link.directory / "a").write_bytes(b"mine")
    link.put("a", b"theirs")
    link.task("IMPORT_METADATA_FROM_REPOSITORY")
    assert link.file("a") == b"mine", "what is nowhere else is kept"


def test_the_batch_import_brings_the_files(cloud: Cloud, system: str, prefix: str) -> None:
    cloud.s3.put_object(Bucket=cloud.bucket, Key=f"{prefix}/data", Body=b"x")
    link = Link(cloud, system, prefix, imports=ALL, batch=True)
    cloud.until(lambda: link.file("data"), b"x")
    assert link.directory.stat().st_mode & 0o7777 == 0o755


def test_metadata_makes_the_file(cloud: Cloud, system: str, prefix: str) -> None:
    link = Link(cloud, system, prefix, imports=ALL)
    theirs = {
        "file-permissions": "0104640",
        "file-owner": "1234",
        "file-group": "99",
        "file-mtime": "1500000000000000001ns",
    }
    link.put("known", b"x", Metadata=theirs)
    link.put("nonsense", b"x", Metadata={"file-permissions": "9", "file-owner": "-1", "file-mtime": "soon"})
    link.put("plain", b"x")
    link.put("link", b"known", Metadata={"file-permissions": "0120777"})
    cloud.until(link.files, ["known", "link", "nonsense", "plain"])
    known = (link.directory / "known").stat()
    assert (known.st_mode & 0o7777, known.st_mtime_ns) == (0o640, 1500000000000000001), "set-user-id is not imported"
    if ROOT:
        assert (known.st_uid, known.st_gid) == (1234, 99)
    assert (link.directory / "nonsense").stat().st_mode & 0o7777 == 0o755
    assert (link.directory / "link").readlink() == Path("known")


HOSTILE = ("../up", "/absolute", "a/../../up", "./here", "a//b", "x\0y", "n" * 300, "...")


def test_keys_that_are_no_paths_stay_in_s3(cloud: Cloud, system: str, prefix: str) -> None:
    link = Link(cloud, system, prefix, imports=ALL)
    secret = cloud.storage / system / "secret"
    secret.mkdir()
    (secret / "kept").write_bytes(b"mine")
    (link.directory / "door").symlink_to(secret)
    (link.directory / "way").mkdir()
    (link.directory / "way" / "kept").hardlink_to(secret / "kept")
    link.settle()
    for key in [*HOSTILE, "door/kept", "door/new", "way"]:
        link.put(key, b"theirs")
    link.put("way/kept", b"theirs")
    cloud.until(lambda: link.file("..."), b"theirs")
    link.settle()
    assert link.files() == ["...", "door", "way", "way/kept"]
    assert [path.name for path in secret.iterdir()] == ["kept"]
    assert (secret / "kept").read_bytes() == b"mine"
    assert sorted(path.name for path in (cloud.storage / system).iterdir()) == ["d", "secret"]
    done = link.task("IMPORT_METADATA_FROM_REPOSITORY")
    assert (done["Lifecycle"], done["Status"]["FailedCount"] >= 8) == ("FAILED", True)


def test_links_and_special_files_lead_nowhere(cloud: Cloud, system: str, prefix: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    link = Link(cloud, system, prefix, exports=ALL)
    (link.directory / "to-file").symlink_to(tmp_path / "outside")
    (link.directory / "to-directory").symlink_to(tmp_path)
    (link.directory / "loop").symlink_to(".")
    os.mkfifo(link.directory / "pipe")
    cloud.until(lambda: sorted(link.keys()), ["loop", "to-directory", "to-file"])
    assert link.object("to-file") == str(tmp_path / "outside").encode()
    moved = link.directory.with_name("moved")
    link.directory.rename(moved)
    link.directory.symlink_to(tmp_path)
    link.settle()
    assert sorted(link.keys()) == ["loop", "to-directory", "to-file"], "a directory that became a link is not followed"


def test_a_bucket_that_is_gone_deletes_nothing(cloud: Cloud, system: str, prefix: str) -> None:
    bucket = f"late-{prefix}"
    cloud.s3.create_bucket(Bucket=bucket)
    late = Cloud(cloud.local, cloud.client, cloud.network, bucket)
    link = Link(late, system, prefix, imports=ALL, exports=("NEW",))
    link.put("a")
    cloud.until(lambda: link.file("a"), b"x")
    link.change(exports=("NEW",))
    link.delete("a")
    cloud.s3.delete_bucket(Bucket=bucket)
    assert link.lifecycle() == "MISCONFIGURED"
    (link.directory / "b").write_bytes(b"y")
    Link(cloud, system, f"other-{prefix}").settle()
    cloud.s3.create_bucket(Bucket=bucket)
    cloud.until(lambda: link.object("b"), b"y")
    assert link.file("a") == b"x"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_happens_while_it_is_stopped_is_followed_later(cloud: Cloud, system: str, prefix: str, end: str) -> None:
    link = Link(cloud, system, prefix, imports=ALL, exports=ALL)
    for name in ("kept", "changed", "gone"):
        (link.directory / name).write_bytes(b"1")
    cloud.until(lambda: sorted(link.keys()), ["changed", "gone", "kept"])
    time.sleep(1)  # until a snapshot holds it, which a killed process goes back to
    if end == "stop":
        cloud.local.stop()
    else:
        os.kill(cloud.local.status().pid, signal.SIGKILL)
        cloud.until(lambda: cloud.local.status().running, False)
    (link.directory / "changed").write_bytes(b"22")
    (link.directory / "gone").unlink()
    (link.directory / "new").write_bytes(b"3")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PCINFRA_LOCAL_DELAY", "0.05")
        cloud.local.start()
    cloud.until(lambda: (sorted(link.keys()), link.object("changed")), (["changed", "kept", "new"], b"22"))
    assert link.files() == ["changed", "kept", "new"]


@pytest.mark.parametrize("with_data", [False, True])
def test_deleting_an_association_keeps_the_files_unless_told(
    cloud: Cloud, system: str, prefix: str, with_data: bool
) -> None:
    link = Link(cloud, system, prefix, exports=ALL)
    (link.directory / "a").write_bytes(b"x")
    cloud.until(lambda: link.object("a"), b"x")
    cloud.fsx.delete_data_repository_association(AssociationId=link.id, DeleteDataInFileSystem=with_data)
    assert link.files() == ([] if with_data else ["a"])
    assert link.keys() == ["a"]


def test_a_report_quotes_what_a_spreadsheet_would_run() -> None:
    from pcinfra.localcloud.services.fsx.work import report_csv

    names = ["@filename.txt", "file,name.txt", 'file"name.txt', "dir1/myLargeFile"]
    assert report_csv([(name, "S3AccessDenied") for name in names]).decode().splitlines() == [
        '"""@filename.txt""",failed,S3AccessDenied',
        '"file,name.txt",failed,S3AccessDenied',
        '"file""name.txt",failed,S3AccessDenied',
        "dir1/myLargeFile,failed,S3AccessDenied",
    ]
