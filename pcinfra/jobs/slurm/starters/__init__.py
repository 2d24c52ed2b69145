"""How the command of a job is started on its nodes. A new way is a module here and a line in REGISTRY."""

from __future__ import annotations

from collections.abc import Mapping

from pcinfra.jobs.slurm.starters import accelerate, deepspeed, mpi, srun, torchrun
from pcinfra.jobs.slurm.starters.model import Starter

REGISTRY: Mapping[str, Starter] = {
    "srun": srun.STARTER,
    "torchrun": torchrun.STARTER,
    "deepspeed": deepspeed.STARTER,
    "accelerate": accelerate.STARTER,
    "mpi": mpi.STARTER,
}
"""By the job file's ``launcher``."""
