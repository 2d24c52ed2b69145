"""From a job file to what is rendered: the kind, the run's id, the image as nodes pull it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pcinfra.errors import UsageError
from pcinfra.jobs.kubernetes import jobrules, naming
from pcinfra.jobs.kubernetes.check import Schemas
from pcinfra.jobs.kubernetes.dialect import NEWEST, Dialect
from pcinfra.jobs.kubernetes.render import pytorchjob, trainjob
from pcinfra.jobs.kubernetes.render.model import Job, Rendered
from pcinfra.jobs.kubernetes.settings import Kind
from pcinfra.jobs.load import Job as Loaded
from pcinfra.jobs.spec import JobSpec


def kind_of(spec: JobSpec, schemas: Schemas | None = None) -> Kind:
    """Return what ``spec`` becomes: what it says, what only one kind can do, or what is installed."""
    if spec.kubernetes.kind:
        return spec.kubernetes.kind
    if spec.kubernetes.elastic:
        return "PyTorchJob"
    if schemas and "TrainJob" not in schemas.resources and "PyTorchJob" in schemas.resources:
        return "PyTorchJob"
    return "TrainJob"


def prepare(
    loaded: Loaded, kind: Kind, *, namespace: str = "", images: Mapping[str, str] | None = None, run: str = ""
) -> Job:
    """Return ``loaded`` as a job of ``kind``, with a run id of its own unless ``run`` says one."""
    spec, elastic = loaded.spec, loaded.spec.kubernetes.elastic
    named = run or naming.run_id(spec.name, kind, max(spec.nodes, elastic.max if elastic else 1), spec.tasks)
    place = namespace or spec.kubernetes.namespace or ""
    return Job(spec, named, image_of(spec.image or "", images or {}), loaded.script, loaded.code, place)


def image_of(image: str, images: Mapping[str, str]) -> str:
    """Return an image as Kubernetes writes it; ``docker://`` and ``#`` after the registry are Enroot's."""
    return images.get(image) or image.removeprefix("docker://").replace("#", "/", 1)


def render(job: Job, kind: Kind, dialect: Dialect = NEWEST) -> Rendered:
    """Return the objects of ``job``, and the notes on it. Of an array, each task is a job of its own.

    Raises:
        UsageError: a job of this kind cannot run it.
    """
    if kind == "PyTorchJob" and job.settings.framework != "pytorch":
        raise UsageError("cannot be a PyTorchJob", where=f"framework {job.settings.framework}", hint="kind: TrainJob")
    tasks = [job] if job.spec.tasks is None else [replace(job, task=number) for number in range(job.spec.tasks)]
    train = kind == "TrainJob"
    first = trainjob.render(tasks[0], dialect) if train else pytorchjob.render(tasks[0])
    others = (trainjob.train_job(each, dialect) if train else pytorchjob.torch_job(each) for each in tasks[1:])
    objects = (first.job, *others, *first.objects[1:])
    return replace(first, objects=objects, notes=(*jobrules.notes(job.spec), *first.notes))
