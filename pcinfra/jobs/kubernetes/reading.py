"""What the launcher asks a cluster: what is installed, which jobs there are, their pods and their troubles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pcinfra.errors import AccessDenied, NotFound, UsageError
from pcinfra.jobs.kubernetes import naming
from pcinfra.jobs.kubernetes.api import Api, pages
from pcinfra.jobs.kubernetes.check import Schemas
from pcinfra.jobs.kubernetes.kinds import KINDS, JobKind
from pcinfra.jobs.kubernetes.render.runtimes import RUNTIMES
from pcinfra.jobs.kubernetes.schema.crd import from_server

Object = dict[str, Any]
OURS: Mapping[str, str | int] = {"labelSelector": naming.RUN}
JOBSET = "jobsets.jobset.x-k8s.io"
_RUN = re.compile(r"[a-z][-a-z0-9]{0,62}")
_MOST_EVENTS = 2000


@dataclass(frozen=True, slots=True)
class Found:
    """A run: its jobs, which are one, or one for each task of an array that is there."""

    run: str
    kind: JobKind
    jobs: tuple[Object, ...]

    @property
    def first(self) -> Object:
        return self.jobs[0]

    @property
    def tasks(self) -> int | None:
        """How many an array has, also where some are gone; None for a run that is none, and for a single task."""
        labels = self.first["metadata"].get("labels") or {}
        text = str(labels.get(naming.TASKS, ""))
        return int(text) if text.isdigit() and labels.get(naming.RUN) == self.run else None

    @property
    def uid(self) -> str:
        return str(self.first["metadata"].get("uid", ""))


@dataclass
class Reading:
    """Reads one namespace; never changes anything."""

    api: Api
    _schemas: Schemas | None = field(default=None)

    def path(self, resource: str, name: str = "") -> str:
        """Return the path of a resource of the core API in the namespace."""
        base = f"/api/v1/namespaces/{self.api.namespace}/{resource}"
        return f"{base}/{name}" if name else base

    @property
    def schemas(self) -> Schemas:
        """What is installed, read from the server once.

        Raises:
            NotFound: neither operator is.
            AccessDenied: we may not see.
        """
        if self._schemas is None:
            found = [from_server(crd) for kind in KINDS.values() if (crd := self._crd(kind.crd))]
            if not found:
                why = "has neither the Kubeflow Trainer nor the training operator"
                raise NotFound(why, where=self.api.where, hint=f"pcinfra k8s setup{self.api.on}")
            self._schemas = Schemas.of(found)
        return self._schemas

    def namespace_uid(self) -> str:
        """Return what the namespace is called for good, in this cluster and in no other."""
        return str(self.api.call("GET", f"/api/v1/namespaces/{self.api.namespace}")["metadata"]["uid"])

    def need_namespace(self) -> None:
        """See that the namespace is there: a list of what is in none is empty, as kubectl's.

        Raises:
            NotFound: it is not.
        """
        try:
            self.namespace_uid()
        except AccessDenied:
            return

    def jobs(self, selection: Mapping[str, str | int] = OURS) -> list[tuple[JobKind, Object]]:
        """Return every job of pcinfra's in the namespace, newest first."""
        found: list[tuple[JobKind, Object]] = []
        for kind in KINDS.values():
            try:
                found += [(kind, job) for job in pages(self.api, kind.path(self.api.namespace), selection)]
            except NotFound:
                continue  # this operator is not installed
        return sorted(found, key=lambda each: str(each[1]["metadata"].get("creationTimestamp", "")), reverse=True)

    def runs(self) -> list[Found]:
        """Return every run of pcinfra's in the namespace, newest first."""
        return _together(self.jobs())

    def find(self, run: str) -> Found:
        """Return ``run``: its id, the beginning of it, its job's uid, or one task of an array as ``RUN-3``.

        Raises:
            NotFound: there is none.
            UsageError: the name means several, or cannot be one.
        """
        if not _RUN.fullmatch(run) and not naming.UID.fullmatch(run):
            raise UsageError("is not the name of a run", where=repr(run), hint=f"pcinfra jobs{self.api.on}")
        for kind in KINDS.values():
            try:
                return Found(run, kind, (self.api.call("GET", kind.path(self.api.namespace, run)),))
            except NotFound:
                continue
        tasks = [] if naming.UID.fullmatch(run) else self.tasks_of(run)
        near = tasks or [each for each in self.runs() if _means(run, each)]
        if not near:
            raise NotFound("there is no such run", where=run, hint=f"pcinfra jobs{self.api.on}")
        if len(near) > 1:
            names = " ".join(each.run for each in near[:5])
            raise UsageError(f"means several runs: {names}", where=run, hint="write more of the id")
        return near[0]

    def tasks_of(self, run: str) -> list[Found]:
        """Return the array of exactly this id, if there is one."""
        return _together(self.jobs({"labelSelector": f"{naming.RUN}={run},{naming.TASK}"}))

    def pods(self, found: Found) -> list[Object]:
        """Return the pods of a run, the first task and its first node first."""
        label, value = (found.kind.pods, found.first["metadata"]["name"])
        if found.tasks is not None:
            label, value = naming.RUN, found.run
        listed = list(pages(self.api, self.path("pods"), {"labelSelector": f"{label}={value}"}))
        return sorted(listed, key=lambda pod: (_task(pod), *_natural(str(pod["metadata"]["name"]))))

    def warnings(self, name: str) -> list[Object]:
        """Return the warnings about a job, its JobSet and its pods; none where we may not read events."""
        query: dict[str, str | int] = {"fieldSelector": "type=Warning"}
        try:
            listed = list(pages(self.api, self.path("events"), query, limit=_MOST_EVENTS))
        except AccessDenied:
            return []
        return [event for event in listed if about(event, name)]

    def runtime(self, job: Object) -> Object | None:
        """Return the runtime that a TrainJob names; None where we may not read it.

        Raises:
            NotFound: there is none of this name.
        """
        reference = job["spec"]["runtimeRef"]
        name = reference["name"]
        namespaced = reference.get("kind") == "TrainingRuntime"
        plural = f"namespaces/{self.api.namespace}/trainingruntimes" if namespaced else "clustertrainingruntimes"
        try:
            return self.api.call("GET", f"/apis/trainer.kubeflow.org/v1alpha1/{plural}/{name}")
        except NotFound as error:
            hint = f"pcinfra k8s setup{self.api.on}" if name in RUNTIMES else "kubectl get clustertrainingruntimes"
            raise NotFound("there is no such training runtime", where=name, hint=hint) from error
        except AccessDenied:
            return None

    def need_claims(self, job: Object) -> None:
        """Ask for every claim that ``job`` names.

        Raises:
            NotFound: one is not there.
        """
        for claim in sorted(claims(job)):
            try:
                self.api.call("GET", self.path("persistentvolumeclaims", claim))
            except NotFound as error:
                hint = "pcinfra render JOB.yaml --to volumes   for FSx for Lustre"
                why = "there is no such PersistentVolumeClaim: no pod would start"
                raise NotFound(why, where=f"{self.api.namespace}/{claim}", hint=hint) from error
            except AccessDenied:
                return

    def need_jobset(self) -> None:
        """See that JobSet is installed, by which the Trainer makes the pods of every TrainJob.

        Raises:
            NotFound: it is not.
        """
        try:
            there = self._crd(JOBSET)
        except AccessDenied:
            return
        if there is None:
            why = "JobSet is not installed: the server would take the TrainJob, and no pod of it would ever be made"
            raise NotFound(why, where=self.api.where, hint="pcinfra k8s setup --operator trainer")

    def _crd(self, name: str) -> Object | None:
        try:
            return self.api.call("GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
        except NotFound:
            return None


def claims(value: Any) -> set[str]:
    """Return the names of all claims in an object, wherever its version has the volumes."""
    if isinstance(value, dict):
        claim = value.get("persistentVolumeClaim")
        own = {str(claim["claimName"])} if isinstance(claim, dict) and "claimName" in claim else set()
        return own.union(*(claims(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(claims(inner) for inner in value))
    return set()


def _together(jobs: list[tuple[JobKind, Object]]) -> list[Found]:
    """Return the runs that ``jobs`` belong to, in their order."""
    runs: dict[tuple[str, str], list[tuple[JobKind, Object]]] = {}
    for kind, job in jobs:
        labels = job["metadata"].get("labels") or {}
        run = labels.get(naming.RUN) if naming.TASK in labels else None
        runs.setdefault((kind.kind, str(run or job["metadata"]["name"])), []).append((kind, job))
    return [
        Found(run, several[0][0], tuple(sorted((job for _, job in several), key=_task)))
        for (_, run), several in runs.items()
    ]


def _task(value: Object) -> int:
    text = str((value["metadata"].get("labels") or {}).get(naming.TASK, ""))
    return int(text) if text.isdigit() else 0


def _means(run: str, found: Found) -> bool:
    return found.run.startswith(run) or any(job["metadata"].get("uid") == run for job in found.jobs)


def about(event: Object, name: str) -> bool:
    """Return whether an event is about the job ``name``, or something that is called after it."""
    told = str((event.get("involvedObject") or {}).get("name", ""))
    return told == name or told.startswith(f"{name}-")


def _natural(name: str) -> tuple[int, str]:
    """Pods by their number: the master first, then workers and nodes from 0 on."""
    numbers = [int(part) for part in re.findall(r"-(\d+)(?=-|$)", name)]
    return (-1 if "-master-" in name else numbers[-1] if numbers else 0), name
