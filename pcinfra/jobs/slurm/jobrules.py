"""What Slurm asks of a job file: said with line and column, before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterator

from pcinfra.jobs.secrets import of_kubernetes
from pcinfra.jobs.spec import JobSpec
from pcinfra.project.positions import Finding


def findings(spec: JobSpec) -> Iterator[Finding]:
    """Yield what keeps ``spec`` from running on Slurm."""
    for name, found in of_kubernetes(spec.secrets).items():
        why = "is a Secret of Kubernetes, which no node of a Slurm cluster can read"
        yield Finding(("secrets", name), why, f"secretsmanager:{found.name}#{found.key}")
