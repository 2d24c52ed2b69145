"""Lustre of the local cloud as a user sees it: jobs, clusters and a teardown, with S3 behind it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pcinfra.localcloud.process import LocalCloud
from tests.local.services.conftest import client_of
from tests.waiting import until_equal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="without root, /lustre is not there under its name"),
]


class Folder:
    """A project folder, the command line run in it, and its bucket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.local = LocalCloud(path / ".pcinfra" / "local")

    def pcinfra(self, *arguments: str, code: int = 0) -> str:
        """Run a command that exits with ``code``, and return what it printed; of a failure, its error."""
        command = [sys.executable, "-m", "pcinfra.cli.main", "--local", *arguments]
        done = subprocess.run(command, cwd=self.path, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout

    def job(self, script: str) -> str:
        """Run ``script`` on one node to its end and return what it printed."""
        content = {"command": ["bash", "-ec", script], "cpus": 1}
        (self.path / "job.yaml").write_text(yaml.safe_dump(content))
        return self.pcinfra("submit", "job.yaml", "--follow")

    @property
    def s3(self) -> Any:
        return client_of(self.local.ensure().url)("s3")

    @property
    def bucket(self) -> str:
        return str(self.s3.list_buckets()["Buckets"][0]["Name"])

    def keys(self, prefix: str) -> list[str]:
        rows = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [row["Key"] for row in rows if row["Key"] != prefix]

    @property
    def lustre(self) -> Path:
        (directory,) = (self.local.directory / "filesystems").glob("fs-*")
        return directory


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    monkeypatch.setenv("PCINFRA_LOCAL_DELAY", "0.1")
    folder = Folder(tmp_path)
    try:
        yield folder
    finally:
        folder.local.reset()


def test_files_of_jobs_reach_s3_outlive_clusters_and_are_exported_before_the_end(folder: Folder) -> None:
    for command in (["init", "--yes"], ["up"], ["cluster", "create", "train"]):
        folder.pcinfra(*command)
    folder.s3.put_object(Bucket=folder.bucket, Key="data/set/one", Body=b"a sample")
    until_equal((folder.lustre / "data/set/one").exists, True)

    said = folder.job(
        "cat /lustre/data/set/one; mkdir /lustre/results/run; exec >/lustre/results/run/log; echo result;"
        "echo kept | tee /lustre/kept ~/kept >/dev/null; ! touch /lustre/data/mine 2>/dev/null"
    )
    assert said.strip() == "a sample"
    until_equal(lambda: folder.keys("results/"), ["results/run/", "results/run/log"])
    answer = folder.s3.get_object(Bucket=folder.bucket, Key="results/run/log")
    assert answer["Body"].read() == b"result\n"
    owner = (folder.lustre / "results/run/log").stat().st_uid
    assert (answer["Metadata"]["file-owner"], owner != 0) == (str(owner), True)

    folder.pcinfra("cluster", "delete", "train", "--yes")
    folder.pcinfra("cluster", "create", "train")
    said = folder.job("cat /lustre/kept ~/kept /lustre/results/run/log")
    assert said.splitlines() == ["kept", "kept", "result"]

    old = time.time() - 3600
    with (folder.lustre / "checkpoints" / "last").open("wb") as checkpoint:
        checkpoint.write(b"weights")
        checkpoint.flush()
        os.utime(checkpoint.fileno(), (old, old))
        time.sleep(1)
        assert folder.keys("checkpoints/") == [], "it is still being written"
        refused = folder.pcinfra("down", "--yes", code=1)
        assert "1 file(s) are on Lustre only: /lustre/kept\n" in refused
        assert "down --discard /lustre/kept" in refused
        folder.pcinfra("down", "--yes", "--discard", "/lustre/kept")
    assert folder.keys("checkpoints/") == ["checkpoints/last"]
    assert folder.s3.get_object(Bucket=folder.bucket, Key="checkpoints/last")["Body"].read() == b"weights"
    until_equal(lambda: list((folder.local.directory / "filesystems").glob("fs*")), [])
