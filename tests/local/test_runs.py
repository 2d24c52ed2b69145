"""Runs on a real Slurm of two nodes: what reaches the job, what comes back, and how it ends."""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from pathlib import Path

import pytest

from pcinfra.errors import CommandFailed, NotFound, UsageError
from pcinfra.jobs.follow import Follower, in_words
from pcinfra.jobs.launcher import Look, Query, State, Status, Wait
from pcinfra.jobs.load import load
from pcinfra.jobs.manifest import Manifest, new_run_id
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import render
from pcinfra.jobs.spec import JobSpec
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from tests.local.machine import NODES, DirectHeadNode
from tests.waiting import PATIENCE, until

HOSTILE = [
    "", " ", "-n", "--", ";", "&", "|", "*", "~", "!", "#", "%n", "%", "\\", "\\n", "'", '"', "`id`", "$(id)", "$HOME",
    "${PATH}", "a\nb", "a\r\nb", "\t", "EOF", "한글", "🙂", "a'b\"c", "x" * 10_000, "\x01\x7f", "{a,b}", "[a]", "=",
    ":", "<(id)",
]  # fmt: skip
PROBE = """
import json, os, sys
name = os.environ["OUT"] + os.environ["SLURM_NODEID"]
json.dump([sys.argv[1:], dict(os.environ), os.getcwd(), os.getuid()], open(name, "w"))
"""


def manifest(spec: JobSpec, name: str = "test", script: bytes = b"") -> Manifest:
    return render(spec, new_run_id(name), script)


def bash(text: str, **values: object) -> JobSpec:
    return JobSpec.model_validate({"command": ("bash", "-c", text), "cpus": 1, **values})


def followed(launcher: SlurmLauncher, run: str) -> tuple[Status, bytes, list[str]]:
    shown: list[bytes] = []
    notes: list[str] = []
    status = Follower(launcher, shown.append, notes.append).follow(run)
    return status, b"".join(shown), notes


def submitted(launcher: SlurmLauncher, spec: JobSpec, name: str = "test") -> str:
    made = manifest(spec, name)
    launcher.submit(made)
    return made.run


def until_it_says(launcher: SlurmLauncher, run: str, word: bytes = b"started") -> None:
    until(lambda: any(word in chunk.data for chunk in launcher.look(run, {}).chunks))


def test_hello_says_hello_from_both_nodes(launcher: SlurmLauncher, head: DirectHeadNode) -> None:
    job = load(Path("examples/hello.yaml"))
    made = manifest(job.spec, "hello")
    launcher.submit(made)
    assert head.commands == 1
    status, log, _ = followed(launcher, made.run)
    assert (status.state, status.exit_code, status.nodes) == (State.DONE, 0, "gpu-st-p5-[1-2]")
    lines = sorted(log.decode().splitlines())
    for number, node in enumerate(NODES, start=1):
        mine = [line for line in lines if line.startswith(f"{node}: ")]
        assert len(mine) == 2
        assert f"{node}: Hello from node {number} of 2: " in mine[0]
        assert mine[1].endswith("my GPUs are 0,1,2,3,4,5,6,7")
        assert "I am root" not in mine[1]


def waits(cluster: SlurmCluster, place: int) -> bool:
    """Return whether somebody's look waits on the head node, at one of the two places for it."""
    file = cluster.shared_path("/lustre") / "runs" / f".waiting.{place}"
    return file.exists() and subprocess.run(["flock", "-n", file, "true"], check=False).returncode == 1


def test_two_looks_wait_for_news_and_a_third_is_answered_at_once(
    launcher: SlurmLauncher, head: DirectHeadNode, cluster: SlurmCluster
) -> None:
    run = submitted(launcher, bash("until [ -e go ]; do sleep 0.02; done; echo news; sleep 60"))
    until(lambda: launcher.look(run).status.attempts)
    seen: list[Look] = []

    def look() -> None:
        there = SlurmLauncher(head)
        while not (found := there.look(run, {}, wait=Wait(30))).chunks:  # the first says that it runs
            pass
        seen.append(found)

    looks = [threading.Thread(target=look, daemon=True) for _ in range(2)]
    for each in looks:
        each.start()
    until(lambda: waits(cluster, 1) and waits(cluster, 2) and all(each.is_alive() for each in looks))
    assert launcher.look(run, {}, wait=Wait(30)).waited is None
    assert not seen
    head.run(f"touch {run}/go").check()
    for each in looks:
        each.join(PATIENCE)
    assert [chunk.data for look in seen for chunk in look.chunks] == [b"news\n"] * 2
    launcher.cancel(run)


def test_a_look_waits_for_the_end_of_a_run_that_says_nothing(launcher: SlurmLauncher) -> None:
    run = submitted(launcher, bash("sleep 1.5"))
    stands = []
    while not (look := launcher.look(run, {}, wait=Wait(30))).status.state.ended:
        stands.append(look.status.state)
    assert look.status.exit_code == 0
    assert len(stands) <= 8  # waiting, running and the like, and not once for every look that there is time for


@pytest.mark.parametrize("code", [7, 255])
def test_the_exit_code_is_the_jobs(code: int, launcher: SlurmLauncher) -> None:
    status, log, _ = followed(launcher, submitted(launcher, bash(f"echo before; exit {code}")))
    assert (status.state, status.exit_code) == (State.FAILED, code)
    assert log.startswith(b"before\n")


def test_a_job_that_kills_itself_ends_with_137(launcher: SlurmLauncher) -> None:
    status, _, _ = followed(launcher, submitted(launcher, bash("kill -9 $$")))
    assert (status.state, status.exit_code) == (State.FAILED, 137)


def test_one_failing_node_ends_the_others(launcher: SlurmLauncher) -> None:
    spec = bash("[ $SLURM_NODEID = 1 ] && exit 5; sleep 600", nodes=2)
    status, _, _ = followed(launcher, submitted(launcher, spec))
    assert status.state is State.FAILED
    assert status.exit_code


def test_hostile_text_arrives_exactly_on_every_node(launcher: SlurmLauncher, cluster: SlurmCluster) -> None:
    seeded = random.Random(5)
    noise = ["".join(chr(seeded.choice([*range(1, 0x300), 0xAC00])) for _ in range(50)) for _ in range(20)]
    words = [*HOSTILE, *noise]
    variables = {f"V{number}": word for number, word in enumerate(words)}
    folder = cluster.shared_path("/lustre") / "it's $(here) #1"
    folder.mkdir(mode=0o777, exist_ok=True)
    folder.chmod(0o777)
    inside = f"/lustre/{folder.name}" if os.geteuid() == 0 else str(folder)
    spec = JobSpec(
        command=("python3", "-c", PROBE, *words),
        environment={**variables, "OUT": f"{inside}/out"},
        workdir=inside,
        nodes=2,
        cpus=1,
    )
    status, log, _ = followed(launcher, submitted(launcher, spec))
    assert (status.exit_code, log) == (0, b"")
    for node in range(2):
        arguments, environment, where, user = json.loads((folder / f"out{node}").read_text())
        assert arguments == words
        assert {name: environment[name] for name in variables} == variables
        assert where == inside
        assert user != 0


def test_submitting_again_makes_no_second_job(launcher: SlurmLauncher, head: DirectHeadNode) -> None:
    made = manifest(bash("true"))
    first = launcher.submit(made)
    assert launcher.submit(made) == first
    head.run(f"rm {made.run}/job.id").check()  # as if the script had died right after sbatch
    assert launcher.submit(made) == first
    assert _jobs_of(head, made.run) == [first]
    assert followed(launcher, made.run)[0].exit_code == 0
    assert launcher.submit(made) == first


def test_submitting_at_the_same_time_makes_one_job(launcher: SlurmLauncher, head: DirectHeadNode) -> None:
    made = manifest(bash("true"))
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(launcher.submit(made))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4
    assert len(set(ids)) == 1
    assert _jobs_of(head, made.run) == ids[:1]


def test_what_sbatch_refuses_is_said(launcher: SlurmLauncher) -> None:
    made = manifest(bash("true", queue="nowhere"))
    with pytest.raises(CommandFailed, match="invalid partition"):
        launcher.submit(made)
    with pytest.raises(NotFound):
        launcher.look(made.run)


def test_a_running_job_is_cancelled(launcher: SlurmLauncher) -> None:
    run = submitted(launcher, bash("echo started; sleep 600"))
    until_it_says(launcher, run)
    launcher.cancel(run)
    status, log, _ = followed(launcher, run)
    assert (status.state, status.exit_code) == (State.CANCELLED, 143)
    assert b"started" in log
    assert launcher.cancel(run) == status


def test_a_job_that_ignores_the_signal_is_cancelled_all_the_same(launcher: SlurmLauncher) -> None:
    run = submitted(launcher, bash("trap '' TERM; echo started; while :; do sleep 1; done"))
    until_it_says(launcher, run)
    launcher.cancel(run)
    status, _, _ = followed(launcher, run)
    assert status.state is State.CANCELLED
    assert status.exit_code in (137, 143)


def test_a_waiting_job_says_why_and_is_cancelled(launcher: SlurmLauncher) -> None:
    first = submitted(launcher, bash("sleep 600", nodes=2, cpus=2))
    until(lambda: launcher.look(first).status.state is State.RUNNING)
    second = submitted(launcher, bash("true", nodes=2, cpus=2))
    until(lambda: in_words(launcher.look(second).status) == "waiting: no free nodes for it yet")
    launcher.cancel(second)
    assert followed(launcher, second)[0].state is State.CANCELLED
    launcher.cancel(first)
    assert followed(launcher, first)[0].state is State.CANCELLED


def test_a_long_log_of_two_nodes_comes_whole(launcher: SlurmLauncher) -> None:
    text = "for i in {1..4000}; do echo $SLURM_NODEID $i 한글 $RANDOM$RANDOM$RANDOM; done; printf 'no end'"
    _, log, _ = followed(launcher, submitted(launcher, bash(text, nodes=2)))
    for number, node in enumerate(NODES):
        mine = [line.split()[1:] for line in log.decode().splitlines() if line.startswith(f"{node}: ")]
        assert [words[:3] for words in mine[:-1]] == [[str(number), str(i), "한글"] for i in range(1, 4001)]
        assert mine[-1] == ["no", "end"]


def test_a_big_script_travels_in_parts(launcher: SlurmLauncher, head: DirectHeadNode) -> None:
    noise = random.Random(1).randbytes(60_000).hex()
    made = manifest(JobSpec(script="big", args=("$(a)", ""), cpus=1), script=f'echo "$#:$1"\n# {noise}\n'.encode())
    first = launcher.submit(made)
    assert head.commands > 2
    assert launcher.submit(made) == first
    status, log, _ = followed(launcher, made.run)
    assert (status.exit_code, log) == (0, b"2:$(a)\n")
    assert head.run(f"ls -A | grep -c '^.{made.run}'").stdout.strip() == "0"


def test_gpus_and_cpus_are_as_many_as_asked_for(launcher: SlurmLauncher) -> None:
    spec = bash('echo "$CUDA_VISIBLE_DEVICES" "$SLURM_CPUS_PER_TASK"', gpus=2, cpus=1)
    assert followed(launcher, submitted(launcher, spec))[1] == b"0,1 1\n"


def test_logs_go_where_the_job_file_says(launcher: SlurmLauncher, head: DirectHeadNode) -> None:
    place = head.run('d="$PWD/../elsewhere"; mkdir -p "$d"; realpath "$d"').stdout.strip()
    run = submitted(launcher, bash("echo here", logs=place))
    assert followed(launcher, run)[1] == b"here\n"
    assert head.run(f"cat {place}/{run}/node-0.0.log").stdout == "here\n"


def test_only_its_user_can_read_a_run(launcher: SlurmLauncher, head: DirectHeadNode) -> None:
    run = submitted(launcher, bash("true", environment={"TOKEN": "t"}))
    assert head.run(f"stat -c %a {run} {run}/env.sh {run}/spec.json").stdout.split() == ["700", "600", "600"]
    assert head.run(f"stat -c %U {run}; id -un").stdout.split()[0] == head.run("id -un").stdout.strip()


def test_a_missing_directory_fails_the_job_with_its_reason(launcher: SlurmLauncher) -> None:
    status, log, _ = followed(launcher, submitted(launcher, bash("true", workdir="/no/such")))
    assert status.exit_code == 1
    assert b"/no/such: No such file or directory" in log


def test_a_run_is_found_by_id_by_its_beginning_and_by_job_id(launcher: SlurmLauncher) -> None:
    one, two = (manifest(bash("true"), "twin") for _ in range(2))
    job = launcher.submit(one)
    launcher.submit(two)
    for name in (one.run, one.run[:-2], job):
        assert launcher.look(name).status.run == one.run
    with pytest.raises(UsageError, match=f"means several runs: .*{two.run}"):
        launcher.look("twin")
    for name in ("nothing", "999999", "."):
        with pytest.raises((NotFound, UsageError)):
            launcher.look(name)
    with pytest.raises(UsageError, match="is not the name of a run"):
        launcher.look("../x; id")


def test_a_run_that_slurm_has_forgotten_is_still_known(launcher: SlurmLauncher, head: DirectHeadNode) -> None:
    run = submitted(launcher, bash("echo kept; exit 3"))
    followed(launcher, run)
    head.run(f"cp -r {run} old-{run}").check()  # Slurm knows no job of this name
    status, log, _ = followed(launcher, f"old-{run}")
    assert (status.state, status.exit_code) == (State.FAILED, 3)
    assert log.startswith(b"kept\n")
    listed = {each.run: each for each in launcher.runs(Query(100))}
    assert listed[f"old-{run}"].exit_code == 3
    assert listed[run].state is State.FAILED


def test_runs_are_listed_newest_first(launcher: SlurmLauncher) -> None:
    runs = [submitted(launcher, bash("true")) for _ in range(3)]
    time.sleep(1.1)
    runs.append(submitted(launcher, bash("true")))
    assert launcher.runs(Query(1))[0].run == runs[-1]
    assert {each.run for each in launcher.runs(Query(4))} == set(runs)


@pytest.mark.slow
def test_a_job_whose_node_dies_is_lost_and_says_so(launcher: SlurmLauncher, cluster: SlurmCluster) -> None:
    run = submitted(launcher, bash("echo started; sleep 600", nodes=2))
    until_it_says(launcher, run)
    cluster.crash(NODES[1])
    status, _, _ = followed(launcher, run)
    assert (status.state, status.why) == (State.LOST, "a node failed")
    assert status.exit_code in (137, 143)
    cluster.start_node(NODES[1])


@pytest.mark.slow
def test_a_job_beyond_its_time_limit_says_so(launcher: SlurmLauncher) -> None:
    status, log, _ = followed(launcher, submitted(launcher, bash("echo started; sleep 600", time_limit="1")))
    assert (status.state, status.why) == (State.TIMEOUT, "the time limit was reached")
    assert status.exit_code
    assert log.startswith(b"started\n")


def _jobs_of(head: DirectHeadNode, run: str) -> list[str]:
    return head.run(f"squeue -h -t all -n pci-{run} -o %A").check().stdout.split()
