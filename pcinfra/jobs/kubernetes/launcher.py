"""The Launcher of Kubernetes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from pcinfra.errors import Conflict, MissingTool, NotFound, PcinfraError, Refused, Unreachable
from pcinfra.jobs.kubernetes import naming, phase
from pcinfra.jobs.kubernetes.api import Api, pages
from pcinfra.jobs.kubernetes.check import check
from pcinfra.jobs.kubernetes.kinds import KINDS, JobKind
from pcinfra.jobs.kubernetes.logs import Logs
from pcinfra.jobs.kubernetes.reading import OURS, Reading
from pcinfra.jobs.launcher import EVERYTHING, History, Look, Query, State, Status, Wanted
from pcinfra.jobs.manifest import File, Manifest

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

    def look(self, run: str, offsets: Mapping[str, int] | None = None, wanted: Wanted = EVERYTHING) -> Look:
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
        nodes = 1 if wanted.node is not None else max(len(pods), phase.nodes_of(job))
        if offsets is None:
            return Look(status, nodes)
        logs = self._logs.setdefault(name, Logs(self.api))
        found = list(logs.chunks(kind, _wanted(pods, wanted), offsets, wanted))
        return Look(status, nodes, tuple(chunk for chunk, _ in found), any(more for _, more in found))

    def cancel(self, run: str) -> Status:
        """Delete the job, and with it its pods and files; one that has ended is left as it is."""
        kind, job = self.reading.find(run)
        status = phase.status_of(kind, job)
        if status.state.ended:
            return status
        self.delete(kind, job)
        return Status(status.run, State.CANCELLED, status.job, "deleted, with its pods and files", exit_code=143)

    def requeue(self, run: str) -> Status:
        """Refused: an operator restarts pods by itself, and has no second attempt of a job."""
        kind, job = self.reading.find(run)
        name = job["metadata"]["name"]
        raise Refused(f"a {kind.kind} has one attempt", where=name, hint=f"pcinfra rerun {name}")

    def rerun(self, run: str, new: str) -> str:
        """Submit what ``run`` was submitted with; its id is in all of it, and is replaced in all of it."""
        kind, job = self.reading.find(run)
        old = str(job["metadata"]["name"])
        sent = {"apiVersion": f"{kind.group}/{kind.version}", "kind": kind.kind, "spec": job["spec"]}
        kept = {naming.JOB_FILE: (job["metadata"].get("annotations") or {}).get(naming.JOB_FILE, "{}")}
        sent["metadata"] = {**_plain(job["metadata"]), "annotations": kept}
        files = [
            {"apiVersion": "v1", "kind": "ConfigMap", **each, "metadata": _plain(each["metadata"])}
            for each in pages(self.api, self.reading.path("configmaps"), {"labelSelector": f"{naming.RUN}={old}"})
        ]
        texts = [json.dumps(each, ensure_ascii=False).replace(old, new) for each in (sent, *files)]
        return self.submit(Manifest(new, tuple(File("object.json", text.encode()) for text in texts)))

    def delete(self, kind: JobKind, job: Object) -> None:
        """Delete ``job``: exactly this one, not another that has its name by now."""
        options = {"propagationPolicy": "Background", "preconditions": {"uid": job["metadata"]["uid"]}}
        try:
            self.api.call("DELETE", kind.path(self.api.namespace, job["metadata"]["name"]), body=options)
        except NotFound:
            return

    def runs(self, query: Query) -> list[Status]:
        found = (phase.status_of(kind, job) for kind, job in self.reading.jobs())
        meant = [each for each in found if each.run.startswith(query.name) and each.state in (query.states or State)]
        return meant[: query.limit]

    def history(self, run: str) -> History:
        kind, job = self.reading.find(run)
        name = str(job["metadata"]["name"])
        status = phase.status_of(kind, job, self.reading.pods(kind, name), self.reading.warnings(name))
        said = (job["metadata"].get("annotations") or {}).get(naming.JOB_FILE, "{}")
        try:
            spec: Mapping[str, object] = json.loads(said)
        except ValueError:
            spec = {}
        return History(status, spec)

    def shell(self, run: str, node: str = "") -> Sequence[str]:
        """Return ``kubectl exec`` into a pod of ``run``.

        Raises:
            Refused: it does not run.
            MissingTool: there is no kubectl here.
        """
        kind, job = self.reading.find(run)
        pods = _wanted(self.reading.pods(kind, str(job["metadata"]["name"])), Wanted(node or None))
        alive = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
        if not alive:
            raise Refused("it does not run", where=run, hint=f"pcinfra show {run}")
        if shutil.which("kubectl") is None:
            raise MissingTool(
                "kubectl is not installed", where="kubectl", hint="https://kubernetes.io/docs/tasks/tools"
            )
        name = str(alive[0]["metadata"]["name"])
        return ["kubectl", "-n", self.api.namespace, "exec", "-it", name, "-c", kind.container, "--", "sh"]

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
            # The minimal role cannot read a ConfigMap by name; the run's id, which never repeats, is part of it.
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


def _wanted(pods: list[Object], wanted: Wanted) -> list[Object]:
    """Return the pods of a node by its name, the pod's name, or its number in the run."""
    if wanted.node is None:
        return pods
    if wanted.node.isdigit():
        return pods[int(wanted.node) : int(wanted.node) + 1]
    return [p for p in pods if wanted.node in (p["metadata"]["name"], (p.get("spec") or {}).get("nodeName"))]


def _plain(metadata: Object) -> Object:
    return {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
