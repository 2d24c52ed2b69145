"""Names: what Kubernetes takes, how long a job's may be, and the words of pcinfra in labels."""

from __future__ import annotations

import re

from pcinfra.jobs.manifest import new_run_id

LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""RFC 1123 label: namespaces, containers, volumes."""

SUBDOMAIN = r"(?=.{1,253}(?:/|$))[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
"""RFC 1123 subdomain: most objects."""

VALUE = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
"""A label's value, and the name part of its key ("Labels and Selectors")."""

JOB = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""RFC 1035 label: a TrainJob's or PyTorchJob's name is part of a Service's."""

UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What the server calls an object for good."""

PREFIX = "pcinfra.dev/"
RUN, SWEEP = f"{PREFIX}run", f"{PREFIX}name"
TASK, TASKS = f"{PREFIX}task", f"{PREFIX}tasks"  # of an array: which one a job is, and how many there are
JOB_FILE = f"{PREFIX}job-file"  # annotation: what the job was submitted with
CODE = f"{PREFIX}code"  # annotation: where code lies that no ConfigMap holds
MANAGED = "app.kubernetes.io/managed-by"
MANAGER = f"{PREFIX}submit"  # of runtimePatches: must be prefixed with a domain

_SUFFIX = 17  # characters of a run id after its name


def slug(text: str) -> str:
    """Return ``text`` as far as an RFC 1035 label can hold it."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")


def longest(kind: str, nodes: int, *, initializer: bool = False) -> int:
    """Return how long the name of a job may be.

    A TrainJob's pods are named ``<name>-node-0-<index>-<5 characters>`` by JobSet, which must fit a label (63): 48
    characters up to ten nodes (jobset ``pkg/webhooks/jobset_webhook.go``, validateCreate). With a dataset initializer
    the longest is ``<name>-dataset-initializer-0-0-<5 characters>``. A PyTorchJob's are ``<job>-worker-<index>``
    (or ``-master-0``), and 53 is what the operator's names leave.
    """
    digits = len(str(max(nodes - 1, 0)))
    if kind == "PyTorchJob":
        return 63 - len("-worker-") - digits - (1 if digits == 1 else 0)
    job = "-dataset-initializer" if initializer else "-node"
    return 63 - len(job) - len("-0-") - digits - len("-abcde")


def run_id(name: str, kind: str, nodes: int, tasks: int | None = None) -> str:
    """Return a run's id that is a Kubernetes name too, however long or strange ``name`` is.

    Args:
        tasks: of an array; the names of their jobs are longer by their number.
    """
    room = longest(kind, nodes) - _SUFFIX - (len(f"-{tasks - 1}") if tasks else 0)
    words = slug(name)
    if not words or not words[0].isalpha():
        words = f"job-{words}".strip("-")
    return new_run_id(words[:room].strip("-"))
