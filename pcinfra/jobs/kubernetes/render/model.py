"""What rendering takes and gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pcinfra.jobs.kubernetes import naming
from pcinfra.jobs.kubernetes.settings import Kubernetes
from pcinfra.jobs.manifest import File, Manifest
from pcinfra.jobs.spec import JobSpec

ARCHIVE = "code.tar.gz"

Object = dict[str, Any]
"""One Kubernetes object, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where code lies that no ConfigMap holds; ``prefix`` ends with a slash and belongs to one namespace."""

    name: str
    region: str
    prefix: str

    def address(self, run: str) -> str:
        return f"s3://{self.name}/{self.prefix}{run}.tar.gz"


@dataclass(frozen=True, slots=True)
class Job:
    """What is rendered.

    Args:
        run: the run's id, which is the objects' name.
        image: the image, as the nodes pull it.
        namespace: empty leaves it to who sends the objects.
        bucket: None: code must fit into a ConfigMap.
        region: where secrets are that do not say it, and pods that are not told; empty: not known.
        task: of an array or a sweep, from 0 on; None for a job that is neither.
    """

    spec: JobSpec
    run: str
    image: str
    script: bytes = b""
    code: bytes = b""
    namespace: str = ""
    bucket: Bucket | None = None
    region: str = ""
    task: int | None = None

    @property
    def name(self) -> str:
        """Of the job object."""
        return self.run if self.task is None else f"{self.run}-{self.task}"

    @property
    def labels(self) -> dict[str, str]:
        """Of every object of the run: by them it is found, and swept."""
        own = {
            naming.MANAGED: "pcinfra",
            naming.RUN: self.run,
            naming.SWEEP: naming.slug(self.spec.name) or "job",
        }
        if self.task is None:
            return own
        return {**own, naming.TASK: str(self.task), naming.TASKS: str(self.spec.tasks)}

    @property
    def settings(self) -> Kubernetes:
        return self.spec.kubernetes


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects of a run, the job first (of an array all of them), and what a reader should know about them.

    Args:
        archive: the code, where it is to lie in a bucket.
    """

    objects: tuple[Object, ...]
    notes: tuple[str, ...] = ()
    archive: bytes = b""

    @property
    def job(self) -> Object:
        return self.objects[0]

    @property
    def jobs(self) -> tuple[Object, ...]:
        return tuple(each for each in self.objects if each["kind"] == self.job["kind"])

    def manifest(self, run: str) -> Manifest:
        """Return the objects as the files of a Manifest, one JSON text each, and the archive."""
        files = [File(_name(o), json.dumps(o, ensure_ascii=False).encode()) for o in self.objects]
        return Manifest(run, (*files, *([File(ARCHIVE, self.archive)] if self.archive else [])))


def _name(value: Object) -> str:
    task = (value["metadata"].get("labels") or {}).get(naming.TASK, "")
    return f"{value['kind'].lower()}{f'-{task}' if task else ''}.json"
