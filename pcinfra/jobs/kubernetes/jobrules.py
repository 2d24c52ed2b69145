"""What Kubernetes asks of a job file: said with line and column, before anything is rendered."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from pcinfra.jobs.kubernetes.render.files import LAUNCHERS
from pcinfra.jobs.secrets import of_aws
from pcinfra.jobs.spec import JobSpec
from pcinfra.project.positions import Finding

_OPERATORS = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TF_CONFIG")
MAX_TASKS = 200
_RESERVED_PATHS = ("/pcinfra", "/dev/shm", "/shared-env")  # noqa: S108 - mounts, no temporary files


def findings(spec: JobSpec) -> Iterator[Finding]:
    """Yield what keeps ``spec`` from running on Kubernetes."""
    yield from _image(spec)
    yield from _amounts(spec)
    yield from _launching(spec)
    yield from _variables(spec)
    yield from _volumes(spec)
    yield from _paths(spec)
    yield from _kind(spec)
    yield from _elsewhere(spec)
    yield from _secrets(spec)


def notes(spec: JobSpec) -> Iterator[str]:
    """Yield what Kubernetes leaves out of a job file that other backends use."""
    if spec.queue and not spec.kubernetes.queue:
        yield "queue is Slurm's; Kueue's is kubernetes.queue"
    if spec.logs:
        yield "logs: the pods' logs are with the cluster; pcinfra logs shows them"
    if spec.kubernetes.elastic and not spec.requeue:
        yield "elastic without requeue: a pod that fails ends the job, and worker 0 keeps the rendezvous of all"
    if (spec.restarts or spec.requeue) and not spec.checkpoints:
        yield "without checkpoints a job that comes back begins anew: set checkpoints to a path on a volume"


def _image(spec: JobSpec) -> Iterator[Finding]:
    if spec.image is None:
        why = "is missing: on Kubernetes every job runs in a container"
        yield Finding(("image",), why, "image: public.ecr.aws/deep-learning-containers/pytorch-training:...")
    elif spec.image.endswith(".sqsh"):
        yield Finding(("image",), "is a file for Enroot; Kubernetes pulls from a registry", "registry/repository:tag")
    if spec.container == "off":
        yield Finding(
            ("container",), "cannot be off: on Kubernetes every job runs in a container", "container: required"
        )


def _amounts(spec: JobSpec) -> Iterator[Finding]:
    if spec.gpus is None and spec.cpus is None:
        why = "is missing: a pod gets only the GPUs that it asks for"
        yield Finding(("gpus",), why, "gpus: 8   or, for a job without GPUs, cpus: 8", (("cpus",),))


def _launching(spec: JobSpec) -> Iterator[Finding]:
    settings = spec.kubernetes
    if spec.launcher == "mpi":
        # kubeflow/trainer issues 2825 and 4030: a TrainJob's image and command reach the launcher's pod alone.
        why = "is for Slurm: the Trainer starts the nodes of an MPI job from its runtime's image, not from yours"
        yield Finding(("launcher",), why, "launcher: torchrun, accelerate or deepspeed")
    if spec.launcher == "srun" and (spec.processes or 1) > 1:
        why = "is not for srun: Kubernetes starts the command once in every pod"
        yield Finding(("processes",), why, "launcher: torchrun", (("launcher",),))
    if settings.framework == "tensorflow" and spec.launcher in ("torchrun", *LAUNCHERS):
        why = f"{spec.launcher} cannot start TensorFlow"
        yield Finding(("launcher",), why, "launcher: srun", (("kubernetes", "framework"),))


def _variables(spec: JobSpec) -> Iterator[Finding]:
    for name in spec.environment:
        if name.startswith("PET_") or name in _OPERATORS:
            why = "is set by the operator and by torchrun; a value of yours would start the wrong number of processes"
            yield Finding(("environment", name), why, "remove it: torchrun reads PET_* by itself")


def _volumes(spec: JobSpec) -> Iterator[Finding]:
    seen: set[str] = set()
    for number, volume in enumerate(spec.kubernetes.volumes):
        place: tuple[str | int, ...] = ("kubernetes", "volumes", number)
        path = _clean(volume.path)
        if len(volume.sources) != 1:
            said = " and ".join(volume.sources) or "nothing"
            yield Finding(place, f"must have one source, and has {said}", "claim: NAME")
        if path in seen:
            yield Finding((*place, "path"), f"is a second volume at {path}", "one of them")
        if path == "/" or any(path == top or path.startswith(f"{top}/") for top in _RESERVED_PATHS):
            hint = "kubernetes.shared_memory: 64" if path.startswith("/dev") else "another path"
            yield Finding((*place, "path"), f"{path} is taken by the job itself", hint)
        seen.add(path)


def _clean(path: str) -> str:
    """Return a path as the kernel walks it: ``/a/../b/`` and ``//b`` are ``/b``."""
    return "/" + posixpath.normpath(path).lstrip("/")


def _paths(spec: JobSpec) -> Iterator[Finding]:
    tops = [volume.path.rstrip("/") for volume in spec.kubernetes.volumes]

    def held(path: str) -> bool:
        return any(path == top or path.startswith(f"{top}/") for top in tops)

    wanted: list[tuple[tuple[str | int, ...], str]] = []
    wanted += [(("data",), spec.data)] if spec.data else []
    wanted += [(("checkpoints",), spec.checkpoints)] if spec.checkpoints else []
    wanted += [(("mounts", number, "source"), mount.source) for number, mount in enumerate(spec.mounts)]
    for path, value in wanted:
        if not held(value):
            top = "/" + value.strip("/").partition("/")[0]
            why = "is on no volume of the pods: they see nothing of the node's disks"
            yield Finding(
                path, why, f"kubernetes.volumes: [{{path: {top}, claim: NAME}}]", (("kubernetes", "volumes"),)
            )


def _kind(spec: JobSpec) -> Iterator[Finding]:
    settings = spec.kubernetes
    if settings.elastic is None:
        return
    at = ("kubernetes", "elastic")
    if settings.kind == "TrainJob":
        yield Finding(at, "is for a PyTorchJob; no TrainJob can change its number of nodes", "kind: PyTorchJob")
    if spec.launcher != "torchrun":
        yield Finding(at, "needs torchrun, which lets workers come and go", "launcher: torchrun", (("launcher",),))
    if not settings.elastic.min <= spec.nodes <= settings.elastic.max:
        why = f"must have nodes ({spec.nodes}) between min and max"
        yield Finding(at, why, f"nodes: {settings.elastic.max}", (("nodes",),))


def _elsewhere(spec: JobSpec) -> Iterator[Finding]:
    """What only Slurm does: nothing in the cluster would start what waits."""
    if spec.health not in (None, "off"):
        yield Finding(("health",), "is for Slurm: Kubernetes looks at its nodes itself", 'health: "off"')
    if spec.after:
        first = spec.after[0].run
        why = "is for Slurm: neither operator waits for another run, and nobody would start this one"
        yield Finding(("after",), why, f"pcinfra wait {first} --on k8s && pcinfra submit JOB.yaml --on k8s")
    if spec.array and spec.array.at_once:
        why = "is for Slurm: all tasks are there at once, and the quota of a Kueue queue says how many run"
        yield Finding(("array", "at_once"), why, "kubernetes.queue: NAME, without at_once")
    if (spec.tasks or 0) > MAX_TASKS:
        at = ("sweep",) if spec.sweep else ("array", "tasks")
        why = f"makes {spec.tasks:,} tasks; on Kubernetes each is a job of its own, and at most {MAX_TASKS} are made"
        yield Finding(at, why, "several job files, or tasks that do more each")


def _secrets(spec: JobSpec) -> Iterator[Finding]:
    """A value of AWS's is fetched by the pods: with a role that is the job's own, not the node's or everybody's."""
    if spec.kubernetes.service_account:
        return
    for name in of_aws(spec.secrets):
        why = "is fetched by the pods, and nothing says with which role"
        hint = "kubernetes.service_account: NAME, which may read it; or k8s:NAME#KEY for a Secret of the namespace"
        yield Finding(("secrets", name), why, hint, (("kubernetes", "service_account"),))
