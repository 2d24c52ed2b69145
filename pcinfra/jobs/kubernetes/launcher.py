"""The Launcher of Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pcinfra.errors import Conflict, NotFound, PcinfraError, Unreachable
from pcinfra.jobs.kubernetes import naming, phase
from pcinfra.jobs.kubernetes.api import Api, pages
from pcinfra.jobs.kubernetes.check import check
from pcinfra.jobs.kubernetes.kinds import KINDS, JobKind
from pcinfra.jobs.kubernetes.logs import Logs
from pcinfra.jobs.kubernetes.reading import OURS, Reading, nodes_of
from pcinfra.jobs.launcher import Look, State, Status
from pcinfra.jobs.manifest import Manifest

Object = dict[str, Any]


class KubernetesLauncher:
    """The :class:`~pcinfra.jobs.launcher.Launcher` of the operators behind ``api``."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.reading = Reading(api)
        self._seen: set[str] = set()
        self._logs: dict[str, Logs] = {}

    def submit(self, manifest: Manifest) -> str:
        """Check, send the files, then the job, and let the files end with it. A refusal leaves nothing behind."""
        job, *files = [json.loads(file.content) for file in manifest.files]
        kind = KINDS[job["kind"]]
        self.precheck(job)
        made: list[Object] = []
        try:
            for each in files:
                check(each)
                made.append(self._create(self.reading.path("configmaps"), each))
            created = self._create(kind.path(self.api.namespace), job)
        except Unreachable:
            raise  # the job may be there by now, and needs its files; what is left is swept
        except PcinfraError:
            self._roll_back(made)
            raise
        for each in made:
            self._own(each, created, kind)
        return str(created["metadata"]["uid"])

    def precheck(self, job: Object) -> None:
        """Refuse what the cluster would take and never start.

        Raises:
            UsageError: every fault found.
            NotFound: the operator, the runtime or a claim that it needs is not there.
        """
        schemas = self.reading.schemas
        if job["kind"] not in schemas.resources:
            hint = f"kubernetes.kind: {next(iter(schemas.resources))}   or: pcinfra k8s setup"
            raise NotFound(f"{job['kind']} is not installed", where=self.api.where, hint=hint)
        check(job, schemas, self.reading.runtime(job) if job["kind"] == "TrainJob" else None)
        self.reading.need_claims(job)

    def look(self, run: str, offsets: Mapping[str, int] | None = None) -> Look:
        try:
            kind, job = self.reading.find(run)
        except NotFound:
            if run not in self._seen:
                raise
            return Look(Status(run, State.CANCELLED, why="it was deleted", exit_code=143))
        name = str(job["metadata"]["name"])
        self._seen.add(name)
        pods = self.reading.pods(kind, name)
        status = phase.status_of(kind, job, pods)
        if status.state in (State.WAITING, State.STARTING):
            status = phase.status_of(kind, job, pods, self.reading.warnings(name))
        nodes = max(len(pods), nodes_of(job))
        if offsets is None:
            return Look(status, nodes)
        found = list(self._logs.setdefault(name, Logs(self.api)).chunks(kind, pods, offsets))
        return Look(status, nodes, tuple(chunk for chunk, _ in found), any(more for _, more in found))

    def cancel(self, run: str) -> Status:
        """Delete the job, and with it its pods and files; one that has ended is left as it is."""
        kind, job = self.reading.find(run)
        status = phase.status_of(kind, job)
        if status.state.ended:
            return status
        self.delete(kind, job)
        return Status(status.run, State.CANCELLED, status.job, "deleted, with its pods and files", exit_code=143)

    def delete(self, kind: JobKind, job: Object) -> None:
        """Delete ``job``: exactly this one, not another that has its name by now."""
        options = {"propagationPolicy": "Background", "preconditions": {"uid": job["metadata"]["uid"]}}
        try:
            self.api.call("DELETE", kind.path(self.api.namespace, job["metadata"]["name"]), body=options)
        except NotFound:
            return

    def runs(self, limit: int) -> list[Status]:
        return [phase.status_of(kind, job) for kind, job in self.reading.jobs()[:limit]]

    def orphans(self) -> list[Object]:
        """Return the files of runs that are not there: what a submission that was killed has left."""
        known = {str(job["metadata"]["name"]) for _, job in self.reading.jobs()}
        listed = pages(self.api, self.reading.path("configmaps"), OURS)
        return [each for each in listed if each["metadata"]["labels"][naming.RUN] not in known]

    def remove_files(self, each: Object) -> None:
        """Delete a ConfigMap of a run."""
        self.api.call("DELETE", self.reading.path("configmaps", each["metadata"]["name"]))

    def _create(self, path: str, value: Object) -> Object:
        """Create ``value``; the same object of the same run, sent before, counts as created."""
        name, run = value["metadata"]["name"], value["metadata"]["labels"][naming.RUN]
        try:
            return self.api.call("POST", path, {"fieldValidation": "Strict"}, value)
        except Conflict as error:
            if error.code != "AlreadyExists":
                raise
            # The minimal role cannot read a ConfigMap; its name has the run's id in it, which never repeats.
            there = value if value["kind"] == "ConfigMap" else self.api.call("GET", f"{path}/{name}")
            if (there["metadata"].get("labels") or {}).get(naming.RUN) == run:
                return there
            raise Conflict("something else has this name", where=name, hint="another name", code=error.code) from error

    def _own(self, each: Object, owner: Object, kind: JobKind) -> None:
        """Let the garbage collector delete ``each`` with ``owner``."""
        reference = {
            "apiVersion": f"{kind.group}/{kind.version}",
            "kind": kind.kind,
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
        }
        body = {"metadata": {"ownerReferences": [reference]}}
        path = self.reading.path("configmaps", each["metadata"]["name"])
        self.api.call("PATCH", path, body=body, kind="application/merge-patch+json")

    def _roll_back(self, made: list[Object]) -> None:
        for each in made:
            try:
                self.remove_files(each)
            except PcinfraError:
                continue  # swept later: pcinfra k8s sweep
