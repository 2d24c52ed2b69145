"""DeepSpeed's own launcher on every node, which it does not reach by ssh (``--no_ssh``, since 0.15.2).

The names in the host file only number the nodes: with ``--no_ssh`` it looks none of them up (its launcher/runner.py).
"""

from __future__ import annotations

from pcinfra.jobs.slurm.starters.model import COMMAND, UNBOUND, Starter, once, processes, program
from pcinfra.jobs.spec import JobSpec


def _lines(spec: JobSpec) -> tuple[str, ...]:
    return (
        program("deepspeed"),
        *processes(spec),
        "hosts=$(mktemp) || exit",
        'for ((node = 0; node < SLURM_JOB_NUM_NODES; node++)); do echo "node-$node slots=$processes"; done >"$hosts"',
        'exec deepspeed --hostfile="$hosts" --no_ssh --node_rank="$SLURM_NODEID" \\',
        '  --master_addr="$MASTER_ADDR" --master_port="$MASTER_PORT" \\',
        f"  --no_python --no_local_rank {COMMAND}",
    )


STARTER = Starter(once, _lines, UNBOUND)
