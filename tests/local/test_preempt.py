"""A job whose nodes another one takes, on a real Slurm with a partition that comes first, and time to stop."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pcinfra.jobs.follow import Follower
from pcinfra.jobs.launcher import State
from pcinfra.jobs.manifest import new_run_id
from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.jobs.slurm.render import render
from pcinfra.jobs.spec import JobSpec
from tests.local.machine import NODES, DirectHeadNode, two_nodes
from tests.waiting import until

# The first attempt works until it is told to stop, and keeps how far it came.
POLITE = """
echo "attempt $PCINFRA_ATTEMPT has $(cat "$PCINFRA_CHECKPOINTS/steps" 2>/dev/null)"
if [ "$PCINFRA_ATTEMPT" = 0 ]; then
  until [ -e "$PCINFRA_STOP_FILE" ]; do sleep 0.1; done
  echo 17 >"$PCINFRA_CHECKPOINTS/steps"
  exit
fi
echo >"$PCINFRA_DONE_FILE"
"""
URGENT = "sbatch -p urgent -N 2 --exclusive --output=/dev/null --wrap 'sleep 1'"


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DirectHeadNode]:
    settings = {"PreemptType": "preempt/partition_prio", "PreemptMode": "REQUEUE"}
    settings["SlurmctldParameters"] = "preempt_send_user_signal"  # newer ones: PreemptParameters=send_user_signal
    cluster = two_nodes(tmp_path_factory.mktemp("slurm") / "train", **settings)
    cluster.start()
    try:
        urgent = ["create", "PartitionName=urgent", f"Nodes={','.join(NODES)}", "PriorityTier=10"]
        done = cluster.control(urgent, ["update", "PartitionName=gpu", "GraceTime=120"])
        assert done.status == 0, done.stderr
        yield DirectHeadNode(cluster)
    finally:
        cluster.destroy()


def test_it_is_told_to_stop_and_goes_on_afterwards(head: DirectHeadNode) -> None:
    launcher = SlurmLauncher(head)
    spec = JobSpec(command=("bash", "-c", POLITE), nodes=2, processes=1, requeue=1)
    made = render(spec, new_run_id("polite"))
    launcher.submit(made)
    until(lambda: len(launcher.look(made.run, {}).chunks) == len(NODES))
    head.run(URGENT).check()
    shown: list[bytes] = []
    status = Follower(launcher, shown.append, lambda _: None).follow(made.run)
    log = b"".join(shown).decode()
    assert (status.state, status.exit_code) == (State.DONE, 0), log
    for node in NODES:
        assert f"{node}: attempt 0 has \n" in log
        assert f"{node}: attempt 1 has 17\n" in log
    results = [json.loads(line) for line in head.run(f"cat {made.run}/result.jsonl").check().stdout.splitlines()]
    assert [(each["attempt"], each["verdict"]) for each in results] == [(0, "stopped"), (1, "done")]
