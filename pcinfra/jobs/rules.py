"""What is wrong between the fields of a job file."""

from __future__ import annotations

from collections.abc import Iterator

from pcinfra.jobs.fields import seconds
from pcinfra.jobs.spec import JobSpec
from pcinfra.project.positions import Finding


def contradictions(spec: JobSpec) -> Iterator[Finding]:
    """Yield what is wrong between the fields of ``spec``."""
    yield from _nothing_to_run(spec)
    yield from _launching(spec)
    yield from _containers(spec)
    yield from _time(spec)
    yield from _tasks(spec)
    yield from _health(spec)


def _nothing_to_run(spec: JobSpec) -> Iterator[Finding]:
    if spec.command and spec.script:
        yield Finding(("script",), "cannot be given together with command", "keep one of them", (("command",),))
    if not spec.command and not spec.script:
        why = "is missing: the job has nothing to run"
        yield Finding(("command",), why, "command: [python3, train.py]", (("script",),))
    if spec.command and not spec.command[0]:
        yield Finding(("command", 0), "is empty; the first word is the program")
    if spec.args and not spec.script:
        yield Finding(("args",), "is for script; a command's arguments are in its list", also=(("script",),))


def _launching(spec: JobSpec) -> Iterator[Finding]:
    if spec.restarts and spec.launcher != "torchrun":
        why = f"is for torchrun; {spec.launcher} does not start processes again"
        yield Finding(("restarts",), why, "launcher: torchrun, or requeue instead of restarts", (("launcher",),))
    processes = spec.processes or (spec.gpus if spec.launcher == "mpi" else None)
    if spec.launcher in ("srun", "mpi") and spec.cpus and processes and spec.cpus % processes:
        why = f"cannot be divided among {processes} processes"
        near = spec.cpus // processes * processes or processes
        yield Finding(("cpus",), why, f"cpus: {near}", (("processes",), ("gpus",), ("launcher",)))
    if spec.launcher == "mpi" and not processes and not spec.cpus:
        why = "needs the number of processes on each node"
        yield Finding(("launcher",), why, "processes: 8", (("processes",), ("gpus",), ("cpus",)))


def _containers(spec: JobSpec) -> Iterator[Finding]:
    if spec.mounts and not spec.image:
        yield Finding(
            ("mounts",), "need a container; on the node itself every path is there", "image: ...", (("image",),)
        )
    inside = [mount.inside for mount in spec.mounts]
    for number, mount in enumerate(spec.mounts):
        if spec.image and spec.container == "optional" and mount.inside != mount.source:
            why = "must be the same path as source: with container: optional the job may run on the node itself"
            also = (("container",), ("image",))
            yield Finding(("mounts", number, "target"), why, f"target: {mount.source}", also)
        if mount.inside in inside[:number]:
            yield Finding(("mounts", number), f"is a second mount at {mount.inside}", "one of them", ())


def _time(spec: JobSpec) -> Iterator[Finding]:
    limit = seconds(spec.time_limit) if spec.time_limit else None
    if limit == 0:
        yield Finding(("time_limit",), "must be more than nothing", 'time_limit: "1:00:00"')
    elif limit is not None and spec.grace_period is not None and spec.grace_period >= limit:
        why = f"must be less than the time limit, which is {limit} seconds"
        yield Finding(("grace_period",), why, f"grace_period: {max(1, limit // 5)}", (("time_limit",),))


MAX_TASKS = 1_000_000


def _tasks(spec: JobSpec) -> Iterator[Finding]:
    if spec.sweep and spec.array and spec.array.tasks is not None:
        why = f"cannot be given together with sweep, which has {spec.tasks} combinations"
        yield Finding(("array", "tasks"), why, "array: {at_once: 10}", (("sweep",),))
    if spec.array and spec.array.tasks is None and not spec.sweep:
        yield Finding(
            ("array",), "has no tasks, and there is no sweep", "array: {tasks: 100}", (("sweep",), ("array", "tasks"))
        )
    if spec.sweep and (spec.tasks or 0) > MAX_TASKS:
        yield Finding(("sweep",), f"has {spec.tasks:,} combinations; at most {MAX_TASKS:,} are possible")
    for name in spec.secrets:
        if name in spec.environment or name in spec.sweep:
            also = (("environment", name), ("sweep", name))
            yield Finding(("secrets", name), "is in environment or sweep, too", "one of them", also)
    for name in spec.sweep:
        if name in spec.environment:
            yield Finding(("sweep", name), "is in environment, too", "one of them", (("environment", name),))


def _health(spec: JobSpec) -> Iterator[Finding]:
    if spec.health_bandwidth is not None and spec.health != "nccl":
        yield Finding(("health_bandwidth",), "is for health: nccl", "health: nccl", (("health",),))
    if spec.health == "nccl" and spec.cpus and not spec.gpus:
        yield Finding(("health",), "nccl is for GPUs, and the job has none", "gpus: 8", (("gpus",), ("cpus",)))
