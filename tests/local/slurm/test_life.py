"""Starting, stopping, crashing: what is left and what is kept."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pcinfra
from pcinfra.errors import NotFound, ResourceFailed
from pcinfra.localcloud.slurm import fleet
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.localcloud.slurm.records import Process
from tests import waiting
from tests.local.slurm.clusters import config, spec_of
from tests.local.slurm.machine import mounts_below, namespaces, processes_about, supervisors

pytestmark = pytest.mark.root

FIRST, SECOND = "gpu-st-p5-1", "gpu-st-p5-2"
HEAD = "ip-10-0-0-10"


def until(cluster: SlurmCluster, node: str, *prefixes: str) -> None:
    """Wait until Slurm gives the node a state that begins so."""
    waiting.until(lambda: cluster.status().slurm.get(node, "").startswith(prefixes))


def jobs(cluster: SlurmCluster) -> str:
    return cluster.run(HEAD, ["squeue", "-h", "-o", "%j %T"]).stdout


def all_processes(cluster: SlurmCluster) -> list[Process]:
    recorded = fleet.records(cluster.paths).values()
    return [process for record in recorded for process in (record.supervisor, record.init) if process]


def assert_nothing_is_left(cluster: SlurmCluster, of_it: set[str]) -> None:
    assert processes_about(cluster.paths.top) == []
    assert mounts_below(cluster.paths.top) == []
    assert not namespaces() & of_it


def namespaces_of(cluster: SlurmCluster) -> set[str]:
    """Return the namespaces of the cluster's nodes that are not this process's."""
    own = {os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "pid", "net", "uts", "ipc")}
    links = {
        os.readlink(f"/proc/{process.pid}/ns/{kind}")
        for process in all_processes(cluster)
        for kind in ("mnt", "pid", "net", "uts", "ipc")
    }
    return links - own


def test_every_node_has_namespaces_of_its_own_and_stopping_leaves_nothing(own: SlurmCluster) -> None:
    own.start()
    of_it = namespaces_of(own)
    assert len(of_it) >= 3 * 5 + 1
    assert mounts_below(own.paths.top) == []
    own.run(HEAD, ["sbatch", "-N2", "--wrap", "srun sleep 600"], user="ubuntu")
    own.stop()
    assert_nothing_is_left(own, of_it)
    assert not own.status().running
    own.stop()


def test_files_and_the_queue_are_there_after_a_restart(own: SlurmCluster) -> None:
    own.start()
    for place in ("/lustre/kept", "/home/ubuntu/kept", "/scratch/kept", "/etc/kept", "/opt/slurm/etc/kept"):
        own.run(FIRST, ["touch", place])
    own.run(HEAD, ["sbatch", "--job-name=waits", "--hold", "--wrap", "true"], user="ubuntu")
    own.stop()
    again = SlurmCluster.load(own.paths.top)
    again.start()
    places = ["/lustre/kept", "/home/ubuntu/kept", "/scratch/kept", "/etc/kept", "/opt/slurm/etc/kept"]
    assert again.run(FIRST, ["ls", *places]).status == 0
    assert jobs(again) == "waits PENDING\n"


@pytest.mark.slow
def test_a_crashed_node_is_seen_and_comes_back(own: SlurmCluster) -> None:
    own.start()
    own.run(HEAD, ["sbatch", "-N2", "--job-name=long", "--wrap", "srun sleep 600"], user="ubuntu")
    until(own, FIRST, "alloc", "mix")
    own.crash(FIRST)
    status = own.status()
    assert (status.nodes[FIRST], status.nodes[SECOND]) == ("down", "up")
    with pytest.raises(NotFound):
        own.run(FIRST, ["true"])
    until(own, FIRST, "down")
    assert "RUNNING" not in jobs(own)
    own.start_node(FIRST)
    assert own.run(FIRST, ["hostname"]).stdout == f"{FIRST}\n"
    until(own, FIRST, "idle", "alloc", "mix")


def test_a_head_node_that_crashed_comes_back_with_its_queue(own: SlurmCluster) -> None:
    own.start()
    own.run(HEAD, ["sbatch", "--job-name=waits", "--hold", "--wrap", "true"], user="ubuntu")
    waiting.until(lambda: (own.paths.node(HEAD, "spool", "slurm.state") / "job_state").exists())
    own.crash(HEAD)
    assert own.status().slurm == {}
    own.start_node(HEAD)
    assert jobs(own) == "waits PENDING\n"


def test_a_supervisor_that_is_killed_takes_its_node_along(own: SlurmCluster) -> None:
    own.start()
    record = fleet.alive(own.paths, FIRST)
    assert record is not None
    assert record.init is not None
    init = record.init
    record.supervisor.kill()
    waiting.until(lambda: not init.alive)
    assert own.status().nodes[FIRST] == "down"


def test_a_cluster_whose_folder_is_removed_ends(own: SlurmCluster) -> None:
    own.start()
    of_it = namespaces_of(own)
    shutil.rmtree(own.paths.top)
    waiting.until(lambda: not supervisors(own.paths.top) and not of_it & namespaces())
    own.paths.top.mkdir()  # for the fixture, which removes it


STARTER = """
import sys
from pathlib import Path
from pcinfra.localcloud.slurm.cluster import SlurmCluster
SlurmCluster.load(Path(sys.argv[1])).start()
print("started", flush=True)
sys.stdin.read()
"""


def starter(cluster: SlurmCluster) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(pcinfra.__file__).parents[1])}
    argv = [sys.executable, "-c", STARTER, str(cluster.paths.top)]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, env=environment, stdin=pipe, stdout=pipe, text=True)


def test_what_a_killed_process_started_is_found_and_ended(own: SlurmCluster) -> None:
    with starter(own) as manager:
        assert manager.stdout is not None
        assert manager.stdout.readline() == "started\n"
        manager.send_signal(signal.SIGKILL)
    assert own.status().running
    of_it = namespaces_of(own)
    own.stop()
    assert_nothing_is_left(own, of_it)


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.3])
def test_killed_at_any_moment_of_a_start_nothing_is_lost(own: SlurmCluster, delay: float) -> None:
    with starter(own) as manager:
        waiting.until(lambda: (own.paths.run / "generation").exists(), pause=0.005)
        time.sleep(delay)
        manager.send_signal(signal.SIGKILL)
    own.stop()
    waiting.until(lambda: not supervisors(own.paths.top))
    own.start()
    assert own.run(HEAD, ["srun", "-N2", "hostname"], user="ubuntu").status == 0


def test_started_twice_there_is_one_cluster(own: SlurmCluster) -> None:
    own.start()
    own.start()
    assert len(supervisors(own.paths.top)) == 1 + 3 * 2, "the bridge's, and for each node one and its first process"
    assert own.run(HEAD, ["srun", "-N2", "true"], user="ubuntu").status == 0


def test_nodes_that_are_absent_are_down_and_the_others_work(own: SlurmCluster) -> None:
    own.start(absent=[SECOND])
    assert own.status().nodes[SECOND] == "down"
    assert own.run(HEAD, ["srun", "-N1", "hostname"], user="ubuntu").stdout == f"{FIRST}\n"


def test_a_daemon_that_does_not_start_is_named_with_its_log(own: SlurmCluster) -> None:
    broken = dataclasses.replace(own.spec, settings={"NoSuchOption": "1"})
    cluster = SlurmCluster.create(own.paths.top, broken)
    with pytest.raises(ResourceFailed, match=r"slurmctld ended with status 1\n.*NoSuchOption"):
        cluster.start()
    assert not cluster.status().running
    assert processes_about(cluster.paths.top) == []


def test_a_changed_description_is_followed(own: SlurmCluster) -> None:
    own.start()
    own.run(FIRST, ["touch", "/lustre/kept"])
    SlurmCluster.create(own.paths.top, spec_of(config(3))).start()
    own.spec = spec_of(config(3))
    assert sorted(own.status().slurm) == [FIRST, SECOND, "gpu-st-p5-3"]
    assert own.run("gpu-st-p5-3", ["ls", "/lustre"]).stdout == "kept\n"
    SlurmCluster.create(own.paths.top, spec_of(config(1))).start()
    assert [line.split()[-1] for line in supervisors(own.paths.top) if SECOND in line] == []


def test_storage_kept_elsewhere_outlives_the_cluster(own: SlurmCluster, tmp_path: Path) -> None:
    elsewhere = tmp_path / "filesystems" / "fs-1"
    cluster = SlurmCluster.create(own.paths.top, own.spec, {"/lustre": elsewhere})
    # made before without: what is in the cluster's own directory is not taken away from under it
    assert cluster.shared_path("/lustre") == cluster.paths.top / "shared" / "lustre"
    other = SlurmCluster.create(tmp_path / "other", own.spec, {"/lustre": elsewhere})
    other.start()
    other.run(HEAD, ["touch", "/lustre/kept"], user="ubuntu")
    assert other.run(HEAD, ["mountpoint", "-q", "/lustre"]).status == 0
    other.destroy()
    assert [path.name for path in elsewhere.iterdir()] == ["kept"]
