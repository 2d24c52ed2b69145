"""An image is imported once, whoever asks, and is there whole or not at all. Real bash; programs as data."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pcinfra.jobs.slurm.render import import_sh, render
from pcinfra.jobs.spec import JobSpec

DIGEST = "ab" * 32
ENROOT = """#!/bin/bash
echo "$*" >>"$LOG"
out=$3
printf half >"$out"
sleep "$SLOW"
[ -z "${FAIL:-}" ] || exit 1
printf whole >"$out"
"""
UNSQUASHFS = """#!/bin/bash
[ "$(cat "$2")" = whole ]
"""


class Cluster:
    def __init__(self, top: Path) -> None:
        self.top = top
        self.log = top / "log"
        self.target = top / "runs" / ".images" / f"{DIGEST}.sqsh"
        (top / "runs" / "r-1").mkdir(parents=True)
        self.target.parent.mkdir()
        (top / "bin").mkdir()
        for name, text in (("enroot", ENROOT), ("unsquashfs", UNSQUASHFS)):
            (top / "bin" / name).write_text(text)
            (top / "bin" / name).chmod(0o755)
        self.script = top / "import.sh"
        self.script.write_text(import_sh(JobSpec(command=("a",), image=f"r.io/a/b:1@sha256:{DIGEST}")))

    def start(self, **more: str) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": f"{self.top}/bin:/usr/bin:/bin", "LOG": str(self.log), "SLOW": "0.2",
            "SLURM_SUBMIT_DIR": str(self.top / "runs" / "r-1"), **more,
        }  # fmt: skip
        return subprocess.Popen(["bash", str(self.script)], env=environment, stderr=-1, process_group=0)

    def imports(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_eight_at_once_import_once(cluster: Cluster) -> None:
    running = [cluster.start() for _ in range(8)]
    assert [process.wait() for process in running] == [0] * 8
    for process in running:
        assert process.stderr
        process.stderr.close()
    (call,) = cluster.imports()
    assert call.endswith(f" docker://r.io#a/b@sha256:{DIGEST}")
    assert cluster.target.read_text() == "whole"
    assert sorted(path.name for path in cluster.target.parent.iterdir()) == [f"{DIGEST}.sqsh", f"{DIGEST}.sqsh.lock"]


def test_one_that_is_killed_leaves_nothing_that_looks_whole(cluster: Cluster) -> None:
    with cluster.start(SLOW="60") as process:
        while not list(cluster.target.parent.glob("*.part")):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert not cluster.target.exists()
    with cluster.start() as process:
        assert process.wait() == 0
    assert cluster.target.read_text() == "whole"
    assert not list(cluster.target.parent.glob("*.part"))


@pytest.mark.parametrize(("more", "why"), [({"FAIL": "1"}, b"enroot import failed"), ({}, b"no squashfs")])
def test_what_fails_or_is_broken_is_not_taken(more: dict[str, str], why: bytes, cluster: Cluster) -> None:
    if not more:
        (cluster.top / "bin" / "unsquashfs").write_text("#!/bin/sh\nexit 1\n")
    with cluster.start(**more) as process:
        _, said = process.communicate()
    assert process.returncode == 1
    assert why in said
    assert sorted(path.name for path in cluster.target.parent.iterdir()) == [f"{DIGEST}.sqsh.lock"]


def test_an_image_of_a_registry_is_imported_for_all() -> None:
    for image, container, expected in (
        (f"r.io/a@sha256:{DIGEST}", "required", True),
        (f"r.io/a@sha256:{DIGEST}", "off", False),
        ("r.io/a:1", "required", True),
        ("r.io/a:1", "off", False),
        ("/lustre/a.sqsh", "required", False),
    ):
        spec = JobSpec.model_validate({"command": ["a"], "image": image, "container": container}, strict=False)
        assert ("import.sh" in {file.name for file in render(spec, "x-1").files}) is expected
