"""``accelerate launch`` on every node, by its flags alone: what ``accelerate config`` saved does not count."""

from __future__ import annotations

from pcinfra.jobs.slurm.starters.model import COMMAND, UNBOUND, Starter, once, processes, program
from pcinfra.jobs.spec import JobSpec


def _lines(spec: JobSpec) -> tuple[str, ...]:
    return (
        program("accelerate"),
        *processes(spec),
        "total=$((processes * SLURM_JOB_NUM_NODES))",
        "several=()",
        '[ "$total" = 1 ] || several=(--multi_gpu)',
        'exec accelerate launch "${several[@]}" --num_machines="$SLURM_JOB_NUM_NODES" --num_processes="$total" \\',
        '  --machine_rank="$SLURM_NODEID" --main_process_ip="$MASTER_ADDR" --main_process_port="$MASTER_PORT" \\',
        f"  --mixed_precision=no --dynamo_backend=no --no_python {COMMAND}",
    )


STARTER = Starter(once, _lines, UNBOUND)
