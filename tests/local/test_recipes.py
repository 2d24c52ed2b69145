"""The recipes, and a script of one's own that resumes, on a real Slurm: as far as a machine without GPUs goes."""

from __future__ import annotations

import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from pcinfra import resume
from pcinfra.jobs.follow import Follower
from pcinfra.jobs.launcher import Status
from pcinfra.jobs.load import load
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import render
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.recipes import find
from tests.local.machine import NODES, DirectHeadNode, two_nodes

FI_INFO = """#!/bin/bash
[ "$1" = --version ] && { echo "libfabric: 2.1.0amzn3.0"; exit; }
printf 'provider: efa\\n    domain: rdmap0s0-rdm\\nprovider: efa\\n    domain: rdmap1s0-rdm\\n'
"""
PINGPONG = """#!/bin/bash
echo 'bytes   #sent   #ack     total       time     MB/sec'
echo "64      1k      =1k      125k  $*"
"""
NEEDS_TORCH = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed: pip install torch"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    cluster = two_nodes(tmp_path_factory.mktemp("slurm") / "train")
    cluster.start()
    yield cluster
    cluster.destroy()


@pytest.fixture
def head(cluster: SlurmCluster) -> DirectHeadNode:
    return DirectHeadNode(cluster)


def start(head: DirectHeadNode, name: str, **changes: object) -> str:
    job = load(find(name).job)
    spec = job.spec.model_copy(update={"cpus": 1, **changes})
    made = render(spec, new_run_id(name), job.script, job.code)
    SlurmLauncher(head).submit(made)
    return made.run


def end(head: DirectHeadNode, run: str) -> tuple[Status, str]:
    shown: list[bytes] = []
    status = Follower(SlurmLauncher(head), shown.append, lambda _: None).follow(run)
    return status, b"".join(shown).decode()


def read(head: DirectHeadNode, file: str) -> str:
    return head.run(f"cat {file}").check().stdout


def test_hello(head: DirectHeadNode) -> None:
    status, log = end(head, start(head, "hello"))
    assert status.exit_code == 0, log
    for number, node in enumerate(NODES, start=1):
        assert f"{node}: Hello from node {number} of 2: " in log


def test_efa_check_says_that_there_is_none(head: DirectHeadNode) -> None:
    status, log = end(head, start(head, "efa-check"))
    assert status.exit_code
    assert log.count("FAILED: fi_info is not installed") == 2


def test_efa_check_with_programs_that_answer(head: DirectHeadNode) -> None:
    head.put({"../tools/fi_info": FI_INFO.encode(), "../tools/fi_pingpong": PINGPONG.encode()})
    tools = head.run("chmod 755 ../tools/*; realpath ../tools").check().stdout.strip()
    status, log = end(head, start(head, "efa-check", environment={"PATH": f"{tools}:/usr/bin:/bin"}))
    assert status.exit_code == 0, log
    assert log.count("2 EFA devices, libfabric 2.1.0amzn3.0") == 2
    assert log.count("messages over EFA arrive") == 2
    assert "-p efa -e rdm -I 1000" in log


ALL_REDUCE = """#!/bin/bash
echo "rank $PMIX_RANK of $SLURM_NTASKS sees ${CUDA_VISIBLE_DEVICES} $NCCL_DEBUG: $*"
"""


def test_nccl_tests_with_a_program_that_only_says_who_it_is(head: DirectHeadNode) -> None:
    """As far as Slurm and PMIx go: a process for each GPU of each node, which sees them all."""
    head.put({"../tools/all_reduce_perf": ALL_REDUCE.encode()})
    program = head.run("chmod 755 ../tools/*; realpath ../tools/all_reduce_perf").check().stdout.strip()
    words = load(find("nccl-tests").job).spec.command[1:]
    status, log = end(
        head, start(head, "nccl-tests", command=(program, *words), image=None, container="off", gpus=2, cpus=2)
    )
    if "can not load PMIx library" in log:
        pytest.skip("this Slurm has no PMIx: apt-get install libpmix-dev")
    assert status.exit_code == 0, log
    said = sorted(line.partition(": ")[2] for line in log.splitlines() if " of 4 sees " in line)
    assert said == [f"rank {rank} of 4 sees 0,1 INFO: -b 8 -e 16G -f 2 -g 1" for rank in range(4)]


COUNTING = """
import sys, time, resume
run = resume.Run(keep=2)
found = run.newest()
step = found.step if found else 0
if run.group.rank == 0:
    print("attempt", run.attempt, "ranks", run.group.size, "from", step, flush=True)
while step < 60:
    step += 1
    time.sleep(0.05)
    stop = run.stopping()
    if stop or step % 10 == 0:
        run.save(step, lambda place: (place / str(run.group.rank)).write_text(str(step)), shards=True)
    if stop:
        sys.exit()
run.done()
"""


def test_a_script_that_resumes_goes_on_after_its_time_was_over(head: DirectHeadNode, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/count.py").write_text(COUNTING)
    (tmp_path / "src/resume.py").write_text(Path(resume.__file__).read_text())
    (tmp_path / "job.yaml").write_text(
        "code: {source: directory, path: src}\ncommand: [/usr/bin/python3, count.py]\nnodes: 2\nprocesses: 2\n"
        'cpus: 2\nrequeue: 1\ntime_limit: "0:10:00"\n'
    )
    job = load(tmp_path / "job.yaml")
    made = render(job.spec, new_run_id("count"), job.script, job.code)
    number = SlurmLauncher(head).submit(made)
    # What Slurm does before the time is over. A requeued job then waits, and must: a node does not launch a job in the
    # second in which it has ended one of that number.
    head.run(
        f"""until [ -e {made.run}/checkpoints/step-10 ]; do sleep 0.05; done
        scancel --batch --signal=USR1 {number}
        for i in {{1..300}}; do
          [ ! -e {made.run}/DONE ] || break
          sleep 0.2
        done""",
        timeout=120,
    )
    status, log = end(head, made.run)
    assert status.exit_code == 0, log
    first, second = sorted(line.partition("attempt ")[2] for line in log.splitlines() if "attempt " in line)
    assert first == "0 ranks 4 from 0"
    assert second.startswith("1 ranks 4 from ")
    assert int(second.split()[-1]) >= 10
    attempts = [json.loads(line)["attempt"] for line in read(head, f"{made.run}/checkpoints.jsonl").splitlines()]
    assert set(attempts) == {0, 1}
    assert head.run(f"ls {made.run}/checkpoints/step-60").check().stdout.split() == [
        "0",
        "1",
        "2",
        "3",
        "manifest.json",
    ]


PROGRAMS = {"python3": "", "torchrun": "-m torch.distributed.run"}
TRAINING = """
python3 train_ddp.py --steps=60 --checkpoint-every=10 --log-every=1 --width=32 --layers=1 --heads=2 --length=32 &
if [ "$KILL $RANK $TORCHELASTIC_RESTART_COUNT" = "yes 1 0" ]; then
  until [ -e "$PCINFRA_CHECKPOINTS/step-10" ]; do sleep 0.02; done
  kill -KILL $!
fi
wait $!
"""


def losses(log: str) -> dict[int, float]:
    """The loss of each step, as it was told last."""
    lines = [line.partition(": ")[2] for line in log.splitlines() if '"event": "step"' in line]
    return {event["step"]: event["loss"] for event in map(json.loads, lines)}


@pytest.fixture
def torch(head: DirectHeadNode) -> dict[str, str]:
    """Variables with which the cluster's user finds torchrun and torch; root's own Python is not for everybody."""
    packages = sysconfig.get_path("purelib")
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, system):
        if head.run(f"PYTHONPATH={packages} {python} -c 'import torch.distributed.run'").status == 0:
            break
    else:
        pytest.skip("the cluster's user can run no Python with torch")
    head.put(
        {f"../torch/{name}": f'#!/bin/sh\nexec {python} {more} "$@"\n'.encode() for name, more in PROGRAMS.items()}
    )
    path = head.run("chmod 755 ../torch/*; realpath ../torch").check().stdout.strip()
    return {"PATH": f"{path}:/usr/bin:/bin", "PYTHONPATH": packages}


def training(head: DirectHeadNode, torch: dict[str, str], kill: str) -> str:
    environment = torch | {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1", "KILL": kill}
    command = ("bash", "-c", TRAINING)
    return start(head, "torchrun-ddp", command=command, container="off", image=None, environment=environment)


@NEEDS_TORCH
@pytest.mark.slow
def test_a_training_whose_process_is_killed_has_the_losses_of_one_that_is_left_alone(
    head: DirectHeadNode, torch: dict[str, str]
) -> None:
    whole, run = training(head, torch, "no"), training(head, torch, "yes")
    status, log = end(head, whole)
    assert status.exit_code == 0, log
    undisturbed = losses(log)
    assert list(undisturbed) == list(range(1, 61))
    status, log = end(head, run)
    assert status.exit_code == 0, log
    assert losses(log) == undisturbed
    assert log.count('"event": "start"') == 2, log
    steps = [json.loads(line)["step"] for line in read(head, f"{run}/checkpoints.jsonl").splitlines()]
    assert steps[-1] == 60
    assert read(head, f"{run}/DONE")
