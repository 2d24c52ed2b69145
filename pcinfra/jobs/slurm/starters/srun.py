"""srun itself starts the processes."""

from __future__ import annotations

from pcinfra.jobs.slurm.starters.model import COMMAND, Starter
from pcinfra.jobs.spec import JobSpec


def _tasks(spec: JobSpec) -> int:
    return spec.processes or 1


def _lines(spec: JobSpec) -> tuple[str, ...]:
    return (f"exec {COMMAND}",)


STARTER = Starter(_tasks, _lines)
