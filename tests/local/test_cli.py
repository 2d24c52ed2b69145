"""``pcinfra local``, as it is typed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pcinfra.aws import Aws, Target

pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    pcinfra(tmp_path, "stop")


def pcinfra(folder: Path, *arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pcinfra.cli.main", *before, "local", *arguments]
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_start_status_stop_reset(folder: Path) -> None:
    url = pcinfra(folder, "start").stdout.strip()
    assert url.startswith("http://127.0.0.1:")
    assert pcinfra(folder, "start").stdout.strip() == url

    exports = pcinfra(folder, "start", "--export").stdout
    program = f'{exports}\nexec "$0" -c "$1"'
    code = "import boto3; boto3.client('s3', region_name='us-east-1').create_bucket(Bucket='made-by-boto3')"
    subprocess.run(["bash", "-c", program, sys.executable, code], check=True)

    found = json.loads(pcinfra(folder, "status", "--output", "json").stdout)
    assert (found["running"], found["endpoint"], found["resources"]) == (True, url, {"buckets": 1})
    table = pcinfra(folder, "status")
    assert url in table.stdout
    assert table.returncode == 0

    assert pcinfra(folder, "stop").stdout == "stopped\n"
    stopped = json.loads(pcinfra(folder, "status", "-o", "json").stdout)
    assert (stopped["running"], stopped["pid"], stopped["resources"]) == (False, None, {"buckets": 1})

    refused = pcinfra(folder, "reset")
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert pcinfra(folder, "reset", "--yes").stdout == "reset\n"
    assert json.loads(pcinfra(folder, "status", "-o", "json").stdout)["resources"] == {}


def test_nothing_is_there(folder: Path) -> None:
    for arguments in (["status"], ["stop"], ["reset"]):
        assert pcinfra(folder, *arguments).returncode == 0
    assert "stopped" in pcinfra(folder, "status").stdout
    assert not (folder / ".pcinfra").exists()


def test_another_directory(folder: Path) -> None:
    where = ["--directory", "else where"]
    url = pcinfra(folder, "start", *where).stdout.strip()
    assert json.loads(pcinfra(folder, "status", *where, "-o", "json").stdout)["endpoint"] == url
    assert not (folder / ".pcinfra").exists()
    assert pcinfra(folder, "stop", *where).stdout == "stopped\n"


def test_a_project_has_one_from_every_folder_of_it(folder: Path) -> None:
    (folder / "pcinfra.yaml").write_text("project: one\n")
    below = folder / "jobs" / "more"
    below.mkdir(parents=True)
    url = pcinfra(below, "start").stdout.strip()
    assert json.loads(pcinfra(folder, "status", "-o", "json").stdout)["endpoint"] == url
    assert not (below / ".pcinfra").exists()
    assert pcinfra(folder.parent, "stop", before=["-f", f"{folder.name}/pcinfra.yaml"]).stdout == "stopped\n"


def test_help_teaches(folder: Path) -> None:
    answer = pcinfra(folder, "--help").stdout
    assert "aws s3 ls" in answer
    for command in ("start", "stop", "status", "reset"):
        assert command in answer


def test_what_goes_wrong_on_purpose_is_checked(folder: Path) -> None:
    assert pcinfra(folder, "capacity", "p5.48xlarge", "2").returncode == 1, "it does not run"
    for wrong in ("-1", "many", "1e3", "²"):
        assert pcinfra(folder, "capacity", "--", "p5.48xlarge", wrong).returncode == 2
    done = pcinfra(folder, "fail-node", "../../x")
    assert (done.returncode, "no machine of that name runs" in done.stderr) == (1, True)
    assert pcinfra(folder, "end-reservation", "cr-0", "5").returncode == 1, "it does not run"


def test_a_job_is_told_when_the_capacity_block_of_its_queue_ends(folder: Path) -> None:
    url = pcinfra(folder, "start").stdout.strip()
    cloud = Aws(Target("us-east-1", url, credentials=("local", "local")))
    offer = cloud.call("ec2", "DescribeCapacityBlockOfferings", InstanceType="p5.48xlarge", InstanceCount=2,
                       CapacityDurationHours=24)["CapacityBlockOfferings"][0]  # fmt: skip
    bought = cloud.call("ec2", "PurchaseCapacityBlock", CapacityBlockOfferingId=offer["CapacityBlockOfferingId"],
                        InstancePlatform="Linux/UNIX")  # fmt: skip
    block = bought["CapacityReservation"]["CapacityReservationId"]
    done = pcinfra(folder, "end-reservation", "cr-unknown", "5")
    assert (done.returncode, "EC2 has no reservation 'cr-unknown'" in done.stderr) == (1, True)
    assert pcinfra(folder, "end-reservation", block, "7200").returncode == 0
    queue = f"{{name: gpu, capacity_type: CAPACITY_BLOCK, capacity_reservation: {block}}}"
    (folder / "pcinfra.yaml").write_text(f"project: one\nclusters: {{train: {{queues: [{queue}]}}}}\n")
    command = [sys.executable, "-m", "pcinfra.cli.main", "--local", "submit", "--dry-run", "--", "true"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    found = re.search(r"^ends=(\d+)$", said.stdout, re.MULTILINE)
    assert found
    assert 0 < int(found[1]) - time.time() <= 7200
    assert f"note: nodes in {block} are terminated from" in said.stderr
    assert "with requeue: 1 the job would go on in a later one" in said.stderr
