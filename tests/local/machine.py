"""A two-node cluster of the local cloud's Slurm, and its head node reached without SSM."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from pcinfra.jobs.headnode import MAX_COMMAND, MAX_OUTPUT, at_terminal, decoded, encoder, put_scripts, wrapped
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from pcinfra.localcloud.slurm.spec import Node, Partition, Spec
from pcinfra.shell import Completed

NODES = ("gpu-st-p5-1", "gpu-st-p5-2")


def two_nodes(directory: Path, **settings: str) -> SlurmCluster:
    """Return a cluster that is described but not started; ``settings`` are of slurm.conf."""
    nodes = tuple(
        Node(name, f"10.1.0.{number}", cpus=2, memory=1024, gpus=8, gpu="h100")
        for number, name in enumerate(NODES, start=11)
    )
    spec = Spec(
        name="train",
        user="ubuntu",
        head=Node("ip-10-0-0-5", "10.0.0.5"),
        nodes=nodes,
        partitions=(Partition("gpu", NODES),),
        shared=("/home", "/lustre"),
        credential=5,  # what is requeued waits no longer
        settings={"KillWait": "5", "MinJobAge": "300", **settings},
    )
    return SlurmCluster.create(directory, spec)


class DirectHeadNode:
    """The head node of a local cluster, where scripts run as SSM's agent would run them, within SSM's limits."""

    def __init__(self, cluster: SlurmCluster) -> None:
        self.cluster = cluster
        self.commands = 0

    def run(self, script: str, *, timeout: float = 60.0, quiet: float = 0.0) -> Completed:
        command = wrapped(script, "ubuntu")
        assert len(command) <= MAX_COMMAND
        self.commands += 1
        running = self.cluster.start_script(self.cluster.spec.head.name, command)
        result = running.wait(timeout)
        assert result is not None, "no end"
        return Completed(("script",), result.status, result.stdout[:MAX_OUTPUT], result.stderr)

    def interactive(self, script: str) -> Sequence[str]:
        return ("sh", "-c", at_terminal(script, "ubuntu"))

    def put(self, files: Mapping[str, bytes]) -> None:
        for script in put_scripts(files):
            self.run(script).check()

    def read(self, path: str, offset: int) -> tuple[bytes, int]:
        done = self.run(f"{encoder()}\nencoded 22000 {path} {offset}").check()
        data = decoded(done.stdout)
        return data, offset + len(data)


def at_terminal_of_head(cluster: SlurmCluster, argv: Sequence[str]) -> list[str]:
    """Return the command that runs ``argv`` on the head node as a session does, in the terminal of who starts it."""
    return cluster.terminal(cluster.spec.head.name, shlex.join(argv))
