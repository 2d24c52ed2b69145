"""The look at the nodes before a job, on a real Slurm: a broken node is drained, and the job goes on elsewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pcinfra import assets
from pcinfra.jobs.follow import Follower
from pcinfra.jobs.launcher import State, Status
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.report import report
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import render
from pcinfra.jobs.spec import JobSpec
from pcinfra.shell import Completed
from tests.local.machine import NODES, DirectHeadNode, two_nodes

EPILOG = assets.folder("bootstrap") / "parts" / "unhealthy.sh"

# Where gpu-health.sh looks for what a node has, with programs of a healthy node; that of a broken one fails.
SETUP = """
mkdir -p ../node/proc/driver/nvidia/gpus ../node/var/lib/pcinfra ../node/bin ../epilog.d
echo gpus=1 efa=0 >../node/var/lib/pcinfra/expected
cat >../node/bin/nvidia-smi <<'END'
#!/bin/bash
[ ! -e "$PCINFRA_ROOT/broken.$SLURMD_NODENAME" ] || { echo 'GPU is "lost"'; exit 15; }
case "$*" in --query-gpu=*) echo '0, 0' ;; esac
END
cat >../epilog.d/50_pcinfra_unhealthy <<'END'
#!/bin/bash
SCONTROL=/usr/bin/scontrol exec bash /lustre/epilog.sh
END
chmod 755 ../node/bin/* ../epilog.d/*
"""


class WithGpus(DirectHeadNode):
    """The head node, from where jobs see the GPUs of SETUP."""

    def run(self, script: str, *, timeout: float = 60.0, quiet: float = 0.0) -> Completed:
        python = Path(sys.executable).parent
        place = f"export PCINFRA_ROOT=$(realpath ..)/node; export PATH=$PCINFRA_ROOT/bin:{python}:$PATH"
        return super().run(f"{place}\n{script}", timeout=timeout)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WithGpus]:
    settings = {"Epilog": "/lustre/epilog.d/50_pcinfra_unhealthy"} if os.geteuid() == 0 else {}
    cluster = two_nodes(tmp_path_factory.mktemp("slurm") / "train", **settings)
    cluster.start()
    head = WithGpus(cluster)
    head.run(f"{SETUP}printf %s {shlex.quote(EPILOG.read_text())} >../epilog.sh").check()
    yield head
    cluster.destroy()


def submitted(head: WithGpus, text: str, **fields: object) -> str:
    spec = JobSpec.model_validate({"command": ("bash", "-c", text), "gpus": 1, "cpus": 1, **fields})
    made = render(spec, new_run_id("test"))
    SlurmLauncher(head).submit(made)
    return made.run


def ended(head: WithGpus, run: str) -> tuple[Status, str]:
    shown: list[bytes] = []
    status = Follower(SlurmLauncher(head), shown.append, lambda _: None).follow(run)
    return status, b"".join(shown).decode()


def results(head: WithGpus, run: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in head.run(f"cat {run}/result.jsonl").check().stdout.splitlines()]


def test_healthy_nodes_take_the_job_and_say_nothing(head: WithGpus) -> None:
    status, log = ended(head, submitted(head, "echo here", nodes=2))
    assert (status.state, log.count("here"), "health" in log) == (State.DONE, 2, False), log


def test_a_broken_node_is_drained_and_the_job_goes_on_elsewhere(head: WithGpus) -> None:
    broken, healthy = NODES
    head.run(f"touch $PCINFRA_ROOT/broken.{broken}").check()
    try:
        run = submitted(head, 'echo "ran on $SLURMD_NODENAME"')
        status, log = ended(head, run)
        assert (status.state, f"ran on {healthy}\n" in log) == (State.DONE, True), log
        first, last = results(head, run)
        assert (first["verdict"], first["requeued"], last["verdict"]) == ("unhealthy", True, "done")
        why = f"{broken} nvidia-smi failed with status 15: GPU is lost"
        assert first["why"] == why
        tries = report(SlurmLauncher(head).history(run), 0).tries
        assert tries[0].ended == f"unhealthy: {why}, exit code 75"
        job = head.run(f"scontrol show job {status.job}").stdout
        assert f"ExcNodeList={broken}" in job
        assert "Requeue=0" in job
        if os.geteuid() == 0:
            said = head.run(f"sinfo -h -n {broken} -o '%t %E'").stdout.strip()
            assert said == f"drain pcinfra: job {status.job}: nvidia-smi failed with status 15: GPU is lost"
    finally:
        head.run(f"rm -f $PCINFRA_ROOT/broken.{broken}").check()
        if os.geteuid() == 0:
            head.cluster.run(head.cluster.spec.head.name, ["scontrol", "update", f"nodename={broken}", "state=resume"])


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed: pip install torch")
def test_the_gpus_of_the_nodes_exchange_data_before_the_job(head: WithGpus) -> None:
    """By gloo, where there are no GPUs."""
    if head.run(f"{sys.executable} -c 'import torch.distributed'").status:
        pytest.skip("the cluster's user cannot run this Python with torch")
    run = submitted(head, "echo here", nodes=2, health="nccl")
    status, log = ended(head, run)
    assert (status.state, log.count("here")) == (State.DONE, 2), log
    assert head.run(f"cat {run}/health.all").stdout.startswith("gloo: ")
