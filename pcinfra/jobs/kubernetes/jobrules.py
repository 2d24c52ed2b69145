"""What Kubernetes asks of a job file: said with line and column, before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterator

from pcinfra.jobs.spec import JobSpec
from pcinfra.project.positions import Finding

_OPERATORS = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TF_CONFIG")
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


def notes(spec: JobSpec) -> Iterator[str]:
    """Yield what Kubernetes leaves out of a job file that other backends use."""
    if spec.queue and not spec.kubernetes.queue:
        yield "queue is Slurm's; Kueue's is kubernetes.queue"
    if spec.logs:
        yield "logs: the pods' logs are with the cluster; pcinfra logs shows them"
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
    if spec.launcher not in ("srun", "torchrun"):
        yield Finding(
            ("launcher",), f"must be torchrun or srun on Kubernetes, not {spec.launcher}", "launcher: torchrun"
        )
    if spec.launcher == "srun" and (spec.processes or 1) > 1:
        why = "is for torchrun: Kubernetes starts the command once in every pod"
        yield Finding(("processes",), why, "launcher: torchrun", (("launcher",),))
    if settings.framework == "tensorflow" and spec.launcher == "torchrun":
        yield Finding(
            ("launcher",), "torchrun cannot start TensorFlow", "launcher: srun", (("kubernetes", "framework"),)
        )


def _variables(spec: JobSpec) -> Iterator[Finding]:
    for name in spec.environment:
        if name.startswith("PET_") or name in _OPERATORS:
            why = "is set by the operator and by torchrun; a value of yours would start the wrong number of processes"
            yield Finding(("environment", name), why, "remove it: torchrun reads PET_* by itself")


def _volumes(spec: JobSpec) -> Iterator[Finding]:
    seen: set[str] = set()
    for number, volume in enumerate(spec.kubernetes.volumes):
        place: tuple[str | int, ...] = ("kubernetes", "volumes", number)
        path = volume.path.rstrip("/") or "/"
        if len(volume.sources) != 1:
            said = " and ".join(volume.sources) or "nothing"
            yield Finding(place, f"must have one source, and has {said}", "claim: NAME")
        if path in seen:
            yield Finding((*place, "path"), f"is a second volume at {path}", "one of them")
        if path == "/" or any(path == top or path.startswith(f"{top}/") for top in _RESERVED_PATHS):
            hint = "kubernetes.shared_memory: 64" if path.startswith("/dev") else "another path"
            yield Finding((*place, "path"), f"{path} is taken by the job itself", hint)
        seen.add(path)


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
    """What only Slurm does."""
    for name, value in (("array", spec.array), ("sweep", spec.sweep), ("after", spec.after)):
        if value:
            yield Finding((name,), "is for Slurm: neither operator has it", "a job file for each")
    if spec.health not in (None, "off"):
        yield Finding(("health",), "is for Slurm: Kubernetes looks at its nodes itself", "health: off")
    if spec.secrets:
        why = "are fetched by the nodes of a Slurm cluster; Kubernetes has secrets of its own"
        yield Finding(("secrets",), why, "kubernetes.volumes: [{path: /secrets, secret: NAME}]")
