"""The command line from a job file to its log and its exit code, through SSM Run Command of the local cloud."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pcinfra.aws import Aws, Patience, Target
from pcinfra.doors import Doors
from pcinfra.engine import Executor, Plan, Threads
from pcinfra.errors import NotFound
from pcinfra.jobs.follow import Follower
from pcinfra.jobs.headnode import SsmHeadNode, head_node_id
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.slurm.cancel import cancel_all
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import render
from pcinfra.jobs.spec import JobSpec
from pcinfra.shell import Subprocess
from tests.faults import Fault, failing

pytestmark = pytest.mark.slow

WORDS = ["", "-n", "$(id)", "`id`", "a\nb", 'it\'s "fine" # no', "\\", "*", "한글 🙂", "%n", "x" * 5000]


class Folder:
    """A project folder, and the command line run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pcinfra(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pcinfra.cli.main", "--local", *arguments]
        return subprocess.run(command, cwd=self.path, capture_output=True, text=True, timeout=180, check=False)

    def job(self, name: str, **fields: object) -> str:
        file = self.path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(fields, allow_unicode=True))
        return file.name

    def submitted(self, name: str, text: str, **fields: object) -> str:
        done = self.pcinfra("submit", self.job(name, command=["bash", "-c", text], cpus=1, **fields))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """A project whose cluster runs."""
    folder = Folder(tmp_path_factory.mktemp("project"))
    try:
        for command in (["init", "--yes"], ["up"], ["cluster", "create", "train"]):
            done = folder.pcinfra(*command)
            assert done.returncode == 0, done.stdout + done.stderr
        yield folder
    finally:
        folder.pcinfra("local", "reset", "--yes")


@pytest.fixture
def doors(folder: Folder) -> Doors:
    from pcinfra.localcloud.process import LocalCloud

    endpoint = LocalCloud(folder.path / ".pcinfra" / "local").ensure()
    target = Target("us-east-1", endpoint.url, credentials=endpoint.credentials)
    return Doors(Aws(target), Subprocess(), target)


def test_images_that_nobody_uses_are_removed(folder: Folder) -> None:
    done = folder.pcinfra("image", "prune", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "no imported images\n"), done.stderr
    assert folder.pcinfra("image", "prune", "--days", "0").returncode == 2


def test_hello_streams_its_log_and_exits_with_0(folder: Folder) -> None:
    done = folder.pcinfra("submit", "examples/hello.yaml", "--follow")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    for number in (1, 2):
        assert any(f": Hello from node {number} of 2: " in line for line in lines)
    assert "I am root" not in done.stdout
    assert "submitted to train as job " in done.stderr
    assert done.stderr.splitlines()[-1].endswith(": done")


def test_jobs_says_when_the_capacity_of_a_cluster_with_jobs_ends(folder: Folder, doors: Doors) -> None:
    run = folder.submitted("block", "sleep 600")
    offer = doors.cloud.call("ec2", "DescribeCapacityBlockOfferings", InstanceType="p5.48xlarge", InstanceCount=1,
                             CapacityDurationHours=24)["CapacityBlockOfferings"][0]  # fmt: skip
    bought = doors.cloud.call("ec2", "PurchaseCapacityBlock", InstancePlatform="Linux/UNIX",
                              CapacityBlockOfferingId=offer["CapacityBlockOfferingId"])  # fmt: skip
    block = bought["CapacityReservation"]["CapacityReservationId"]
    file = folder.path / "pcinfra.yaml"
    before = file.read_text()
    project = yaml.safe_load(before)
    queue = {"name": "gpu", "capacity_type": "CAPACITY_BLOCK", "capacity_reservation": block}
    try:
        file.write_text(yaml.safe_dump({**project, "clusters": {"train": {"queues": [queue]}}}))
        assert folder.pcinfra("local", "end-reservation", block, "7200").returncode == 0
        said = folder.pcinfra("jobs", "--state", "active")
        assert run in said.stdout
        told = rf"^nodes in {block} are terminated from .* on, in [12] h.*: save checkpoints$"
        assert re.search(told, said.stderr, re.M)
        folder.pcinfra("cancel", run)
        assert folder.pcinfra("jobs", "--state", "active").stderr == ""
    finally:
        file.write_text(before)
        folder.pcinfra("cancel", run)


# A node that fails ends the other: each waits until both have spoken.
TOGETHER = 'cd "$PCINFRA_RUN_DIR"; : >"at.$SLURM_NODEID"; until [ -e at.0 ] && [ -e at.1 ]; do sleep 0.1; done'


@pytest.mark.parametrize(("text", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_the_exit_code_is_the_jobs(text: str, code: int, folder: Folder) -> None:
    file = folder.job("fails", command=["bash", "-c", f"echo before; {TOGETHER}; {text}"], nodes=2)
    done = folder.pcinfra("submit", file, "--follow")
    assert done.returncode == code, done.stderr
    assert done.stdout.count(": before\n") == 2
    assert f"failed, exit code {code}" in done.stderr


def test_hostile_words_arrive_exactly(folder: Folder) -> None:
    probe = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['WORDS'], os.getuid()]))"
    file = folder.job("hostile", command=["python3", "-c", probe, *WORDS], environment={"WORDS": "".join(WORDS)})
    done = folder.pcinfra("submit", file, "--follow")
    assert done.returncode == 0, done.stderr
    words, together, user = json.loads(done.stdout)
    assert words == WORDS
    assert together == "".join(WORDS)
    assert user != 0


def test_a_run_is_listed_shown_waited_for_and_cancelled(folder: Folder) -> None:
    run = folder.submitted("long", "echo started; sleep 600")
    assert folder.pcinfra("cancel", run).returncode == 0
    waited = folder.pcinfra("wait", run)
    assert (waited.returncode, waited.stdout) == (143, "")
    listed = json.loads(folder.pcinfra("jobs", "-o", "json").stdout)
    assert next(each for each in listed if each["run"] == run)["state"] == "cancelled"
    assert run in folder.pcinfra("jobs").stdout

    short = folder.submitted("short", "echo said; exit 3")
    assert folder.pcinfra("wait", short).returncode == 3
    shown = folder.pcinfra("logs", short)
    assert (shown.returncode, shown.stdout.splitlines()[0]) == (0, "said")
    assert folder.pcinfra("logs", short, "--follow").returncode == 3
    assert "failed, exit code 3" in folder.pcinfra("cancel", short).stderr


def test_a_narrow_terminal_shows_the_ids_of_runs_in_one_piece(folder: Folder) -> None:
    run = folder.submitted("with-a-rather-long-name", "true")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    command = [sys.executable, "-m", "pcinfra.cli.main", "--local", "jobs", "--limit", "2"]
    subprocess.run(command, cwd=folder.path, stdout=theirs, timeout=180, check=True)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(ours, 4096).decode())  # as much as a terminal holds unread
    os.close(ours)
    os.close(theirs)
    assert re.search(rf"^{run} ", shown, re.M), shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_run_is_told_of_reported_and_run_again(folder: Folder) -> None:
    run = folder.submitted("told", f"echo said; {TOGETHER}; exit 3", nodes=2, gpus=8)
    assert folder.pcinfra("wait", run[:-3]).returncode == 3
    (listed,) = json.loads(folder.pcinfra("jobs", "told", "--state", "failed", "-o", "json").stdout)
    assert (listed["run"], listed["cluster"], listed["gpus"], listed["exit_code"]) == (run, "train", 16, 3)
    assert listed["cost_usd"] >= 0
    shown = folder.pcinfra("show", run).stdout
    assert "failed, exit code 3" in shown
    assert "bash -c 'echo said; cd " in shown
    told = folder.pcinfra("report", run, "--html", "report.html", "-o", "json")
    report = json.loads(told.stdout)
    assert (report["state"], len(report["attempts"]), report["attempts"][0]["gpus"]) == ("failed", 1, 16)
    assert report["attempts"][0]["training_seconds"] == report["lost_seconds"]
    page = (folder.path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert run in page
    again = folder.pcinfra("rerun", run, "--follow")
    assert (again.returncode, again.stdout.count(": said\n")) == (3, 2)


def test_bad_wishes_about_runs_are_refused(folder: Folder) -> None:
    for arguments, why in [
        (("logs", "x", "--since", "yesterday"), "is not a time"),
        (("logs", "x", "--node", "a; id"), "is not a node's name or number"),
        (("show", "../etc"), "is not the name of a run"),
        (("jobs", "--state", "lazy"), "'lazy' is not one of"),
        (("report", "nothing"), "there is no such run"),
    ]:
        done = folder.pcinfra(*arguments)
        assert done.returncode in (1, 2)
        assert why in done.stderr


def test_a_cluster_that_is_not_made_yet_is_no_trouble_to_the_others(folder: Folder) -> None:
    project = (folder.path / "pcinfra.yaml").read_text()
    assert "\nclusters:\n" in project
    (folder.path / "two.yaml").write_text(project.replace("\nclusters:\n", "\nclusters:\n  later: {shape: cpu}\n"))
    both = folder.pcinfra("-f", "two.yaml", "jobs")
    assert (both.returncode, both.stderr) == (0, "")


def test_no_line_is_lost_or_doubled_over_a_connection_that_breaks(folder: Folder, doors: Doors) -> None:
    text = "for i in {1..150}; do echo line $i; sleep 0.05; done; sleep 1; exit 4"
    run = folder.submitted("broken", text, nodes=2)
    turns = itertools.cycle([Fault.RESET, Fault.BROKEN, None, Fault.THROTTLED])

    def choose(key: str) -> Fault | None:
        return next(turns) if key.startswith("ssm.") else None

    shown: list[bytes] = []
    with failing(doors.target.endpoint, choose) as proxy:
        cloud = Aws(replace(doors.target, endpoint=proxy.url), Patience(attempts=1))
        launcher = SlurmLauncher(SsmHeadNode(cloud, head_node_id(doors.cloud, "train"), "ubuntu"))
        status = Follower(launcher, shown.append, lambda _: None).follow(run)
    assert len(proxy.hit) >= 2
    assert status.exit_code == 4
    lines = [line for line in b"".join(shown).decode().splitlines() if ": line " in line]
    for number in (1, 2):
        mine = [line.partition(": ")[2] for line in lines if line.startswith(f"gpu-st-p5-48xlarge-{number}: ")]
        assert mine == [f"line {i}" for i in range(1, 151)]


def test_ctrl_c_leaves_the_job_and_says_how_to_go_on(folder: Folder) -> None:
    file = folder.job("patient", command=["bash", "-c", "echo started; sleep 600"], cpus=1)
    command = [sys.executable, "-m", "pcinfra.cli.main", "--local", "submit", file, "--follow"]
    with subprocess.Popen(command, cwd=folder.path, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    run = next(word for word in said.split() if word.startswith("patient-")).rstrip(":")
    assert f"pcinfra --local logs {run} --follow" in said
    assert f"pcinfra --local cancel {run}" in said
    assert "running" in folder.pcinfra("logs", run).stderr
    assert folder.pcinfra("cancel", run).returncode == 0
    assert folder.pcinfra("wait", run).returncode == 143


def test_what_does_not_exist_is_said(folder: Folder) -> None:
    for arguments, why in [
        (("logs", "nothing"), "there is no such run"),
        (("jobs", "--cluster", "other"), "there is no such cluster"),
        (("submit", "no.yaml"), "no.yaml: cannot be read"),
    ]:
        done = folder.pcinfra(*arguments)
        assert done.returncode in (1, 2)
        assert why in done.stderr


def test_a_dry_run_prints_the_files_and_makes_no_call(tmp_path: Path) -> None:
    done = Folder(tmp_path).pcinfra("submit", "examples/hello.yaml", "--dry-run")
    assert done.returncode == 0
    for part in ("# ---- job.sbatch (mode 0600) ----", "#SBATCH --nodes=2", "# ---- node.sh", "export GREETING=Hello"):
        assert part in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_submission_is_one_command(doors: Doors) -> None:
    cloud = Aws(doors.target)
    launcher = SlurmLauncher(SsmHeadNode(cloud, head_node_id(cloud, "train"), "ubuntu"))
    made = render(JobSpec(command=("true",), cpus=1), new_run_id("once"))
    first = launcher.submit(made)
    assert cloud.calls["ssm.SendCommand"] == 1
    assert launcher.submit(made) == first
    assert Follower(launcher, lambda text: None, lambda text: None).follow(made.run).exit_code == 0


def test_files_are_put_and_read_from_an_offset(doors: Doors) -> None:
    head = SsmHeadNode(doors.cloud, head_node_id(doors.cloud, "train"), "ubuntu")
    content = random.Random(3).randbytes(70_000)
    head.put({"a place/it's": content, "a place/empty": b""})
    read, offset = b"", 0
    while True:
        piece, offset = head.read("a place/it's", offset)
        if not piece:
            break
        read += piece
    assert read == content
    assert offset == len(content)
    assert head.read("a place/empty", 0) == (b"", 0)
    with pytest.raises(NotFound, match="there is no such file"):
        head.read("a place/none", 0)


def test_every_job_is_cancelled_before_its_cluster_goes(folder: Folder, doors: Doors) -> None:
    runs = [folder.submitted(f"left{number}", "sleep 600", nodes=2) for number in range(2)]
    plan = Plan((cancel_all("train", "ubuntu"), cancel_all("gone")))
    results = _carry_out(plan, doors)
    assert results["jobs/train"] == "2 cancelled"
    assert results["jobs/gone"] == "not asked: there is no such cluster"
    assert _carry_out(plan, doors)["jobs/train"] == "none were there"
    for run in runs:
        assert folder.pcinfra("wait", run).returncode == 143


def _carry_out(plan: Plan, doors: Doors) -> dict[str, str]:
    workers = Threads(2)
    try:
        return Executor(doors, workers, limit=120).run(plan)
    finally:
        workers.close()
