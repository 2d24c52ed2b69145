"""Nodes in namespaces of their own."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from pcinfra.errors import CommandFailed, NotFound
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.localcloud.slurm.commands import Result
from tests.local.slurm.clusters import config, spec_of

pytestmark = pytest.mark.root

FIRST, SECOND = "gpu-st-p5-1", "gpu-st-p5-2"
HEAD = "ip-10-0-0-10"


def bash(cluster: SlurmCluster, script: str, *, node: str = HEAD, user: str = "ubuntu") -> Result:
    return cluster.run(node, ["bash", "-c", script], user=user, timeout=30)


def output(cluster: SlurmCluster, script: str, *, node: str = HEAD, user: str = "ubuntu") -> str:
    result = bash(cluster, script, node=node, user=user)
    assert result.status == 0, result
    return result.stdout


def test_a_job_of_two_nodes_runs_as_the_clusters_user(cluster: SlurmCluster) -> None:
    lines = output(cluster, "srun -N2 bash -c 'echo $(hostname) $(id -un) $(id -u) $HOME'").splitlines()
    assert sorted(lines) == [f"{FIRST} ubuntu 1000 /home/ubuntu", f"{SECOND} ubuntu 1000 /home/ubuntu"]


def test_shared_storage_is_shared_and_scratch_is_not(cluster: SlurmCluster) -> None:
    output(cluster, f"srun -w {FIRST} bash -c 'echo shared >/lustre/file; echo own >/scratch/file'")
    assert output(cluster, f"srun -w {SECOND} bash -c 'cat /lustre/file; ls /scratch'") == "shared\n"
    assert (cluster.shared_path("/lustre") / "file").read_text() == "shared\n"


@pytest.mark.parametrize("node", [HEAD, FIRST])
def test_storage_is_mounted_where_it_is_on_aws(cluster: SlurmCluster, node: str) -> None:
    assert bash(cluster, "mountpoint -q /lustre && mountpoint -q /home", node=node).status == 0
    assert bash(cluster, "mountpoint -q /scratch", node=node).status == (0 if node == FIRST else 1)


def test_a_job_gets_the_gpus_it_asks_for(cluster: SlurmCluster) -> None:
    assert output(cluster, "srun -N1 --gpus=3 printenv CUDA_VISIBLE_DEVICES") == "0,1,2\n"
    assert output(cluster, "srun -N1 --gpus=8 printenv CUDA_VISIBLE_DEVICES") == "0,1,2,3,4,5,6,7\n"
    assert "gpu:h100:8" in output(cluster, "sinfo -h -o %G")


def test_slurm_is_where_parallelcluster_has_it(cluster: SlurmCluster) -> None:
    assert output(cluster, "command -v sbatch squeue") == "/opt/slurm/bin/sbatch\n/opt/slurm/bin/squeue\n"
    assert output(cluster, "/opt/slurm/bin/scontrol show hostnames 'a[1-2]'") == "a1\na2\n"
    assert "SlurmctldHost=ip-10-0-0-10(10.0.0.10)" in output(cluster, "cat /opt/slurm/etc/slurm.conf")


def test_a_batch_job_runs_over_both_nodes(cluster: SlurmCluster) -> None:
    script = "#!/bin/bash\n#SBATCH -N 2\nsrun --label hostname\n"
    output(cluster, f"cat >job.sh <<'X'\n{script}X\nsbatch --wait --output=/home/ubuntu/job.out job.sh")
    log = (cluster.shared_path("/home") / "ubuntu" / "job.out").read_text().splitlines()
    assert sorted(log) == [f"0: {FIRST}", f"1: {SECOND}"]


def test_root_becomes_the_user_with_the_tools_of_a_login(cluster: SlurmCluster) -> None:
    script = "runuser -u ubuntu -- id -un; su - ubuntu -c 'command -v sbatch; pwd'"
    assert output(cluster, script, user="") == "ubuntu\n/opt/slurm/bin/sbatch\n/home/ubuntu\n"


def test_a_node_sees_itself_alone(cluster: SlurmCluster) -> None:
    assert output(cluster, "hostname; cat /etc/hostname", node=FIRST) == f"{FIRST}\n{FIRST}\n"
    assert output(cluster, "cat /proc/1/comm; ls /proc | grep -c '^[0-9]'", node=FIRST).startswith("python")
    addresses = output(cluster, "ip -4 -brief address", node=FIRST)
    assert "10.1.0.10/32" in addresses
    assert str(os.getpid()) not in output(cluster, "ls /proc", node=FIRST).split()
    assert bash(cluster, "timeout 5 bash -c '</dev/tcp/203.0.113.1/80'", node=FIRST).status == 1


def test_a_node_cannot_change_the_host(cluster: SlurmCluster, tmp_path: Path) -> None:
    for path in ("/usr/bin/made-by-a-node", f"{Path(__file__).parent}/made-by-a-node", "/opt/made/x", "/sys/x"):
        bash(cluster, f"touch {path}", user="")
        assert not Path(path).exists()
    output(cluster, "touch /etc/made-by-a-node /tmp/made-by-a-node /var/log/made-by-a-node /made-by-a-node", user="")
    for place in ("/etc", "/tmp", "/var/log", "/"):
        assert not Path(place, "made-by-a-node").exists()


def test_signals_are_not_ignored_in_jobs(cluster: SlurmCluster) -> None:
    for command in ("srun -N1 grep SigIgn /proc/self/status", "grep SigIgn /proc/self/status"):
        ignored = int(output(cluster, command).split()[1], 16)
        assert ignored & 0x7FFFFFFF == 0, "the signals that have names"


def test_the_munge_key_is_munges_alone(cluster: SlurmCluster) -> None:
    assert output(cluster, "stat -c '%a %U' /etc/munge/munge.key", user="") == "600 munge\n"
    assert bash(cluster, "cat /etc/munge/munge.key").status != 0
    assert (cluster.paths.etc / "munge" / "munge.key").stat().st_mode & 0o077 == 0


def test_a_command_has_its_status_its_streams_and_its_environment(cluster: SlurmCluster) -> None:
    result = cluster.run(
        HEAD, ["sh", "-c", 'echo "$A"; pwd; echo e >&2; exit 7'], environment={"A": "b c"}, directory="/etc"
    )
    assert result == Result(7, "b c\n/etc\n", "e\n")


def test_an_argument_is_never_taken_for_a_variable(cluster: SlurmCluster) -> None:
    assert cluster.run(HEAD, ["A=b", "x"]).status == 127
    assert cluster.run(HEAD, ["printf", "%s|", "a b", "$X", "'", "\n", "C=d"]).stdout == "a b|$X|'|\n|C=d|"


def test_a_command_that_takes_too_long_is_killed_with_its_children(cluster: SlurmCluster) -> None:
    with pytest.raises(CommandFailed, match=r"no end after 0\.3 s"):
        cluster.run(HEAD, ["sh", "-c", "sleep 4711 & sleep 4711"], timeout=0.3)
    assert "4711" not in output(cluster, "ps ax -o args")


def test_a_script_runs_as_ssm_runs_it(cluster: SlurmCluster) -> None:
    assert cluster.start_script(HEAD, "id -u; readlink /proc/$$/exe").wait(10) == Result(0, "0\n/usr/bin/dash\n", "")
    interpreted = cluster.start_script(HEAD, "#!/usr/bin/env bash\necho ${BASH_VERSION:+bash}; exit 3").wait(10)
    assert interpreted == Result(3, "bash\n", "")
    assert list(cluster.paths.node(HEAD, "spool", "commands").iterdir()) == []


def test_output_can_be_read_while_a_script_runs_and_it_can_be_cancelled(cluster: SlurmCluster) -> None:
    running = cluster.start_script(HEAD, "echo begun; sleep 4712; echo ended")
    while not running.stdout:
        assert running.wait(0.05) is None
    running.cancel()
    ended = running.wait(10)
    assert ended == Result(137, "begun\n", "")
    running.cancel()


def test_a_process_left_in_the_background_keeps_nobody_waiting(cluster: SlurmCluster) -> None:
    result = cluster.start_script(HEAD, "setsid sleep 60 & echo done").wait(20)
    assert result is not None
    assert result.stdout == "done\n"


def test_a_cluster_that_is_not_there_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        SlurmCluster.load(tmp_path)


def test_two_clusters_with_the_same_addresses_do_not_meet(cluster: SlurmCluster, own: SlurmCluster) -> None:
    own.start()
    output(own, "touch /lustre/of-the-other")
    assert output(cluster, "ls /lustre") == output(cluster, "ls /lustre | grep -v other")
    assert output(own, "srun -N2 hostname") != ""
    assert output(cluster, "srun -N2 hostname") != ""


@pytest.mark.usefixtures("_root")
def test_nodes_reach_one_port_of_the_hosts_loopback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        cluster = SlurmCluster.create(tmp_path / "cluster", spec_of(config(1), endpoint=port))
        try:
            cluster.start()
            threading.Thread(target=_echo, args=(server,), daemon=True).start()
            script = f"exec 3<>/dev/tcp/127.0.0.1/{port}; echo hello >&3; head -n1 <&3"
            assert output(cluster, script, node=FIRST) == "HELLO\n"
            assert bash(cluster, f"exec 3<>/dev/tcp/127.0.0.1/{port + 1}", node=FIRST).status != 0
        finally:
            cluster.destroy()


@pytest.mark.usefixtures("_root")
def test_without_static_nodes_there_is_a_queue_and_nothing_runs(tmp_path: Path) -> None:
    cluster = SlurmCluster.create(tmp_path / "cluster", spec_of(config(0)))
    try:
        cluster.start()
        assert output(cluster, "sinfo -h -o '%P %D'") == "gpu* 0\n"
        assert output(cluster, "sbatch --wrap true; squeue -h -o %T").splitlines()[-1] == "PENDING"
    finally:
        cluster.destroy()


def _echo(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(connection.recv(100).upper())
