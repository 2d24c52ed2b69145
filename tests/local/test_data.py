"""``pcinfra data``, as it is typed: the real engine, the local cloud's S3 and Lustre."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")

from pcinfra.aws import Aws, Target
from pcinfra.errors import CloudError, CredentialsError, NotFound, Unreachable
from pcinfra.transfer import bucket as s3
from pcinfra.transfer.crt import Crt
from tests.unit.loopback import closed_port

MIB = 1024 * 1024
COMMAND = [sys.executable, "-m", "pcinfra.cli.main"]


@dataclass
class Place:
    """A folder with a project whose bucket is in the local cloud; commands go there by the usual variables."""

    folder: Path
    target: Target
    bucket: str

    @property
    def env(self) -> dict[str, str]:
        return os.environ | self.target.environment()

    def run(self, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, *COMMAND, "data", *arguments], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def write(self, files: dict[str, bytes], top: str = "files") -> Path:
        for name, content in files.items():
            path = self.folder / top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return self.folder / top

    def keys(self, prefix: str = "") -> list[str]:
        return [key for page in s3.pages(Crt(self.target, self.bucket), prefix) for key in page.files]

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.run("ls", *arguments, "--output", "json").stdout)
        return rows


@pytest.fixture
def place(local_target: Target, tmp_path: Path) -> Place:
    name = f"data-{uuid4().hex[:10]}"
    Aws(local_target).call("s3", "CreateBucket", Bucket=name)
    (tmp_path / "pcinfra.yaml").write_text(f"project: data\nbucket:\n  name: {name}\n")
    return Place(tmp_path, local_target, name)


HOSTILE = {
    "-rf": b"1", "new\nline": b"2", "sp ace": b"3", "ünï/ço dé": b"4", "q?*[x]": b"5", "%41+&<>\"'": b"6", "empty": b"",
    "\x01\r": b"7", "..a/b..": b"8", "s3:x": b"9", "~/$(touch x)": b"10",
}  # fmt: skip


def test_there_and_back(place: Place) -> None:
    place.write(HOSTILE)
    dry = place.run("push", "files", "data/in", "--dry-run")
    assert (dry.returncode, place.keys()) == (0, [])
    assert "11 file(s)" in dry.stdout

    sent = place.run("push", "files", "data/in")
    assert "11 file(s)" in sent.stdout
    assert "each verified by checksum" in sent.stdout
    assert sorted(place.keys("data/in/")) == sorted(f"data/in/{name}" for name in HOSTILE)
    assert "0 file(s), 0 B; 11 equal already" in place.run("push", "files", "data/in", "--checksum").stdout

    assert place.run("sync", "s3:data/in", "back").returncode == 0
    assert {name: (place.folder / "back" / name).read_bytes() for name in HOSTILE} == HOSTILE
    assert "11 equal already" in place.run("pull", "data/in", "back").stdout


def test_ls(place: Place) -> None:
    place.write({"a": b"123", "b/c": b""})
    place.run("push", "files", "data/")
    assert [(row["name"], row["size"]) for row in place.listed()] == [("b/", None), ("a", 3)]
    assert [row["name"] for row in place.listed("s3:", "--recursive")] == ["data/a", "data/b/c"]
    assert "3 B" in place.run("ls", f"s3://{place.bucket}/data").stdout
    assert place.listed("nothing") == []


def test_many_pages(place: Place) -> None:
    http = Crt(place.target, place.bucket)
    for future in [s3.put(http, f"data/{number:04}", b"") for number in range(1100)]:
        future.result()
    assert len(place.keys("data/")) == 1100


def test_filters_and_deletion(place: Place) -> None:
    place.write({"a.txt": b"a", "b.tmp": b"b", "c/d.txt": b"d"})
    place.run("push", "files", "data/x", "--exclude", "*.tmp")
    assert place.keys() == ["data/x/a.txt", "data/x/c/d.txt"]
    (place.folder / "files/c/d.txt").unlink()
    assert "1 equal already" in place.run("push", "files", "data/x", "--exclude", "*.tmp").stdout

    refused = place.run("push", "files", "data/x", "--delete")
    assert (refused.returncode, len(place.keys())) == (1, 2)
    assert "--yes" in refused.stderr
    place.run("push", "files", "data/x", "--delete", "--yes", "--include", "a*")  # what is not admitted stays
    assert place.keys() == ["data/x/a.txt", "data/x/c/d.txt"]
    assert "1 deleted" in place.run("push", "files", "data/x", "--delete", "--yes").stdout
    assert place.keys() == ["data/x/a.txt", "data/x/b.tmp"]

    place.write({"mine": b""}, "back")
    place.run("pull", "data/x", "back")
    assert (place.folder / "back/mine").exists()
    assert "1 deleted" in place.run("pull", "data/x", "back", "--delete", "--yes").stdout
    assert not (place.folder / "back/mine").exists()


def test_keys_that_would_leave_the_directory(place: Place) -> None:
    http = Crt(place.target, place.bucket)
    for key in ("data/../../escape", "data//etc/x", "data/fine"):
        s3.put(http, key, b"x").result()
    pulled = place.run("pull", "data", "deep/er")
    assert pulled.returncode == 1
    assert "would leave the directory" in pulled.stdout
    assert sorted(path.name for path in place.folder.rglob("*") if path.is_file()) == ["fine", "pcinfra.yaml"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("push", "nowhere"), 2, "nowhere"),
        (("pull", "nothing"), 2, "there is nothing"),
        (("push", ".", "/data"), 2, "does not begin with /"),
        (("push", ".", "s3://somebody-elses/x"), 1, "--bucket somebody-elses"),
        (("push", ".", "s3:", "--delete", "--yes"), 1, "would delete what clusters need"),
        (("sync", "a", "b"), 2, "neither is in S3"),
        (("ls", "--bucket", "there-is-no-such-bucket"), 1, "NoSuchBucket"),
    ],
)
def test_mistakes_are_told(place: Place, arguments: tuple[str, ...], code: int, says: str) -> None:
    done = place.run(*arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert says in done.stderr


def test_what_may_not_be_read_is_told_and_the_rest_is_sent(place: Place) -> None:
    files = place.write({"open": b"x", "shut": b"x", "folder/in": b"x"})
    (files / "shut").chmod(0)
    (files / "folder").chmod(0)
    held_back = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    done = place.run("push", "files", before=() if os.geteuid() else held_back)
    (files / "folder").chmod(0o700)
    assert done.returncode == 1
    assert "shut: Permission denied" in done.stdout
    assert "folder: Permission denied" in done.stdout
    assert place.keys() == ["data/open"]


def test_a_killed_transfer_is_continued(place: Place) -> None:
    file = place.write({"large": b""}) / "large"
    with open(file, "wb") as stream:
        for number in range(96):
            stream.write(bytes([number]) * MIB)
    http = Crt(place.target, place.bucket)
    process = subprocess.Popen([*COMMAND, "data", "push", "files"], cwd=place.folder, env=place.env)
    while not (upload := s3.unfinished_upload(http, "data/large")) or not s3.parts_of(http, "data/large", upload):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert place.keys() == []
    done = place.run("push", "files")
    assert "were there from an earlier try" in done.stdout, done
    assert s3.unfinished_upload(http, "data/large") == ""
    assert place.run("pull", "data", "back").returncode == 0
    assert subprocess.run(["cmp", file, place.folder / "back/large"], check=False).returncode == 0


def test_a_missing_bucket_and_a_dead_line(local_target: Target) -> None:
    with pytest.raises(NotFound):
        next(s3.pages(Crt(local_target, "there-is-no-such-bucket"), ""))
    dead = Target("us-east-1", endpoint=f"http://127.0.0.1:{closed_port()}", credentials=("a", "b"))
    with pytest.raises(Unreachable, match="the same command again"):
        next(s3.pages(Crt(dead, "any"), ""))


def test_no_credentials(local_target: Target) -> None:
    with pytest.raises(CredentialsError):
        Crt(Target("us-east-1", endpoint=local_target.endpoint), "any")


def test_s3_keeps_what_was_put_and_refuses_an_upload_it_does_not_know(place: Place) -> None:
    http = Crt(place.target, place.bucket)
    s3.put(http, "data/a", b"content").result()
    cloud = Aws(place.target)
    kept = cloud.call("s3", "HeadObject", Bucket=place.bucket, Key="data/a", ChecksumMode="ENABLED")
    assert kept["ETag"].strip('"') == "9a0364b9e99bb480dd25e1f0284c8555"
    with pytest.raises(CloudError):
        s3.end_upload(http, "data/a", "no-such-upload", {1: ("x", "x")})


# --- Lustre ---------------------------------------------------------------------------------------------------------


@dataclass
class Lustre:
    """A folder of a local cloud of its own, brought up without image; ``top`` is the file system itself."""

    folder: Path
    top: Path

    def run(self, *arguments: str) -> str:
        done = pcinfra(self.folder, "--local", "data", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--output", "json"))
        return found

    def exports(self) -> dict[str, list[str]]:
        return {row["path"]: row["auto_export"] for row in self.status()["associations"]}


def pcinfra(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def lustre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lustre]:
    folder = tmp_path_factory.mktemp("lustre")
    assert pcinfra(folder, "init", "--yes").returncode == 0
    try:
        done = pcinfra(folder, "--local", "up", "--skip", "image")
        assert done.returncode == 0, done.stderr
        found = Lustre(folder, folder)
        found.top = folder / ".pcinfra/local/filesystems" / found.status()["file_system"]
        yield found
    finally:
        pcinfra(folder, "local", "stop")


def test_lustre_there_and_back(lustre: Lustre) -> None:
    exports = lustre.exports()
    assert exports["/checkpoints"] == ["NEW", "CHANGED"]
    assert exports["/data"] == []
    _check_import(lustre)
    _check_export(lustre)
    (lustre.top / "checkpoints/last").write_text("weights")
    assert "exported" in lustre.run("export")
    found = lustre.status()
    assert set(found) == {"file_system", "oldest_waiting_seconds", "associations", "tasks"}
    kinds = [task["type"].partition("_")[0] for task in found["tasks"][:3]]
    assert kinds == ["EXPORT", "EXPORT", "IMPORT"]
    assert lustre.exports() == exports  # automatic export is on again
    assert "not exported by itself: what is written below /lustre/data" in lustre.run("status")
    done = pcinfra(lustre.folder, "--local", "data", "export", "/lustre/scratch")
    assert done.returncode == 2
    assert "no association covers it" in done.stderr


def _check_import(lustre: Lustre) -> None:
    """The association of results does not import by itself."""
    (lustre.folder / "in").mkdir()
    (lustre.folder / "in/file").write_text("from S3")
    lustre.run("push", "in", "results/in")
    assert not (lustre.top / "results/in/file").exists()
    assert "imported" in lustre.run("import", "results")
    assert (lustre.top / "results/in/file").read_text() == "from S3"


def _check_export(lustre: Lustre) -> None:
    """The association of data does not export by itself."""
    (lustre.top / "data/run1").mkdir()
    (lustre.top / "data/run1/file").write_text("from Lustre")
    (lustre.top / "data/other").write_text("not asked for")
    lustre.run("export", "/lustre/data/run1")
    names = [row["name"] for row in json.loads(lustre.run("ls", "data/", "-r", "-o", "json"))]
    assert "run1/file" in names
    assert "other" not in names
    lustre.run("pull", "data/run1", "out")
    assert (lustre.folder / "out/file").read_text() == "from Lustre"
