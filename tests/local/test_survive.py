"""Jobs on a real Slurm that are stopped, requeued, started by torchrun, and bring their code."""

from __future__ import annotations

import hashlib
import json
import os
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pcinfra.errors import CommandFailed, UsageError
from pcinfra.jobs.follow import Follower
from pcinfra.jobs.launcher import State, Status
from pcinfra.jobs.load import load
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import End, render
from pcinfra.jobs.spec import After, Array, JobSpec
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.shell import Completed
from tests.local.machine import NODES, DirectHeadNode

TORCHRUN = """#!/bin/bash
# As far as one process per agent goes: says what it was told, and becomes the command behind --no-python.
echo "agent $*"
while [ "$1" != --no-python ]; do shift; done
shift
exec "$@"
"""


def submitted(slurm: SlurmLauncher, text: str, **fields: object) -> str:
    spec = JobSpec.model_validate({"command": ("bash", "-c", textwrap.dedent(text)), "cpus": 1, **fields})
    made = render(spec, new_run_id("test"))
    slurm.submit(made)
    return made.run


def ended(launcher: SlurmLauncher, run: str) -> tuple[Status, str]:
    shown: list[bytes] = []
    status = Follower(launcher, shown.append, lambda _: None).follow(run)
    return status, b"".join(shown).decode()


def results(head: DirectHeadNode, run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in head.run(f"cat {run}/result.jsonl").check().stdout.splitlines()]


def test_code_travels_with_the_job_which_starts_in_it(launcher: SlurmLauncher, tmp_path: Path) -> None:
    code = tmp_path / "src"
    (code / "pkg").mkdir(parents=True)
    (code / "pkg" / "it's 한글.txt").write_text("inside\n")
    (code / "run").write_text("#!/bin/sh\ncat pkg/*; pwd; echo $PCINFRA_CODE\n")
    (code / "run").chmod(0o755)
    (tmp_path / "job.yaml").write_text("command: [./run]\ncpus: 1\ncode: {source: directory, path: src}\n")
    job = load(tmp_path / "job.yaml")
    made = render(job.spec, new_run_id("code"), job.script, job.code)
    launcher.submit(made)
    status, log = ended(launcher, made.run)
    assert status.exit_code == 0, log
    inside, here, said = log.splitlines()
    assert inside == "inside"
    assert here.endswith(f"/{made.run}/code")
    assert said == here


def test_torchrun_is_told_who_meets_where(launcher: SlurmLauncher, head: DirectHeadNode) -> None:
    head.put({"../bin/torchrun": TORCHRUN.encode()})
    folder = head.run("chmod 755 ../bin/torchrun; realpath ../bin").check().stdout.strip()
    run = submitted(
        launcher,
        'echo "worker $PCINFRA_ATTEMPT $1"',
        launcher="torchrun",
        nodes=2,
        gpus=4,
        restarts=2,
        environment={"PATH": f"{folder}:/usr/bin:/bin"},
    )
    status, log = ended(launcher, run)
    assert status.exit_code == 0, log
    agents = sorted(line.partition(": agent ")[::2] for line in log.splitlines() if ": agent " in line)
    assert [node for node, _ in agents] == list(NODES)
    for rank, (_, words) in enumerate(agents):
        assert "--nnodes=2 --nproc-per-node=4" in words
        assert f"is_host={1 - rank}" in words
        assert f"--rdzv-id={status.job}.0 --max-restarts=2" in words
    ends = {words.partition("--rdzv-endpoint=")[2].partition(" ")[0] for _, words in agents}
    assert len(ends) == 1
    address, _, port = ends.pop().partition(":")
    assert int(port) == 61000 + int(status.job) % 4536
    assert address
    assert log.count(": worker 0 ") == 2


def test_gpus_that_are_not_real_get_one_process_on_each_node(launcher: SlurmLauncher, head: DirectHeadNode) -> None:
    head.put({"../bin/torchrun": TORCHRUN.encode()})
    folder = head.run("chmod 755 ../bin/torchrun; realpath ../bin").check().stdout.strip()
    spec = JobSpec(command=("true",), launcher="torchrun", nodes=2, environment={"PATH": f"{folder}:/usr/bin:/bin"})
    for processes, wanted in ((None, 1), (3, 3)):
        made = render(spec.model_copy(update={"processes": processes}), new_run_id("unreal"))
        launcher.submit(made)
        status, log = ended(launcher, made.run)
        assert status.exit_code == 0, log
        assert log.count(f"--nproc-per-node={wanted} ") == 2
        assert log.count("The GPUs here are not real: each node runs 1 process, not 8") == (processes is None)


def test_a_job_that_needs_containers_is_refused_where_there_are_none(launcher: SlurmLauncher) -> None:
    with pytest.raises(UsageError, match="Pyxis is not switched on"):
        submitted(launcher, "true", image="a/b:1")
    status, log = ended(launcher, submitted(launcher, "echo here", image="a/b:1", container="optional"))
    assert (status.exit_code, log) == (0, "here\n")
    status, log = ended(launcher, submitted(launcher, "echo here", image="a/b:1", container="off"))
    assert (status.exit_code, log) == (0, "here\n")


def test_mpi_processes_know_their_ranks(launcher: SlurmLauncher) -> None:
    status, log = ended(launcher, submitted(launcher, "echo $PMIX_RANK", launcher="mpi", nodes=2, cpus=2, processes=2))
    if "can not load PMIx library" in log:
        pytest.skip("this Slurm has no PMIx: apt-get install libpmix-dev")
    assert status.exit_code == 0, log
    assert sorted(line.rpartition(" ")[2] for line in log.splitlines()) == ["0", "1", "2", "3"]


class WithPrograms:
    """The head node, with programs of the test's own on the jobs' PATH."""

    def __init__(self, head: DirectHeadNode) -> None:
        self.head = head
        self.read, self.put, self.interactive = head.read, head.put, head.interactive

    def run(self, script: str, *, timeout: float = 60.0, quiet: float = 0.0) -> Completed:
        return self.head.run(f"PATH=$(realpath ..)/programs:$PATH\n{script}", timeout=timeout)


def test_secrets_are_in_the_environment_and_nowhere_else(
    head: DirectHeadNode, cluster: SlurmCluster, tmp_path: Path
) -> None:
    plain, inner = 'pl41n s3cr"et$(id)\nwith two lines', "inn3r/s3cret"
    answers = {"/team/plain": plain, "team/json": json.dumps({"token": inner, "other": "0ther"})}
    program = f"""#!/usr/bin/env python3
import sys
answers = {answers!r}
name = sys.argv[sys.argv.index("--name" if sys.argv[1] == "ssm" else "--secret-id") + 1]
if name not in answers:
    sys.exit("no such secret")
print(answers[name])
"""
    head.put({"../programs/aws": program.encode()})
    head.run("chmod 755 ../programs/aws").check()
    launcher = SlurmLauncher(WithPrograms(head))
    text = "import os, hashlib; print(*(hashlib.sha256(os.environ[n].encode()).hexdigest() for n in ('A', 'B')))"
    text += "; import time; time.sleep(2)"
    secrets = {"A": "ssm:/team/plain", "B": "secretsmanager:team/json#token"}
    spec = JobSpec(command=("python3", "-c", text), cpus=1, nodes=2, secrets=secrets)
    made = render(spec, new_run_id("secret"))
    job = launcher.submit(made)
    told = [head.run(f"sleep 1; scontrol show job {job}; squeue -j {job} -O '{_EVERYTHING}'; ps axww").stdout]
    status, log = ended(launcher, made.run)
    assert status.exit_code == 0, log
    expected = " ".join(hashlib.sha256(each.encode()).hexdigest() for each in (plain, inner))
    assert log.count(expected) == 2
    told.append(head.run(f"scontrol show job {job}").stdout)
    told += [file.read_bytes().decode(errors="replace") for file in _files_of(cluster) if "programs" not in file.parts]
    for secret in (inner, "pl41n", "0ther"):
        assert not [text for text in told if secret in text]
    made = render(spec.model_copy(update={"secrets": {"A": "ssm:/team/none"}}), new_run_id("secret"))
    launcher.submit(made)
    status, log = ended(launcher, made.run)
    assert status.exit_code == 1
    assert "The secret A cannot be fetched from /team/none." in log


_EVERYTHING = "Name:99,Comment:99,Command:99,WorkDir:99,tres-alloc:99"


def _files_of(cluster: SlurmCluster) -> Iterator[Path]:
    """Yield every file of the cluster that can be read: run directories, logs, and what Slurm keeps."""
    files = (path for path in cluster.paths.top.rglob("*") if path.is_file() and not path.is_symlink())
    return (path for path in files if os.access(path, os.R_OK))


def test_every_task_of_a_sweep_has_its_values_and_the_run_ends_with_the_last(
    launcher: SlurmLauncher, head: DirectHeadNode
) -> None:
    text = (
        'echo "$PCINFRA_TASK/$PCINFRA_TASKS $RATE $SEED ${PCINFRA_CHECKPOINTS##*/tasks/}"; exit $((PCINFRA_TASK == 3))'
    )
    run = submitted(launcher, text, sweep={"RATE": ("0.1", "it's $(a)"), "SEED": ("1", "2")})
    for _ in range(300):
        if head.run(f"test -s {run}/result.jsonl").status == 0:
            break
        time.sleep(0.1)
    (result,) = results(head, run)
    assert (result["exit_code"], result["verdict"], result["failed_tasks"]) == (1, "failed", 1)
    assert result["why"] == "1 of 4 tasks failed: 3"
    assert result["started"] == min(
        each["started"] for task in range(4) for each in results(head, f"{run}/tasks/{task}")
    )
    said = head.run(f"cat {run}/logs/node-*").check().stdout.splitlines()
    assert sorted(line for line in said if "/" in line and "srun" not in line and "slurmstepd" not in line) == [
        "0/4 0.1 1 0/checkpoints",
        "1/4 0.1 2 1/checkpoints",
        "2/4 it's $(a) 1 2/checkpoints",
        "3/4 it's $(a) 2 3/checkpoints",
    ]


def test_an_array_beyond_slurms_limit_is_several_jobs_submitted_once(
    launcher: SlurmLauncher, head: DirectHeadNode
) -> None:
    size = int(head.run("scontrol show config | sed -n 's/^MaxArraySize *= *//p'").check().stdout)
    made = render(
        JobSpec(command=("true",), cpus=1, array=Array(tasks=2 * size + 1, at_once=1), queue="gpu"), new_run_id("big")
    )
    launcher.submit(made)
    jobs = head.run(f"cat {made.run}/job.id").check().stdout.split()
    assert len(jobs) == 3
    head.run(f"scontrol hold {' '.join(jobs)}; rm {made.run}/job.id").check()
    launcher.submit(made)
    assert head.run(f"cat {made.run}/job.id").check().stdout.split() == jobs
    listed = head.run(f"squeue -h -t all -n pci-{made.run} -o '%F %k %K'").check().stdout.split("\n")
    assert {line.split()[0] for line in listed if line} == set(jobs)
    assert head.run(f"squeue -h -t all -j {jobs[2]} -r -o %K").check().stdout.split() == ["0"]
    head.run(f"scancel -n pci-{made.run}").check()


def test_a_run_waits_for_another_one(launcher: SlurmLauncher, head: DirectHeadNode) -> None:
    first = submitted(launcher, "sleep 1; echo first; exit 3")
    second = submitted(launcher, "echo second", after=(After(run=first, when="failed"),))
    never = submitted(launcher, "echo never", after=(After(run=first),))
    assert ended(launcher, second)[1] == "second\n"
    assert ended(launcher, never)[0].state is State.CANCELLED
    assert ended(launcher, submitted(launcher, "echo third", after=(After(run=first, when="ended"),)))[1] == "third\n"
    with pytest.raises(CommandFailed, match=f"after: {first} has ended, and not well"):
        submitted(launcher, "true", after=(After(run=first),))
    with pytest.raises(CommandFailed, match="there is no run nothing"):
        submitted(launcher, "true", after=(After(run="nothing"),))


def test_many_are_submitted_together_and_one_that_is_refused_stops_no_other(
    launcher: SlurmLauncher, head: DirectHeadNode
) -> None:
    specs = [JobSpec(command=("true",), cpus=1, queue="nowhere" if n == 4 else "gpu") for n in range(12)]
    made = [render(spec, new_run_id(f"many{number}")) for number, spec in enumerate(specs)]
    before = head.commands
    first = launcher.submit_all(made)
    assert head.commands == before + 1
    assert [isinstance(each, str) for each in first] == [n != 4 for n in range(12)]
    assert "invalid partition" in str(first[4])
    again = launcher.submit_all(made)
    assert [str(each) for each in again] == [str(each) for each in first]
    assert head.run(f"ls -d {made[4].run}").status != 0


def test_a_job_that_does_not_look_is_ended_before_its_spot_node_is_taken_and_goes_on(head: DirectHeadNode) -> None:
    """curl answers as EC2's metadata service does, once there is something to say (for the real one: test_fleet.py)."""
    program = """#!/bin/bash
address=${*: -1}
[[ $* == *" PUT "* ]] && exec echo t0ken
[[ $* == *"token: t0ken http://169.254.169.254/latest/"* ]] || exit 22
case $address in
  */spot/instance-action) [ -e "$PCINFRA_RUN_DIR/warn" ] || exit 22
    echo "{\\"action\\": \\"terminate\\", \\"time\\": \\"$(date -u -d '+9 sec' +%Y-%m-%dT%H:%M:%SZ)\\"}" ;;
  */events/recommendations/rebalance) echo '{"noticeTime": "2026-01-31T12:00:00Z"}' ;;
  *) exit 22 ;;
esac
"""
    head.put({"../programs/curl": program.encode()})
    head.run("chmod 755 ../programs/curl").check()
    text = """
    [ "$PCINFRA_ATTEMPT" = 0 ] || { echo again; echo >"$PCINFRA_DONE_FILE"; exit; }
    until [ -s "$PCINFRA_RUN_DIR/rebalance" ]; do sleep 0.2; done
    echo >"$PCINFRA_RUN_DIR/warn"
    sleep 600
    """
    launcher = SlurmLauncher(WithPrograms(head))
    spec = JobSpec(command=("bash", "-c", textwrap.dedent(text)), cpus=1, requeue=1)
    made = render(spec, new_run_id("spot"), spot=True)
    launcher.submit(made)
    status, log = ended(launcher, made.run)
    assert (status.state, log.count("again")) == (State.DONE, 1), log
    first, last = results(head, made.run)
    node = first["nodes"]
    assert (first["requeued"], first["why"]) == (True, f"EC2 takes the node {node} away")
    assert last["requeued"] is False
    assert head.run(f"cat {made.run}/rebalance").stdout.startswith(f"0 {node}\n")
    head.run("rm ../programs/curl").check()


def test_before_the_capacity_of_its_nodes_ends_a_job_stops_and_goes_on_when_they_are_gone(head: DirectHeadNode) -> None:
    """EC2 is asked once more before the job stops, and says that the end was put off."""
    program = """#!/bin/bash
[[ $* == "ec2 describe-capacity-reservations "*"-ids cr-1 --query CapacityReservations[0].EndDate" ]] || exit 2
[ -e "$PCINFRA_RUN_DIR/end" ] || echo $(($(date +%s) + 6)) >"$PCINFRA_RUN_DIR/end"
date -u -d "@$(($(<"$PCINFRA_RUN_DIR/end") + 1800))" +%Y-%m-%dT%H:%M:%S+00:00
"""
    head.put({"../programs/aws": program.encode()})
    head.run("chmod 755 ../programs/aws").check()
    text = """
    [ "$PCINFRA_ATTEMPT" = 0 ] || { echo again; echo >"$PCINFRA_DONE_FILE"; exit; }
    until [ -e "$PCINFRA_STOP_FILE" ]; do sleep 0.2; done
    """
    launcher = SlurmLauncher(WithPrograms(head))
    spec = JobSpec(command=("bash", "-c", textwrap.dedent(text)), cpus=1, requeue=1, grace_period=3)
    made = render(spec, new_run_id("block"), ends=End(time.time() + 3, "cr-1", 1800))
    launcher.submit(made)
    status, log = ended(launcher, made.run)
    assert (status.state, log.count("again")) == (State.DONE, 1), log
    first, last = results(head, made.run)
    assert (first["verdict"], first["requeued"], last["verdict"]) == ("stopped", True, "done")
    assert str(first["why"]).startswith("the capacity of its nodes ends at 20")
    end = int(head.run(f"cat {made.run}/end").stdout)
    assert head.run(f"cat {made.run}/stop.0").stdout.startswith(f"{end} ")
    assert status.attempts[1].started > end, "on the same nodes it would be stopped again at once"
    head.run("rm ../programs/aws").check()


@pytest.mark.slow
def test_before_its_limit_a_job_is_told_to_stop_and_goes_on_later(
    launcher: SlurmLauncher, head: DirectHeadNode
) -> None:
    """The first attempt waits for the stop file; the second one ends by itself."""
    polite = """
    echo "attempt $PCINFRA_ATTEMPT has $(cat "$PCINFRA_CHECKPOINTS/steps" 2>/dev/null)"
    if [ "$PCINFRA_ATTEMPT" = 0 ]; then
      until [ -e "$PCINFRA_STOP_FILE" ]; do sleep 0.2; done
      echo 17 >"$PCINFRA_CHECKPOINTS/steps"
      exit 0
    fi
    echo yes >"$PCINFRA_DONE_FILE"
    """
    deaf = 'echo "attempt $PCINFRA_ATTEMPT"; [ "$PCINFRA_ATTEMPT" = 1 ] || exec sleep 600'
    stubborn = "trap '' TERM; while :; do sleep 1; done"
    short = {"time_limit": "1", "grace_period": 55}
    runs = [
        submitted(launcher, polite, requeue=1, **short),
        submitted(launcher, deaf, requeue=1, **short),
        submitted(launcher, stubborn, **short),
    ]
    (said, first), (also, second), (never, _) = (ended(launcher, run) for run in runs)
    assert (said.state, said.exit_code) == (State.DONE, 0), first
    assert "attempt 0 has \n" in first
    assert "attempt 1 has 17\n" in first
    assert (also.state, also.exit_code) == (State.DONE, 0), second
    assert "attempt 0\n" in second
    assert "attempt 1\n" in second
    assert (never.state, never.exit_code) == (State.TIMEOUT, 75)
    assert [(r["attempt"], r["exit_code"], r["verdict"], r["requeued"]) for r in results(head, runs[0])] == [
        (0, 75, "stopped", True),
        (1, 0, "done", False),
    ]


@pytest.mark.slow
def test_a_job_whose_node_fails_goes_on_with_another_as_often_as_it_may(
    launcher: SlurmLauncher, head: DirectHeadNode, cluster: SlurmCluster
) -> None:
    run = submitted(launcher, 'echo "attempt $PCINFRA_ATTEMPT"; [ "$PCINFRA_ATTEMPT" = 1 ] || sleep 600', requeue=1)
    for _ in range(100):
        where = launcher.look(run, {})
        if where.chunks:
            break
        time.sleep(0.1)
    cluster.crash(where.status.nodes)
    status, log = ended(launcher, run)
    cluster.start_node(where.status.nodes)
    assert (status.state, status.exit_code) == (State.DONE, 0), log
    assert "attempt 1\n" in log
