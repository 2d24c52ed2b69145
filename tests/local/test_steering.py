"""Steering runs on a real Slurm of two nodes: requeued, rerun, looked into, and followed through bad days."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pcinfra.errors import CommandFailed, NotFound, Refused, UsageError
from pcinfra.jobs.follow import Follower
from pcinfra.jobs.launcher import EVERYTHING, History, Query, State, Status, Wanted
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.report import Kind, report
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import render
from pcinfra.jobs.spec import JobSpec
from pcinfra.jobs.usage import gpu_hours
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.sessions import Request
from tests.local.machine import NODES, DirectHeadNode, at_terminal_of_head, two_nodes
from tests.waiting import PATIENCE, until

# The first attempt saves a checkpoint and goes on until it is ended; the second one ends by itself.
TWICE = """
for step in 1 2 3; do echo "attempt $PCINFRA_ATTEMPT step $step"; done
[ "$SLURM_NODEID" = 0 ] && printf '{"attempt":%d,"step":3,"time":%d}\\n' "$PCINFRA_ATTEMPT" "$(date +%s)" \
  >>"$PCINFRA_RUN_DIR/checkpoints.jsonl"
[ "$PCINFRA_ATTEMPT" != 0 ] || sleep 600
"""


def submitted(launcher: SlurmLauncher, text: str, name: str = "test", **values: object) -> str:
    spec = JobSpec.model_validate({"command": ("bash", "-c", text), "cpus": 1, **values})
    made = render(spec, new_run_id(name))
    launcher.submit(made)
    return made.run


class Following:
    """Somebody who follows a run in the background."""

    def __init__(self, launcher: SlurmLauncher, run: str) -> None:
        self.shown = b""
        self.notes: list[str] = []
        self.status: Status | None = None
        follower = Follower(launcher, self._show, self.notes.append)
        self._thread = threading.Thread(target=lambda: setattr(self, "status", follower.follow(run)), daemon=True)
        self._thread.start()

    def _show(self, text: bytes) -> None:
        self.shown += text

    def end(self) -> Status:
        self._thread.join(PATIENCE)
        assert self.status is not None, self.notes
        return self.status


@dataclass
class Twice:
    run: str
    following: Following
    status: Status
    refused: str
    history: History


@pytest.fixture(scope="module")
def twice(launcher: SlurmLauncher) -> Twice:
    """A run that was requeued once, and somebody who followed it from its beginning to its end."""
    run = submitted(launcher, TWICE, "twice", nodes=2, gpus=8, logs=None)
    following = Following(launcher, run)
    until(lambda: following.shown.count(b"step 3") == 2)
    time.sleep(1.2)
    waits = launcher.requeue(run)
    assert not waits.state.ended
    until(lambda: launcher.look(run).status.state is not State.RUNNING)
    with pytest.raises(Refused, match="it does not run") as refused:
        launcher.shell(run)
    status = following.end()
    return Twice(run, following, status, str(refused.value), launcher.history(run))


def logs(launcher: SlurmLauncher, run: str, wanted: Wanted = EVERYTHING) -> list[str]:
    shown: list[bytes] = []
    Follower(launcher, shown.append, lambda _: None, wanted=wanted).print_now(run)
    return sorted(b"".join(shown).decode().splitlines())


def steps(lines: list[str]) -> list[str]:
    return [line for line in lines if "attempt " in line and " step " in line]


def test_a_follower_goes_on_with_the_next_attempt(twice: Twice) -> None:
    lines = [f"{node}: attempt {a} step {s}" for node in NODES for a in (0, 1) for s in (1, 2, 3)]
    assert steps(sorted(twice.following.shown.decode().splitlines())) == sorted(lines)
    assert (twice.status.state, twice.status.exit_code) == (State.DONE, 0)
    assert any(note.startswith("waiting: Slurm lets a requeued job wait") for note in twice.following.notes)


def test_every_attempt_is_known(twice: Twice, launcher: SlurmLauncher) -> None:
    first, second = twice.status.attempts
    assert (first.nodes, first.count, first.gpus, first.verdict) == ("gpu-st-p5-[1-2]", 2, 8, "stopped")
    assert (second.exit_code, second.verdict) == (0, "done")
    assert twice.status.submitted <= first.started < (first.ended or 0) <= second.started <= (second.ended or 0)
    assert gpu_hours(twice.status, time.time()) > 0
    listed = {each.run: each for each in launcher.runs(Query(name="twice"))}
    assert [attempt.nodes for attempt in listed[twice.run].attempts] == [first.nodes, second.nodes]


def test_its_history_makes_a_report(twice: Twice) -> None:
    assert twice.history.spec["command"] == ["bash", "-c", TWICE]
    assert [(each.attempt, each.step) for each in twice.history.checkpoints] == [(0, 3), (1, 3)]
    found = report(twice.history, time.time())
    assert 1 <= found.tries[0].seconds(Kind.LOST) < found.tries[0].seconds(Kind.TRAINING) + 1
    assert found.tries[1].seconds(Kind.LOST) == 0
    assert found.seconds(Kind.WAITING) >= 1
    assert found.tries[0].ended.startswith("stopped")


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        (Wanted(node="1"), [f"attempt {a} step {s}" for a in (0, 1) for s in (1, 2, 3)]),
        (Wanted(node=NODES[1], attempt=1), [f"attempt 1 step {s}" for s in (1, 2, 3)]),
        (Wanted(attempt=0), [f"{node}: attempt 0 step {s}" for node in NODES for s in (1, 2, 3)]),
        (Wanted(since=time.time() + 3600), []),
        (Wanted(since=0), [f"{node}: attempt {a} step {s}" for node in NODES for a in (0, 1) for s in (1, 2, 3)]),
    ],
)
def test_a_part_of_the_logs(wanted: Wanted, lines: list[str], twice: Twice, launcher: SlurmLauncher) -> None:
    assert steps(logs(launcher, twice.run, wanted)) == sorted(lines)


def test_since_begins_at_the_line_after_the_last_sign_before_it(
    twice: Twice, launcher: SlurmLauncher, head: DirectHeadNode
) -> None:
    signs = "1000 logs/node-0.1.log=17\n2000 logs/node-0.1.log=34\n"
    head.run(f"cp -r {twice.run} old-{twice.run}; printf '{signs}' >old-{twice.run}/signs.1").check()
    found = logs(launcher, f"old-{twice.run}", Wanted("0", 1, 1500.0))
    assert steps(found) == ["attempt 1 step 2", "attempt 1 step 3"]


def test_a_node_that_it_never_had_is_said(twice: Twice, launcher: SlurmLauncher) -> None:
    with pytest.raises(UsageError, match="has no node nowhere"):
        logs(launcher, twice.run, Wanted(node="nowhere"))
    with pytest.raises(UsageError, match="has no node 2"):
        logs(launcher, twice.run, Wanted(node="2"))
    with pytest.raises(UsageError, match="has no attempt 3; the last one is 2"):
        logs(launcher, twice.run, Wanted(attempt=2))


def test_rerun_is_the_same_again(twice: Twice, launcher: SlurmLauncher, head: DirectHeadNode) -> None:
    run = submitted(launcher, 'echo "$PCINFRA_RUN $1"', "again", environment={"X": "it's $(a)"})
    assert Following(launcher, run).end().exit_code == 0
    head.run(f"echo '#SBATCH --job-name=mine' >>{run}/env.sh").check()  # what was submitted counts, whatever it is
    new = new_run_id("again")
    job = launcher.rerun(run, new)
    assert launcher.rerun(run, new) == job
    assert Following(launcher, new).end().exit_code == 0
    assert logs(launcher, new) == [f"{new} "]
    same = f"for f in spec.json node.sh command.sh env.sh; do cmp {run}/$f {new}/$f || exit; done; ls -A . | grep {new}"
    assert head.run(same).check().stdout.split() == [new]
    with pytest.raises(NotFound):
        launcher.rerun("nothing", new_run_id("again"))
    head.run(f"rm {run}/files").check()
    with pytest.raises(Refused, match="does not know what it was submitted with"):
        launcher.rerun(run, new_run_id("again"))


def test_what_slurm_has_forgotten_cannot_be_requeued(
    twice: Twice, launcher: SlurmLauncher, head: DirectHeadNode
) -> None:
    head.run(f"cp -r {twice.run} forgotten-{twice.run}").check()
    with pytest.raises(Refused, match="Slurm has forgotten it") as caught:
        launcher.requeue(f"forgotten-{twice.run}")
    assert caught.value.hint == f"pcinfra rerun forgotten-{twice.run}"
    assert launcher.look(f"forgotten-{twice.run}").status.state is State.DONE


def test_a_requeued_run_can_still_be_cancelled(launcher: SlurmLauncher) -> None:
    run = submitted(launcher, "sleep 600")
    until(lambda: launcher.look(run).status.state is State.RUNNING)
    launcher.requeue(run)
    until(lambda: launcher.look(run).status.state is State.WAITING)
    launcher.cancel(run)
    assert Following(launcher, run).end().state is State.CANCELLED


def test_a_shell_opens_beside_the_job(launcher: SlurmLauncher, cluster: SlurmCluster, twice: Twice) -> None:
    run = submitted(launcher, "sleep 600", nodes=2, gpus=8)
    until(lambda: launcher.look(run).status.state is State.RUNNING)
    with pytest.raises(UsageError, match="has no node elsewhere"):
        launcher.shell(run, "elsewhere")
    way = launcher.shell(run, "1")
    assert not isinstance(way, Request)
    command = at_terminal_of_head(cluster, way)
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        os.write(ours, b'echo "I am $(id -un) on $SLURMD_NODENAME, $CUDA_VISIBLE_DEVICES, $(basename $PWD)"; exit 7\n')
        said = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:
                break
            if not piece:
                break
            said += piece
    os.close(ours)
    assert process.returncode == 7, said
    who = "ubuntu" if os.geteuid() == 0 else os.environ.get("USER", "")
    assert f"I am {who}" in said.decode()
    assert f" on {NODES[1]}, 0,1,2,3,4,5,6,7, {run}" in said.decode()
    launcher.cancel(run)
    assert "it does not run" in twice.refused


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="kills by name, in namespaces")
def test_a_controller_that_dies_is_no_end(tmp_path: Path) -> None:
    """Its log goes on without slurmctld, and its exit code is right: from its own record, or when Slurm is back."""
    cluster = two_nodes(tmp_path / "train")  # its own: what others run must not suffer
    cluster.start()
    try:
        launcher = SlurmLauncher(DirectHeadNode(cluster))
        run = submitted(launcher, "for i in {1..40}; do echo line $i; sleep 0.1; done; exit 3")
        following = Following(launcher, run)
        until(lambda: b"line 5" in following.shown)
        command = killed_controller(cluster)
        until(lambda: b"line 40" in following.shown)
        cluster.start_command(cluster.spec.head.name, command)
        status = following.end()
    finally:
        cluster.destroy()
    assert (status.state, status.exit_code) == (State.FAILED, 3)
    mine = [line for line in following.shown.decode().splitlines() if line.startswith("line")]
    assert mine == [f"line {i}" for i in range(1, 41)]


# In the head node's own namespaces there is one.
FIND = "for p in /proc/[0-9]*; do [ $(cat $p/comm) = slurmctld ] && break; done; "


def killed_controller(cluster: SlurmCluster) -> list[str]:
    """Kill the cluster's controller, and return the command that starts it again."""
    show = [
        "sh",
        "-c",
        FIND + "tr '\\0' '\\n' <$p/environ | grep ^SLURM_CONF=; tr '\\0' '\\n' <$p/cmdline; kill -9 ${p#/proc/}",
    ]
    words = cluster.run(cluster.spec.head.name, show).stdout.splitlines()
    return ["env", *words]


def test_an_array_is_one_run(launcher: SlurmLauncher) -> None:
    text = 'echo "I am $PCINFRA_TASK"; sleep 1.1; exit $((PCINFRA_TASK == 2))'
    run = submitted(launcher, text, array={"tasks": 3})
    following = Following(launcher, run)
    status = following.end()
    assert (status.state, status.exit_code) == (State.FAILED, 1), (status, following.shown, following.notes)
    said = [line for line in following.shown.decode().splitlines() if "I am" in line]
    assert sorted(said) == [f"task {n}: I am {n}" for n in range(3)]
    assert status.tasks is not None
    assert (status.tasks.begun, status.tasks.nodes) == (3, 0)
    (whole,) = status.attempts
    assert (whole.ended or 0.0) - whole.started >= 1, "from the first task to the last"
    assert 0 <= gpu_hours(status, 0) < 1
    (listed,) = launcher.runs(Query(name=run))
    assert (listed.state, listed.tasks) == (status.state, status.tasks)


def test_json_of_a_history_is_plain(twice: Twice) -> None:
    assert json.loads(json.dumps(dict(twice.history.spec)))["nodes"] == 2


def test_a_job_whose_directory_was_removed_can_be_cancelled(launcher: SlurmLauncher, head: DirectHeadNode) -> None:
    run = submitted(launcher, "echo begun; sleep 600", "removed")
    until(lambda: launcher.look(run, {}).chunks)  # a job that has not begun would end without its directory
    head.run(f"rm -rf {run}").check()
    with pytest.raises(NotFound, match="its job is cancelled; its directory is not there any more"):
        launcher.cancel(run)
    until(lambda: not head.run(f"squeue -h -n pci-{run}").stdout)
    with pytest.raises(NotFound, match="there is no such run"):
        launcher.cancel(run)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[DirectHeadNode]:
    """A head node whose /lustre has three megabytes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    cluster = two_nodes(tmp_path / "train")
    disk = cluster.shared_path("/lustre")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], check=True)
    try:
        cluster.start()
        yield DirectHeadNode(cluster)
    finally:
        cluster.stop()
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_said_and_leaves_no_half_run(small: DirectHeadNode) -> None:
    launcher = SlurmLauncher(small)
    run = submitted(launcher, "yes | head -c 5000000; until [ -e go ]; do sleep 0.1; done", "fill")
    until(lambda: "is full" in launcher.look(run).status.why)
    assert launcher.look(run).status.state is State.RUNNING
    with pytest.raises(CommandFailed, match=r"cannot be written to /lustre/runs: tar: .*No space left on device"):
        submitted(launcher, "true", "none")
    assert [status.run for status in launcher.runs(Query(limit=10))] == [run]
    small.run(f"cd {run} && : >logs/node-0.0.log && : >go").check()
    assert Following(launcher, run).end().state is State.DONE
    second = submitted(launcher, "true", "second")
    assert Following(launcher, second).end().state is State.DONE
