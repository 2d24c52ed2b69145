"""What rendering takes and gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pcinfra.jobs.kubernetes.settings import Kubernetes
from pcinfra.jobs.manifest import File, Manifest
from pcinfra.jobs.spec import JobSpec

Object = dict[str, Any]
"""One Kubernetes object, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is rendered.

    Args:
        run: the run's id, which is the objects' name.
        image: the image, as the nodes pull it.
        namespace: empty leaves it to who sends the objects.
    """

    spec: JobSpec
    run: str
    image: str
    script: bytes = b""
    code: bytes = b""
    namespace: str = ""

    @property
    def settings(self) -> Kubernetes:
        return self.spec.kubernetes


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects of a run, the job first, and what a reader should know about them."""

    objects: tuple[Object, ...]
    notes: tuple[str, ...] = ()

    @property
    def job(self) -> Object:
        return self.objects[0]

    def manifest(self, run: str) -> Manifest:
        """Return the objects as the files of a Manifest, one JSON text each."""
        files = (File(f"{o['kind'].lower()}.json", json.dumps(o, ensure_ascii=False).encode()) for o in self.objects)
        return Manifest(run, tuple(files))
