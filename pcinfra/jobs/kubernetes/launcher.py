"""The Launcher of Kubernetes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pcinfra.errors import Conflict, MissingTool, NotFound, PcinfraError, Refused, Unreachable, UsageError
from pcinfra.jobs.kubernetes import arrays, naming
from pcinfra.jobs.kubernetes.api import Api, pages
from pcinfra.jobs.kubernetes.check import check
from pcinfra.jobs.kubernetes.kinds import KINDS, JobKind
from pcinfra.jobs.kubernetes.logs import Logs
from pcinfra.jobs.kubernetes.reading import OURS, Found, Reading
from pcinfra.jobs.kubernetes.render.model import ARCHIVE, Bucket
from pcinfra.jobs.kubernetes.store import PREFIX, Store
from pcinfra.jobs.launcher import EVERYTHING, History, Look, Query, State, Status, Wait, Wanted
from pcinfra.jobs.manifest import File, Manifest

Object = dict[str, Any]
# Errors of the server that end a request, so that it is not done later: reasons of a Status; a server that is too busy
# says 429 in plain words. A gateway, or the server's own time limit, leaves open what became of a request.
_ENDED = ("InternalError", "ServiceUnavailable", "TooManyRequests", "429")
_LARGEST = 3 * 2**19  # etcd, --max-request-bytes; a ConfigMap has a smaller limit of its own, checked by its rules
_OURS = (naming.JOB_FILE, naming.CODE)  # annotations


@dataclass(frozen=True, slots=True)
class _Sent:
    """The parts of a Manifest: jobs (one, or one for each task), their ConfigMap, and the archive of their code."""

    jobs: tuple[Object, ...]
    files: tuple[Object, ...]
    archive: bytes = b""

    @property
    def address(self) -> str:
        """Where the archive lies; empty where there is none."""
        return _address(self.jobs[0])


class KubernetesLauncher:
    """The :class:`~pcinfra.jobs.launcher.Launcher` of the operators behind ``api``.

    Args:
        store: where code lies that no ConfigMap holds; None: there is no such place.
    """

    def __init__(self, api: Api, store: Store | None = None) -> None:
        self.api = api
        self.store = store
        self.reading = Reading(api)
        self._seen: set[str] = set()
        self._logs: dict[str, Logs] = {}

    def bucket(self) -> Bucket | None:
        """Return where the code of the namespace's runs lies that no ConfigMap holds; None: nowhere."""
        if self.store is None:
            return None
        return Bucket(self.store.bucket, self.store.region, f"{PREFIX}{self.reading.namespace_uid()}/")

    def submit(self, manifest: Manifest) -> str:
        """Check, send the files, then the jobs, and let the files end with them. A refusal leaves nothing behind.

        Raises:
            Unreachable: nobody knows whether it is there. An answer that was lost has been asked for again.
        """
        sent = _parts(manifest)
        for file in manifest.files:
            if file.name != ARCHIVE and len(file.content) > _LARGEST:
                why = f"has {len(file.content):,} bytes; etcd keeps objects of {_LARGEST:,}"
                raise UsageError(why, where=file.name, hint="less in environment, or a file on a volume")
        self.precheck(sent.jobs)
        with suppress(Unreachable):
            return self._send(sent)
        try:
            return self._send(sent)
        except Unreachable as error:
            if error.code in _ENDED:
                self._roll_back(self._places(sent), sent)
                raise
            hint = f"pcinfra jobs{self.api.on}   before you submit it again"
            why = f"{error.why}; it may have been submitted"
            raise Unreachable(why, where=manifest.run, hint=hint, code=error.code) from error

    def _send(self, sent: _Sent) -> str:
        kind = KINDS[sent.jobs[0]["kind"]]
        made: list[str] = []

        def create(path: str, value: Object) -> Object:
            created = self._create(path, value)
            made.append(f"{path}/{value['metadata']['name']}")
            return created

        try:
            if sent.archive:
                self._store(sent.address).put(sent.address, sent.archive)
            for each in sent.files:
                check(each)
                create(self.reading.path("configmaps"), each)
            jobs = [create(kind.path(self.api.namespace), job) for job in sent.jobs]
            for each in sent.files:
                self._own(each, jobs, kind)
        except Unreachable:
            raise  # the jobs may be there by now, and need their files
        except PcinfraError:
            self._roll_back(made, sent)
            raise
        return str(jobs[0]["metadata"]["uid"])

    def precheck(self, jobs: Sequence[Object]) -> None:
        """Refuse what the cluster would take and never start.

        Args:
            jobs: one, or one for each task of an array, which differ in name and values.

        Raises:
            UsageError: every fault found.
            NotFound: the operator, JobSet, the runtime or a claim that it needs is not there.
        """
        schemas, first = self.reading.schemas, jobs[0]
        if first["kind"] not in schemas.resources:
            hint = f"kubernetes.kind: {next(iter(schemas.resources))}   or: pcinfra k8s setup{self.api.on}"
            raise NotFound(f"{first['kind']} is not installed", where=self.api.where, hint=hint)
        runtime = None
        if first["kind"] == "TrainJob":
            self.reading.need_jobset()
            runtime = self.reading.runtime(first)
        for job in jobs:
            check(job, schemas, runtime)
        self.reading.need_claims(first)

    def look(
        self,
        run: str,
        offsets: Mapping[str, int] | None = None,
        wanted: Wanted = EVERYTHING,
        wait: Wait | None = None,
    ) -> Look:
        try:
            found = self.reading.find(run)
        except NotFound:
            if run not in self._seen:
                raise
            return Look(Status(run, State.CANCELLED, why="it was deleted", exit_code=arrays.DELETED))
        self._seen.add(found.run)
        pods = self.reading.pods(found)
        status = self._status(found, pods)
        nodes = 1 if wanted.node is not None else max(len(pods), status.wants * len(found.jobs))
        if offsets is None:
            return Look(status, nodes)
        logs = self._logs.setdefault(found.run, Logs(self.api))
        chunks = list(logs.chunks(found.kind, _wanted(pods, wanted), offsets, wanted))
        return Look(status, nodes, tuple(chunk for chunk, _ in chunks), any(more for _, more in chunks))

    def _status(self, found: Found, pods: Sequence[Object]) -> Status:
        status = arrays.status_of(found, pods)
        if status.state in (State.WAITING, State.STARTING):
            status = arrays.status_of(found, pods, self.reading.warnings(found.run))
        return status

    def cancel(self, run: str) -> Status:
        """Delete what has not ended, and with it its pods and files; a run that has ended is left as it is."""
        found = self.reading.find(run)
        status = arrays.status_of(found)
        if status.state.ended:
            return status
        alive = [job for job in found.jobs if not arrays.status_of(Found("", found.kind, (job,))).state.ended]
        for job in alive:
            self.delete(found.kind, job)
        kept = len(found.jobs) - len(alive)
        why = "deleted, with its pods and files"
        if kept:
            why = f"{len(alive)} tasks deleted, with their pods; {kept} had ended"
        elif left := self.discard(found):
            why = f"{why}; {left}"
        return Status(status.run, State.CANCELLED, status.job, why, exit_code=arrays.DELETED)

    def requeue(self, run: str) -> Status:
        """Refused: an operator restarts pods by itself, and has no second attempt of a job."""
        found = self.reading.find(run)
        raise Refused(
            f"a {found.kind.kind} has one attempt", where=found.run, hint=f"pcinfra rerun {found.run}{self.api.on}"
        )

    def rerun(self, run: str, new: str) -> str:
        """Submit what ``run`` was submitted with; its id is in all of it, and is replaced in all of it.

        Raises:
            Refused: it is one task of an array.
            NotFound: some of its tasks are gone.
        """
        found = self.reading.find(run)
        home = (found.first["metadata"].get("labels") or {}).get(naming.RUN, found.run)
        if home != found.run:
            raise Refused("is one task of an array", where=found.run, hint=f"pcinfra rerun {home}{self.api.on}")
        if found.tasks is not None and len(found.jobs) != found.tasks:
            why = f"only {len(found.jobs)} of its {found.tasks} tasks are still there"
            raise NotFound(why, where=found.run, hint=f"pcinfra submit JOB.yaml{self.api.on}")
        selection = {"labelSelector": f"{naming.RUN}={found.run}"}
        files = [
            {"apiVersion": "v1", "kind": "ConfigMap", **each, "metadata": _plain(each["metadata"])}
            for each in pages(self.api, self.reading.path("configmaps"), selection)
        ]
        objects = [*(_again(found.kind, job) for job in found.jobs), *files]
        texts = [json.dumps(each, ensure_ascii=False).replace(found.run, new) for each in objects]
        manifest = Manifest(new, tuple(File("object.json", text.encode()) for text in texts))
        old = _address(found.first)
        if not old:
            return self.submit(manifest)
        copy = old.replace(found.run, new)
        self._store(old).copy(old, copy)
        try:
            return self.submit(manifest)
        except Unreachable:
            raise  # it may be there by now, and need its code
        except PcinfraError:
            self.discard_code(copy)
            raise

    def delete(self, kind: JobKind, job: Object) -> None:
        """Delete ``job``: exactly this one, not another that has its name by now."""
        options = {"propagationPolicy": "Background", "preconditions": {"uid": job["metadata"]["uid"]}}
        try:
            self.api.call("DELETE", kind.path(self.api.namespace, job["metadata"]["name"]), body=options)
        except NotFound:
            return

    def discard(self, found: Found) -> str:
        """Delete the code of a run from the bucket; return why it is still there, empty when it is not."""
        address = "" if found.run != _run_of(found.first) else _address(found.first)
        return self.discard_code(address) if address else ""

    def discard_code(self, address: str) -> str:
        """Delete code from the bucket; return why it is still there, empty when it is not."""
        try:
            self._store(address).delete(address)
        except PcinfraError as error:
            return f"its code is left in {address}: {error.why}"
        return ""

    def runs(self, query: Query) -> list[Status]:
        listed = self.reading.runs()
        if not listed:
            self.reading.need_namespace()
        found = map(arrays.status_of, listed)
        meant = [each for each in found if each.run.startswith(query.name) and each.state in (query.states or State)]
        return meant[: query.limit]

    def history(self, run: str) -> History:
        found = self.reading.find(run)
        pods = self.reading.pods(found)
        status = arrays.status_of(found, pods, self.reading.warnings(found.run))
        said = (found.first["metadata"].get("annotations") or {}).get(naming.JOB_FILE, "{}")
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
        found = self.reading.find(run)
        pods = _wanted(self.reading.pods(found), Wanted(node or None))
        alive = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
        if not alive:
            raise Refused("it does not run", where=run, hint=f"pcinfra show {run}{self.api.on}")
        if shutil.which("kubectl") is None:
            raise MissingTool(
                "kubectl is not installed", where="kubectl", hint="https://kubernetes.io/docs/tasks/tools"
            )
        name = str(alive[0]["metadata"]["name"])
        there = ["--context", self.api.context] if self.api.context else []
        return [
            "kubectl",
            *there,
            "-n",
            self.api.namespace,
            "exec",
            "-it",
            name,
            "-c",
            found.kind.container,
            "--",
            "sh",
        ]

    def orphans(self) -> list[Object]:
        """Return the files of runs that are not there: what a submission that was killed has left."""
        known = {_run_of(job) for _, job in self.reading.jobs()}
        listed = pages(self.api, self.reading.path("configmaps"), OURS)
        return [each for each in listed if each["metadata"]["labels"][naming.RUN] not in known]

    def stray_code(self, runs: Sequence[Found]) -> dict[str, datetime]:
        """Return the addresses of code whose run is not among ``runs``, and since when it is there."""
        bucket = self.bucket()
        if bucket is None or self.store is None:
            return {}
        known = {bucket.address(each.run) for each in runs}
        return {place: made for place, made in self.store.made(bucket.prefix).items() if place not in known}

    def remove_files(self, each: Object) -> None:
        """Delete a ConfigMap of a run."""
        self.api.call("DELETE", self.reading.path("configmaps", each["metadata"]["name"]))

    def _store(self, address: str) -> Store:
        if self.store is None:
            raise UsageError("its bucket is that of a project", where=address, hint="in the folder of its pcinfra.yaml")
        return self.store

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

    def _own(self, each: Object, owners: Sequence[Object], kind: JobKind) -> None:
        """Let the garbage collector delete ``each`` with the last of its owners."""
        references = [
            {
                "apiVersion": f"{kind.group}/{kind.version}",
                "kind": kind.kind,
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
            }
            for owner in owners
        ]
        body = {"metadata": {"ownerReferences": references}}
        path = self.reading.path("configmaps", each["metadata"]["name"])
        self.api.call("PATCH", path, body=body, kind="application/merge-patch+json")

    def _places(self, sent: _Sent) -> list[str]:
        """Return the paths of all that is sent, in its order. The run's id, which never repeats, is in each name."""
        files = [self.reading.path("configmaps", each["metadata"]["name"]) for each in sent.files]
        return files + [KINDS[job["kind"]].path(self.api.namespace, job["metadata"]["name"]) for job in sent.jobs]

    def _roll_back(self, paths: Sequence[str], sent: _Sent) -> None:
        """Delete what was sent; what cannot be deleted is swept later (`pcinfra k8s sweep`)."""
        for path in reversed(paths):
            with suppress(PcinfraError):
                self.api.call("DELETE", path)
        if sent.archive:
            with suppress(PcinfraError):
                self._store(sent.address).delete(sent.address)


def _parts(manifest: Manifest) -> _Sent:
    objects = [json.loads(file.content) for file in manifest.files if file.name != ARCHIVE]
    jobs = tuple(each for each in objects if each["kind"] in KINDS)
    files = tuple(each for each in objects if each["kind"] not in KINDS)
    return _Sent(jobs, files, next((file.content for file in manifest.files if file.name == ARCHIVE), b""))


def _address(job: Object) -> str:
    return str((job["metadata"].get("annotations") or {}).get(naming.CODE, ""))


def _run_of(job: Object) -> str:
    return str((job["metadata"].get("labels") or {}).get(naming.RUN) or job["metadata"]["name"])


def _again(kind: JobKind, job: Object) -> Object:
    """Return a job as it was sent, without what the server and the operator added to its metadata."""
    kept = {name: value for name, value in (job["metadata"].get("annotations") or {}).items() if name in _OURS}
    head = {"apiVersion": f"{kind.group}/{kind.version}", "kind": kind.kind}
    return {**head, "metadata": {**_plain(job["metadata"]), "annotations": kept}, "spec": job["spec"]}


def _wanted(pods: list[Object], wanted: Wanted) -> list[Object]:
    """Return the pods of a node by its name, the pod's name, or its number in the run."""
    if wanted.node is None:
        return pods
    if wanted.node.isdigit():
        return pods[int(wanted.node) : int(wanted.node) + 1]
    return [p for p in pods if wanted.node in (p["metadata"]["name"], (p.get("spec") or {}).get("nodeName"))]


def _plain(metadata: Object) -> Object:
    return {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
