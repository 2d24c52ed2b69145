"""Code and script of a run: an immutable ConfigMap of its own, so that no later run changes what this one runs.

Code that does not fit one lies in the project's bucket, and the pods fetch it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from dataclasses import replace
from pathlib import Path

from pcinfra.errors import UsageError
from pcinfra.jobs.kubernetes.render.model import ARCHIVE, Job, Object, Rendered
from pcinfra.jobs.secrets import of_aws

MOUNT = "/pcinfra/job"
CODE = "/pcinfra/code"
VOLUME = "pcinfra-job"
START, SCRIPT, FETCH, WANTED = "start.sh", "script", "fetch.py", "fetch.json"
LAUNCH, COMMAND = "launch.sh", "command.sh"
LAUNCHERS = ("accelerate", "deepspeed")
"""Launchers that are a script in the pods, which is called after them: the command is one that takes no arguments, so
that no parser of theirs changes it."""

MAX_BYTES = 1_048_576
"""Bytes of all values of a ConfigMap (Kubernetes, ``MaxSecretSize``); the server counts bytes, not characters."""

_FOLDER = Path(__file__).parent
_START, _FETCH = ((_FOLDER / name).read_text() for name in (START, FETCH))


def config_name(job: Job) -> str:
    return f"{job.run}-files"


def has_files(job: Job) -> bool:
    return bool(job.spec.script or job.code or job.spec.launcher in LAUNCHERS or fetches(job))


def program(job: Job) -> tuple[str, ...]:
    """Return the user's own words: the command, or the script and its arguments."""
    spec = job.spec
    if not spec.script:
        return spec.command
    path = f"{MOUNT}/{SCRIPT}"
    return (path, *spec.args) if job.script.startswith(b"#!") else ("bash", path, *spec.args)


def fits(job: Job) -> bool:
    """Return whether all of it fits into a ConfigMap."""
    return sum(map(len, _values(job, stored=False).values())) <= MAX_BYTES


def stored(job: Job) -> bool:
    """Return whether the code lies in the bucket."""
    return bool(job.code and job.bucket) and not fits(job)


def fetches(job: Job) -> bool:
    """Return whether the pods fetch something with their own role."""
    return bool(of_aws(job.spec.secrets)) or stored(job)


def rendered(job: Job, made: Object, notes: tuple[str, ...] = ()) -> Rendered:
    """Return the job object ``made`` with the files of its run."""
    if not has_files(job):
        return Rendered((made,), notes)
    own = {**made["metadata"], "name": config_name(job), "labels": replace(job, task=None).labels}
    own.pop("annotations")
    return Rendered((made, config_map(job, own)), notes, job.code if stored(job) else b"")


def config_map(job: Job, metadata: Object) -> Object:
    """Return the ConfigMap of a run with files.

    Raises:
        UsageError: they do not fit one, and nothing says where else they could lie; or the pods could not fetch them.
    """
    values = _values(job, stored=stored(job))
    size = sum(map(len, values.values()))
    if size > MAX_BYTES:
        why = f"has {size} bytes, compressed; a ConfigMap holds {MAX_BYTES}, and there is no bucket for it"
        hint = "pcinfra submit with a pcinfra.yaml, whose bucket takes it; or a smaller folder in code.path"
        raise UsageError(why, where="code", hint=hint)
    if stored(job) and not job.settings.service_account:
        why = "has more than a ConfigMap holds: the pods fetch it from the bucket, and nothing says with which role"
        hint = "kubernetes.service_account: one with s3:GetObject, docs/kubernetes.md"
        raise UsageError(why, where="code", hint=hint)
    data, binary = {}, {}
    for name, content in values.items():
        try:
            data[name] = content.decode()
        except UnicodeDecodeError:
            binary[name] = base64.b64encode(content).decode()
    fields: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True, "data": data}
    return {**fields, "binaryData": binary} if binary else fields


def _values(job: Job, *, stored: bool) -> dict[str, bytes]:
    values = {START: _START.encode()}
    if job.spec.script:
        values[SCRIPT] = job.script
    if job.spec.launcher in LAUNCHERS:
        values[LAUNCH] = (_FOLDER / f"{job.spec.launcher}.sh").read_bytes()
        values[COMMAND] = f"exec {shlex.join(program(job))}\n".encode("utf-8", "surrogateescape")
    if job.code and not stored:
        values[ARCHIVE] = job.code
    if of_aws(job.spec.secrets) or stored:
        values[FETCH] = _FETCH.encode()
        values[WANTED] = json.dumps(_wanted(job, stored), indent=1).encode()
    return values


def _wanted(job: Job, stored: bool) -> Object:
    """Return what fetch.py reads: where the code is, and references to secrets."""
    wanted: Object = {}
    if stored and job.bucket:
        digest = hashlib.sha256(job.code).hexdigest()
        place = {"bucket": job.bucket.name, "key": f"{job.bucket.prefix}{job.run}.tar.gz", "region": job.bucket.region}
        wanted["code"] = {**place, "sha256": digest}
    if secrets := of_aws(job.spec.secrets):
        wanted.update({"region": job.region} if job.region else {})
        wanted["secrets"] = [
            {"variable": name, "service": each.service, "region": each.region, "name": each.name, "key": each.key}
            for name, each in secrets.items()
        ]
    return wanted
