"""The shape of a job file: what to run, on how many nodes, with what.

One description for every backend. Words are Slurm's where Slurm has one; amounts (``gpus``, ``cpus``, ``memory``,
``processes``) are per node, as in Kubernetes they are per pod.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from pcinfra.jobs.fields import (
    Directory,
    ImageName,
    Listed,
    MountPath,
    Name,
    QueueName,
    RunName,
    SecretName,
    Text,
    TimeLimit,
    Values,
    Variable,
    Words,
    seconds,
)
from pcinfra.jobs.kubernetes.settings import Kubernetes
from pcinfra.project.section import Section

LauncherName = Literal["srun", "torchrun", "deepspeed", "accelerate", "mpi"]

GRACE = 300  # seconds between the stop signal and the time limit, where the limit leaves room for them


class Mount(Section):
    """A directory or file of the node, seen inside the container."""

    source: MountPath = Field(description="Path on the node.", examples=["/lustre/data"])
    target: MountPath | None = Field(
        default=None, description="Path in the container; left out: the same.", examples=["/data"]
    )
    read_only: bool = Field(default=False, description="Nothing in the container can change it.")

    @property
    def inside(self) -> str:
        return self.target or self.source


class Code(Section):
    """Your code, copied into the run directory when the job is submitted. The job starts in it."""

    source: Literal["worktree", "commit", "directory"] = Field(
        default="worktree",
        description="worktree: what git tracks or would track, with changes that are not committed. commit: exactly a "
        "commit. Both with submodules. directory: every file, without git.",
    )
    path: Text = Field(default=".", min_length=1, description="A folder, seen from the job file.", examples=["../src"])
    commit: Text = Field(
        default="HEAD",
        description="For commit: its hash, or a tag or branch.",
        pattern=r"^[A-Za-z0-9_][^\s~^:?*\[\\]*$",
    )


class Array(Section):
    """The same job many times, as tasks that are numbered from 0 on (PCINFRA_TASK)."""

    tasks: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="How many; left out: as many as sweep has combinations.",
        examples=[100],
    )
    at_once: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Most that run at the same time; left out: as many as find room.",
        examples=[10],
    )


class After(Section):
    """A run that must have come so far before this one starts."""

    run: RunName = Field(description="Its id.")
    when: Literal["done", "failed", "ended", "started"] = Field(
        default="done", description="done: it ended with exit code 0; failed: with another one; ended: in any way."
    )


class ContainerOptions(Section):
    """What the container may do, and what it sees of the user."""

    writable: bool = Field(default=True, description="The image's files can be changed; what is changed is lost.")
    mount_home: bool = Field(default=False, description="It sees your home directory.")
    remap_root: bool = Field(default=True, description="You are root inside, with no more rights than your own.")
    entrypoint: bool = Field(default=False, description="The image's entry point runs before the command.")


class JobSpec(Section):
    """One job."""

    name: Name = Field(default="", description="Part of the run's id; left out: the job file's name.")
    image: ImageName | None = Field(
        default=None,
        description="Container image: the name of one in pcinfra.yaml, registry/repository:tag, sha256:... of the "
        "project's repository, or a .sqsh file on the nodes. Left out: the job runs on the node itself.",
        examples=["nvcr.io/nvidia/pytorch:25.01-py3"],
    )
    container: Literal["required", "optional", "off"] = Field(
        default="required",
        description="Where a cluster cannot run containers: required refuses the job, optional runs it on the node "
        "itself. off runs it there in any case.",
    )
    launcher: LauncherName = Field(
        default="srun",
        description="How the command is started: srun starts it on every node, `processes` times; torchrun, deepspeed "
        "and accelerate as one PyTorch process group; mpi as MPI processes.",
    )
    command: Words = Field(
        default=(),
        description="Program and arguments, exactly as they reach the program.",
        examples=[["python3", "train.py"]],
    )
    script: Text = Field(
        default="",
        description="Instead of command: a script beside the job file, run by its first line (#!), else by bash.",
        examples=["train.sh"],
    )
    args: Annotated[tuple[Text, ...], Listed] = Field(default=(), description="Arguments of script.")
    nodes: int = Field(default=1, ge=1, le=10_000, description="Number of nodes.")
    processes: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Processes on each node; left out: one for each GPU, with srun one.",
        examples=[8],
    )
    gpus: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="GPUs per node; left out: all of them when cpus is left out too, else none.",
        examples=[8],
    )
    cpus: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="CPUs per node; left out: whole nodes that no other job shares.",
        examples=[8],
    )
    memory: int | None = Field(
        default=None, ge=1, le=65_536, description="GiB per node; left out: what comes with the CPUs.", examples=[64]
    )
    queue: QueueName | None = Field(
        default=None, description="Queue (partition); left out: the cluster's default.", examples=["gpu"]
    )
    time_limit: TimeLimit | None = Field(
        default=None,
        description='Longest time to run: "hours:minutes:seconds", "days-hours" or "minutes"; left out: the queue\'s.',
        examples=["2:00:00"],
    )
    environment: dict[Variable, Text] = Field(
        default={}, description="Variables of the command. They win over those of the image."
    )
    secrets: dict[Variable, SecretName] = Field(
        default={},
        description="Variables whose values the nodes fetch, with their own role: secretsmanager:NAME, "
        "secretsmanager:NAME#KEY for one key of a JSON object, ssm:NAME, or an ARN. k8s:NAME#KEY is a Secret of "
        "Kubernetes. They are in no file.",
        examples=[{"HF_TOKEN": "secretsmanager:hugging-face#token"}],
    )
    container_options: ContainerOptions = ContainerOptions()
    mounts: Annotated[tuple[Mount, ...], Listed] = Field(
        default=(), description="What the container sees of the node, besides the run directory, data and checkpoints."
    )
    workdir: Directory | None = Field(
        default=None,
        description="Where the command starts; left out: in the code, else in the image's own directory, else in the "
        "run directory.",
        examples=["/lustre/data"],
    )
    code: Code | None = Field(default=None, description="Code that travels with the job.")
    data: Directory | None = Field(
        default=None,
        description="Directory with the data, in PCINFRA_DATA and mounted where it is.",
        examples=["/lustre/data"],
    )
    checkpoints: Directory | None = Field(
        default=None,
        description="Directory for checkpoints, in PCINFRA_CHECKPOINTS; left out: one inside the run directory.",
        examples=["/lustre/checkpoints/llama"],
    )
    logs: Directory | None = Field(
        default=None,
        description="Directory for the logs, each run in a directory of its own; left out: inside the run directory.",
        examples=["/lustre/logs"],
    )
    restarts: int = Field(
        default=0, ge=0, le=1000, description="How often torchrun starts all processes again after one has failed."
    )
    requeue: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="How often the job goes back into the queue, under the same id: after a node has failed, when "
        "another job takes its nodes, and at its time limit.",
    )
    grace_period: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Seconds between the stop signal and the time limit, for a last checkpoint; left out: 300, or a "
        "fifth of the time limit where that is less.",
        examples=[120],
    )
    health: Literal["quick", "nccl", "off"] | None = Field(
        default=None,
        description="A look at the nodes before the command starts: quick asks each for its GPUs, EFA devices and the "
        "shared file system, in a few seconds; nccl lets them also exchange data. An unhealthy node is drained, and "
        "the job goes on elsewhere. Left out: quick where the job has GPUs, else off.",
    )
    health_bandwidth: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="For health: nccl, the least bus bandwidth of an all-reduce, in GB/s; left out: half of what the "
        "network of the instance type carries.",
        examples=[240],
    )
    kubernetes: Kubernetes = Field(default=Kubernetes(), description="What only Kubernetes asks for.")

    exclusive: bool = Field(
        default=False, description="Share the nodes with no other job, also where cpus or gpus ask for less than all."
    )
    array: Array | None = Field(default=None, description="The same job many times.")
    sweep: dict[Variable, Values] = Field(
        default={},
        description="Values of variables: one task for each combination, the last variable changing fastest.",
        examples=[{"LEARNING_RATE": ["0.1", "0.01"]}],
    )
    after: Annotated[tuple[After, ...], Listed] = Field(default=(), description="Runs that this one waits for.")

    @property
    def tasks(self) -> int | None:
        """Number of tasks of an array or a sweep; None for a job that is neither."""
        if self.sweep:
            return math.prod(len(values) for values in self.sweep.values())
        return self.array.tasks if self.array else None

    def values(self, task: int) -> dict[str, str]:
        """Return the values of the sweep's variables in a task; the last variable changes fastest."""
        found, stride = {}, self.tasks or 1
        for name, values in self.sweep.items():
            stride //= len(values)
            found[name] = values[task // stride % len(values)]
        return found

    @property
    def grace(self) -> int:
        """Seconds between the stop signal and the time limit."""
        if self.grace_period is not None:
            return self.grace_period
        return min(GRACE, max(1, seconds(self.time_limit) // 5)) if self.time_limit else GRACE
