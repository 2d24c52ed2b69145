"""What a way of starting a command is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pcinfra.jobs.spec import JobSpec

COMMAND = 'bash "$PCINFRA_RUN_DIR/command.sh"'
"""The command as one that takes no arguments: what a launcher's own parser never sees, it cannot change."""

UNBOUND = ("--cpu-bind=none",)
"""One task that starts many processes may use every CPU of the step, where Slurm would bind it to one (srun(1))."""


@dataclass(frozen=True, slots=True)
class Starter:
    """One way of starting a command.

    Args:
        tasks: how many times srun starts ``node.sh`` on each node.
        lines: what ``node.sh`` does at its end, in bash. The environment holds the user's variables, ``MASTER_ADDR``
            and ``MASTER_PORT`` of the first node, and ``SLURM_NODEID`` and its like.
        srun: options for srun.
    """

    tasks: Callable[[JobSpec], int]
    lines: Callable[[JobSpec], tuple[str, ...]]
    srun: tuple[str, ...] = ()


def program(name: str) -> str:
    """Return bash that ends the task with a reason where there is no such program."""
    why = f"{name} is not installed here, or PATH does not name its directory"
    hint = "give the job an image that has it (image), or its directory (environment: {PATH: DIRECTORY:/usr/bin:/bin})"
    return f'[ -n "$(type -P {name})" ] || {{ echo "$(hostname): {why}: {hint}" >&2; exit 127; }}'


def once(spec: JobSpec) -> int:
    """One task on each node, which starts the processes itself."""
    return 1


def processes(spec: JobSpec) -> tuple[str, ...]:
    """Return bash that sets ``processes``, how many each node starts: as the job file says, else one for each GPU.

    GPUs that Slurm alone knows of, as on the local cloud, have no device of their own; the processes would only share
    this machine's CPUs.
    """
    number = spec.processes or spec.gpus or (1 if spec.cpus else None)
    if number:
        return (f"processes={number}",)
    return (
        "processes=${SLURM_GPUS_ON_NODE:-1}",
        'if [ "$processes" != 1 ] && { [ ! -e /dev/nvidia0 ] || [ /dev/nvidia0 -ef /dev/null ]; }; then',
        '  [ "${SLURM_NODEID:-0}" != 0 ] || echo "The GPUs here are not real: each node runs 1 process, not $processes;'
        ' --processes $processes says otherwise." >&2',
        "  processes=1",
        "fi",
    )
