"""Nodes that share the host, started by somebody without rights."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pcinfra
from tests.local.slurm.clusters import config, spec_of
from tests.local.slurm.machine import processes_about
from tests.local.slurm.ordinary import ORDINARY, become, interpreter

DRIVER = """
import json, os, subprocess, sys, time
from pathlib import Path
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.localcloud.slurm.spec import Spec
said = {}
cluster = SlurmCluster.create(Path(sys.argv[1]), Spec.load(sys.argv[2]))
head, first, second = (machine.name for machine in cluster.spec.machines)
def bash(text, node=head):
    return cluster.run(node, ["bash", "-c", text], timeout=60).stdout
def sleepers():
    found = subprocess.run(["pgrep", "-c", "-f", "^[a-z/]*sleep 4713$"], capture_output=True, text=True)
    return int(found.stdout)
try:
    cluster.start()
    exec(sys.argv[3])
finally:
    cluster.stop()
print(json.dumps(said))
"""
"""Runs as an ordinary user; what the test's own lines put into ``said`` comes back."""


@pytest.fixture
def directory(_slurm: None) -> Iterator[Path]:
    """A directory of an ordinary user's; not below pytest's own, which only its user can enter."""
    with tempfile.TemporaryDirectory(prefix="pcinfra-") as made:
        if os.geteuid() == 0:
            os.chown(made, ORDINARY, ORDINARY)
        yield Path(made)
        assert processes_about(Path(made)) == []


def drive(directory: Path, lines: str) -> dict[str, Any]:
    """Start a cluster of two nodes as an ordinary user, run ``lines``, stop it; return what they said."""
    package = str(Path(pcinfra.__file__).parents[1])
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONPATH": package}
    argv = [*become(), interpreter(), "-B", "-c", DRIVER, str(directory), spec_of(config()).dump(), lines]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert isinstance(said, dict)
    return said


def test_a_job_of_two_nodes_runs_as_whoever_started_the_cluster(directory: Path) -> None:
    lines = """
said["nodes"] = bash("srun -N2 bash -c 'echo $SLURMD_NODENAME $(id -u)'")
said["gpus"] = bash("srun -N1 --gpus=3 printenv CUDA_VISIBLE_DEVICES")
said["home"] = bash("cd /; echo $HOME; echo $PCINFRA_RUNS")
said["script"] = cluster.start_script(head, "id -u; exit 3").wait(20).stdout
said["up"] = dict(cluster.status().nodes)
"""
    said = drive(directory, lines)
    uid = os.geteuid() or ORDINARY
    assert sorted(said["nodes"].splitlines()) == [f"gpu-st-p5-1 {uid}", f"gpu-st-p5-2 {uid}"]
    assert said["gpus"] == "0,1,2\n"
    assert said["home"].split() == [f"{directory}/shared/home/ubuntu", f"{directory}/shared/lustre/runs"]
    assert said["script"] == f"{uid}\n"
    assert set(said["up"].values()) == {"up"}
    assert (directory / "munge" / "munge.key").stat().st_mode & 0o777 == 0o600


def test_files_and_the_queue_are_there_after_a_restart(directory: Path) -> None:
    lines = """
bash("touch kept; sbatch --hold --job-name=waits --wrap true")
cluster.stop()
said["stopped"] = dict(cluster.status().nodes)
cluster.start()
said["kept"] = bash("ls")
said["queue"] = bash("squeue -h -o '%j %T'")
"""
    said = drive(directory, lines)
    assert set(said["stopped"].values()) == {"down"}
    assert "kept" in said["kept"].split()
    assert said["queue"] == "waits PENDING\n"


def test_all_of_it_listens_on_the_loopback_alone(directory: Path) -> None:
    lines = """
said["tables"] = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
said["conf"] = Path(cluster.paths.configuration, "slurm.conf").read_text()
"""
    said = drive(directory, lines)
    words = [word.partition("=")[::2] for word in said["conf"].split()]
    ports = {f"{int(value):04X}" for name, value in words if name in ("SlurmctldPort", "Port")}
    rows = [line.split() for table in said["tables"] for line in table.splitlines()[1:]]
    listening = [row[1].split(":") for row in rows if row[3] == "0A"]
    addresses = [address for address, port in listening if port in ports]
    assert len(addresses) == 3
    assert set(addresses) == {"0100007F"}, "127.0.0.1, in the byte order of /proc/net/tcp on this machine"


def test_a_crashed_node_and_a_stopped_cluster_leave_no_process_of_a_job(directory: Path) -> None:
    lines = """
before = sleepers()
bash(f"sbatch -w {first} --wrap 'sleep 4713'; sbatch -w {second} --wrap 'sleep 4713'")
end = time.monotonic() + 120
while sleepers() < before + 2 and time.monotonic() < end:
    time.sleep(0.1)
said["running"] = sleepers() - before
cluster.crash(first)
said["crashed"] = sleepers() - before
said["nodes"] = dict(cluster.status().nodes)
cluster.start_node(first)
said["again"] = dict(cluster.status().nodes)
cluster.stop()
said["stopped"] = sleepers() - before
"""
    said = drive(directory, lines)
    assert (said["running"], said["crashed"], said["stopped"]) == (2, 1, 0)
    assert (said["nodes"]["gpu-st-p5-1"], said["nodes"]["gpu-st-p5-2"]) == ("down", "up")
    assert set(said["again"].values()) == {"up"}


def test_what_a_killed_process_started_is_found_and_ended(directory: Path) -> None:
    lines = """
bash("sbatch -N2 --wrap 'srun sleep 4713'")
from pcinfra.localcloud.slurm import fleet
for record in fleet.records(cluster.paths).values():
    record.supervisor.kill()
child = subprocess.Popen([sys.executable, "-c", "import sys; from pathlib import Path\\n"
    "from pcinfra.localcloud.slurm.cluster import SlurmCluster\\n"
    "SlurmCluster.load(Path(sys.argv[1])).start(); print('started', flush=True); sys.stdin.read()",
    sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
said["line"] = child.stdout.readline()
child.kill(); child.wait()
said["running"] = cluster.status().running
cluster.stop()
said["left"] = sleepers()
"""
    said = drive(directory, lines)
    assert said["line"] == "started\n"
    assert said["running"]


def test_a_deep_folder_is_no_obstacle_to_sockets(directory: Path) -> None:
    deep = directory / ("x" * 100)
    said = drive(deep, """said["nodes"] = bash("srun -N2 -l hostname | wc -l").strip()""")
    assert said["nodes"] == "2"


def test_a_session_is_whoever_started_the_cluster(directory: Path) -> None:
    said = drive(
        directory,
        """
import pty, socket
ours, theirs = pty.openpty()
shell = cluster.terminal(head, "tty -s && sudo -i -u ubuntu")
process = subprocess.Popen(shell, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
os.close(theirs)
os.write(ours, b"echo I am $(id -u) in $PWD of $SLURM_CONF; exit 5\\n")
shown = b""
try:
    while piece := os.read(ours, 4096):
        shown += piece
except OSError:
    pass
said["status"], said["shown"] = process.wait(), shown.decode()
with socket.create_server(("127.0.0.1", 0)) as server, cluster.connect(head, "", server.getsockname()[1]) as end:
    server.accept()[0].sendall(b"through")
    said["heard"] = end.recv(100).decode()
""",
    )
    assert (said["status"], said["heard"]) == (5, "through")
    who = ORDINARY if os.geteuid() == 0 else os.geteuid()
    assert f"I am {who} in {directory}" in said["shown"]
    assert "slurm.conf" in said["shown"]
