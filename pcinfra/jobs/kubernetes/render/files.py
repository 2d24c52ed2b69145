"""Code and script of a run: an immutable ConfigMap of its own, so that no later run changes what this one runs."""

from __future__ import annotations

import base64
from pathlib import Path

from pcinfra.errors import UsageError
from pcinfra.jobs.kubernetes.render.model import Job, Object

MOUNT = "/pcinfra/job"
CODE = "/pcinfra/code"
VOLUME = "pcinfra-job"
START, SCRIPT, ARCHIVE = "start.sh", "script", "code.tar.gz"

MAX_BYTES = 1_048_576
"""Bytes of all values of a ConfigMap (Kubernetes, ``MaxSecretSize``); the server counts bytes, not characters."""

_START = (Path(__file__).parent / "start.sh").read_text()


def config_name(job: Job) -> str:
    return f"{job.run}-files"


def has_files(job: Job) -> bool:
    return bool(job.spec.script or job.code)


def config_map(job: Job, metadata: Object) -> Object:
    """Return the ConfigMap of a run with a script or code.

    Raises:
        UsageError: they do not fit one.
    """
    data, binary = {START: _START}, {}
    if job.spec.script:
        try:
            data[SCRIPT] = job.script.decode()
        except UnicodeDecodeError:
            binary[SCRIPT] = base64.b64encode(job.script).decode()
    if job.code:
        binary[ARCHIVE] = base64.b64encode(job.code).decode()
    size = sum(len(text.encode()) for text in data.values()) + sum(len(text) * 3 // 4 for text in binary.values())
    if size > MAX_BYTES:
        why = f"has {size} bytes, compressed; a ConfigMap holds {MAX_BYTES}"
        hint = "a smaller folder in code.path, or put the code on a volume and start it there with workdir"
        raise UsageError(why, where="code", hint=hint)
    fields: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True, "data": data}
    return {**fields, "binaryData": binary} if binary else fields
