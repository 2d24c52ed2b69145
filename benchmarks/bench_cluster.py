"""A cluster on the local cloud: ``cluster create`` and a first job, against pcluster's own way to CREATE_COMPLETE.

Both start from the same infrastructure and make a cluster of the same configuration, in turn. The peer is the
unmodified pcluster, which returns at once; its time ends when CloudFormation says CREATE_COMPLETE, looked at often.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import report
from pcinfra import cloudformation
from pcinfra.aws import Aws, Target

TARGET = 1.3
TURNS = 3
PCINFRA = [sys.executable, "-m", "pcinfra.cli.main", "--local"]
PCLUSTER = [sys.executable, "-m", "pcluster.cli.entrypoint"]
PROJECT = """\
project: bench
clusters:
  train:
    head_node: {instance_type: m5.xlarge}
    queues: [{name: work, instance_type: c7i.large, min_nodes: 1, max_nodes: 2}]
"""
JOB = """\
name: first
nodes: 1
command: [hostname]
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "pcinfra.yaml").write_text(PROJECT, encoding="utf-8")
        (place / "job.yaml").write_text(JOB, encoding="utf-8")
        try:
            pcinfra(place, "up", "--skip", "image")
            (place / "cluster.yaml").write_text(pcinfra(place, "cluster", "render", "train"), encoding="utf-8")
            ours, theirs = zip(*((timed_ours(place), timed_theirs(place)) for _ in range(TURNS)), strict=True)
        finally:
            pcinfra(place, "local", "reset", "--yes")
    for mine, other in zip(ours, theirs, strict=True):
        print(f"     create and first job {mine:.1f} s; pcluster to CREATE_COMPLETE {other:.1f} s")
    return 0 if report("cluster create to first job done", min(ours) / min(theirs), TARGET) else 1


def timed_ours(place: Path) -> float:
    begin = time.perf_counter()
    pcinfra(place, "cluster", "create", "train")
    pcinfra(place, "submit", "job.yaml", "--follow")
    seconds = time.perf_counter() - begin
    pcinfra(place, "cluster", "delete", "train", "--yes")
    return seconds


def timed_theirs(place: Path) -> float:
    environment = {**os.environ, **exported(place), "AWS_DEFAULT_REGION": "us-east-1"}
    keys = (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    cloud = Aws(Target("us-east-1", environment["AWS_ENDPOINT_URL"], credentials=keys))
    begin = time.perf_counter()
    pcluster(environment, "create-cluster", "-n", "peer", "-c", str(place / "cluster.yaml"))
    status = still(cloud)
    seconds = time.perf_counter() - begin
    if status != "CREATE_COMPLETE":
        raise SystemExit(f"pcluster: {status}")
    pcluster(environment, "delete-cluster", "-n", "peer")
    still(cloud)
    return seconds


def still(cloud: Aws) -> str:
    """Wait until the peer's stack does not change any more, and return its status."""
    while True:
        stack = cloudformation.find(cloud, "peer")
        if stack is None or not stack.status.endswith("_IN_PROGRESS"):
            return stack.status if stack else ""
        time.sleep(0.1)


def pcluster(environment: dict[str, str], *arguments: str) -> None:
    quiet = ["--suppress-validators", "type:KeyPairValidator"] if arguments[0] == "create-cluster" else []
    subprocess.run([*PCLUSTER, *arguments, *quiet], env=environment, check=True, stdout=subprocess.DEVNULL)


def pcinfra(place: Path, *arguments: str) -> str:
    command = [*PCINFRA, *arguments]
    done = subprocess.run(command, cwd=place, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


def exported(place: Path) -> dict[str, str]:
    lines = pcinfra(place, "local", "start", "--export").splitlines()
    return dict(line.removeprefix("export ").partition("=")[::2] for line in lines)


if __name__ == "__main__":
    sys.exit(main())
