"""srun starts MPI processes and wires them up by PMIx.

ParallelCluster's Slurm has no MPI by default (``MpiDefault=none``), so it is asked for.
"""

from __future__ import annotations

from pcinfra.jobs.slurm.starters.model import COMMAND, Starter
from pcinfra.jobs.spec import JobSpec


def _tasks(spec: JobSpec) -> int:
    return spec.processes or spec.gpus or 1


def _lines(spec: JobSpec) -> tuple[str, ...]:
    return (f"exec {COMMAND}",)


STARTER = Starter(_tasks, _lines, ("--mpi=pmix",))
