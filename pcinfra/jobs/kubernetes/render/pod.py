"""What TrainJobs and PyTorchJobs share: environment, resources, volumes, where the pods may run."""

from __future__ import annotations

from collections.abc import Iterator

from pcinfra.jobs.fields import seconds
from pcinfra.jobs.kubernetes import naming
from pcinfra.jobs.kubernetes.render.expansion import literal
from pcinfra.jobs.kubernetes.render.files import CODE, MOUNT, VOLUME, config_name, has_files, stored
from pcinfra.jobs.kubernetes.render.model import Job, Object
from pcinfra.jobs.kubernetes.settings import Volume
from pcinfra.jobs.secrets import of_kubernetes

GPU = "nvidia.com/gpu"
_MOST = 100_000  # bytes of an annotation of ours; all of an object's have 256 KiB
_CODE_VOLUME = "pcinfra-code"


def metadata(job: Job) -> Object:
    place = {"namespace": job.namespace} if job.namespace else {}
    return {"name": job.name, **place, "labels": job.labels}


def notes(job: Job) -> dict[str, str]:
    """Return annotations: the job file without its environment, for `pcinfra show`, and where the code is."""
    text = job.spec.model_dump_json(exclude_defaults=True, exclude={"environment"})
    place = {naming.CODE: job.bucket.address(job.run)} if job.bucket and stored(job) else {}
    return {**({naming.JOB_FILE: text} if len(text) < _MOST else {}), **place}


def environment(job: Job) -> list[Object]:
    """Return the variables of the command; the job file's come last and win."""
    spec = job.spec
    values = {"PCINFRA_RUN": job.run}
    if spec.data:
        values["PCINFRA_DATA"] = spec.data
    if job.task is not None:
        values |= {"PCINFRA_TASK": str(job.task), "PCINFRA_TASKS": str(spec.tasks)}
    if spec.checkpoints:
        values["PCINFRA_CHECKPOINTS"] = spec.checkpoints + ("" if job.task is None else f"/{job.task}")
    if spec.launcher == "torchrun" and spec.restarts:
        # A killed process would leave the keys of the last attempt in a shared store (pytorch issue 135712).
        values["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    if spec.code:
        values["PCINFRA_CODE"] = CODE
    if spec.code or spec.workdir:
        values["PCINFRA_WORKDIR"] = spec.workdir or CODE
    values.update(spec.environment)
    values.update(spec.values(job.task or 0))
    plain: list[Object] = [{"name": name, "value": literal(value)} for name, value in values.items()]
    secret = (
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": each.name, "key": each.key}}}
        for variable, each in of_kubernetes(spec.secrets).items()
    )
    return [*plain, *secret]


def resources(job: Job) -> Object:
    """Return equal requests and limits: devices must be equal, and what a training job has it should keep."""
    spec, amounts = job.spec, {}
    if spec.cpus:
        amounts["cpu"] = str(spec.cpus)
    if spec.memory:
        amounts["memory"] = f"{spec.memory}Gi"
    if spec.gpus:
        amounts[GPU] = str(spec.gpus)
    amounts.update({name: str(count) for name, count in job.settings.devices.items()})
    return {"limits": amounts, "requests": dict(amounts)}


def processes(job: Job) -> int:
    """Return how many processes a torchrun in the pod starts; one for each GPU when the job file does not say."""
    return job.spec.processes or job.spec.gpus or 1


def volumes(job: Job) -> list[Object]:
    found = [{"name": f"volume-{number}", **_source(job, v)} for number, v in enumerate(job.settings.volumes)]
    found += [{"name": name, **_source(job, volume)} for name, volume, _ in _inner(job)]
    if job.settings.shared_memory:
        memory = {"medium": "Memory", "sizeLimit": f"{job.settings.shared_memory}Gi"}
        found.append({"name": "shared-memory", "emptyDir": memory})
    if has_files(job):
        # 493 is 0755: YAML 1.1 and 1.2 read that differently.
        found.append({"name": VOLUME, "configMap": {"name": config_name(job), "defaultMode": 493}})
    if job.code:
        found.append({"name": _CODE_VOLUME, "emptyDir": {}})
    return found


def mounts(job: Job) -> list[Object]:
    found = [_mount(f"volume-{number}", v.path, v.read_only) for number, v in enumerate(job.settings.volumes)]
    if job.settings.shared_memory:
        found.append(_mount("shared-memory", "/dev/shm"))  # noqa: S108 - a mount, no temporary file
    found += [mount for _, _, mount in _inner(job)]
    if has_files(job):
        found.append(_mount(VOLUME, MOUNT, True))
    if job.code:
        found.append(_mount(_CODE_VOLUME, CODE))
    return found


def _inner(job: Job) -> Iterator[tuple[str, Volume, Object]]:
    """Yield name, source and mount of each directory of a volume that is seen elsewhere too.

    Each has a volume of its own, of the same source: a TrainJob mounts a volume once (``volumeMounts`` is a map by name
    in its CRD).
    """
    for number, mount in enumerate(job.spec.mounts):
        place = holder(job, mount.source)
        if place is not None and mount.inside != mount.source:
            volume, rest = job.settings.volumes[place[0]], place[1]
            name = f"mount-{number}"
            fields = _mount(name, mount.inside, mount.read_only or volume.read_only)
            yield name, volume, {**fields, **({"subPath": rest} if rest else {})}


def holder(job: Job, path: str) -> tuple[int, str] | None:
    """Return the volume (by its number) that holds ``path``, and the rest of the path in it; None when none does."""
    best: tuple[int, str] | None = None
    longest = -1
    for number, volume in enumerate(job.settings.volumes):
        top = volume.path.rstrip("/")
        if (path == top or path.startswith(f"{top}/")) and len(top) > longest:
            best, longest = (number, path[len(top) :].strip("/")), len(top)
    return best


def placement(job: Job) -> Object:
    """Return the fields of a pod's spec that say where it may run, and as whom."""
    settings = job.settings
    fields: Object = {}
    if settings.node_selector:
        fields["nodeSelector"] = dict(settings.node_selector)
    tolerations = [
        {key: value for key, value in toleration.model_dump().items() if value} for toleration in settings.tolerations
    ]
    if job.spec.gpus and not any(t["key"] == GPU for t in tolerations):
        # What GKE and the GPU operator taint their nodes with, and most EKS node groups of GPUs.
        tolerations.append({"key": GPU, "operator": "Exists", "effect": "NoSchedule"})
    if tolerations:
        fields["tolerations"] = tolerations
    if settings.service_account:
        fields["serviceAccountName"] = settings.service_account
    if settings.pull_secrets:
        fields["imagePullSecrets"] = [{"name": name} for name in settings.pull_secrets]
    return fields


def deadline(job: Job) -> int | None:
    """Return the seconds after which the pods are told to stop; the grace period follows."""
    limit = job.spec.time_limit
    return max(1, seconds(limit) - job.spec.grace) if limit else None


def _source(job: Job, volume: Volume) -> Object:
    claim = volume.claim or (volume.lustre and volume.lustre.file_system)
    if claim:
        return {"persistentVolumeClaim": {"claimName": claim, **({"readOnly": True} if volume.read_only else {})}}
    if volume.config_map:
        return {"configMap": {"name": volume.config_map, "defaultMode": 493}}
    if volume.secret:
        return {"secret": {"secretName": volume.secret, "defaultMode": 256}}
    if volume.host_path:
        return {"hostPath": {"path": volume.host_path, "type": "Directory"}}
    return {"emptyDir": {"sizeLimit": f"{volume.scratch}Gi"}}


def _mount(name: str, path: str, read_only: bool = False) -> Object:
    return {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}
