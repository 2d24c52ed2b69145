"""``pcinfra doctor`` as it is typed: on the local cloud, and without credentials."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")


def pcinfra(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pcinfra.cli.main", *arguments]
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def doctor(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    done = pcinfra(folder, *options, "doctor", "--output", "json")
    return done.returncode, {line["what"]: line for line in json.loads(done.stdout)}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    pcinfra(tmp_path, "init", "--yes")
    yield tmp_path
    pcinfra(tmp_path, "local", "stop")


def test_the_local_cloud(folder: Path) -> None:
    status, lines = doctor(folder, "--local")
    failures = [line for line in lines.values() if line["verdict"] == "failure"]
    assert status == bool(failures)
    assert not [line for line in failures if line["what"] not in ("Node.js", "pcluster")]
    assert lines["credentials"]["verdict"] == "ok"
    assert lines["region"]["found"] == "us-east-1"
    assert "us-east-1a" in lines["offers of p5.48xlarge"]["found"]
    assert "does not exist" in lines["bucket parallelcluster-123456789012-us-east-1"]["found"]
    assert lines["VPCs"]["found"] == "1 of 5 in use, 1 more"
    assert "not implemented by the local cloud" in lines["FSx capacity"]["found"]

    assert "failure(s)" in pcinfra(folder, "--local", "doctor").stdout


def test_without_credentials_the_rest_is_checked(folder: Path) -> None:
    status, lines = doctor(folder)
    assert status == 1
    assert lines["credentials"]["verdict"] == "failure"
    assert lines["credentials"]["fix"]
    assert lines["Python"]["verdict"] == "ok"
    assert lines["vCPU quotas"]["found"] == "not checked: that needs credentials"


def test_without_a_project_file_the_machine_is_checked(tmp_path: Path) -> None:
    status, lines = doctor(tmp_path)
    assert status == 1
    assert lines["project file"]["verdict"] == "failure"
    assert lines["Python"]["verdict"] == "ok"
    assert "bucket" not in " ".join(lines)
    assert "try: " in pcinfra(tmp_path, "doctor").stdout
