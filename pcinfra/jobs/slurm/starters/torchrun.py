"""torchrun on every node, all of them one elastic agent each of one group.

``is_host`` says who keeps the rendezvous; torchrun would guess it from host names. Its store is not shared with the
processes: one that is killed would leave the keys of the last attempt in it, and a restart over several nodes would
fail (pytorch issue 135712). It is not told the number of its node, which only the static rendezvous uses.
"""

from __future__ import annotations

from pcinfra.jobs.slurm.starters.model import COMMAND, UNBOUND, Starter, once, processes, program
from pcinfra.jobs.spec import JobSpec


def _lines(spec: JobSpec) -> tuple[str, ...]:
    return (
        program("torchrun"),
        *processes(spec),
        "export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1",
        "host=0",
        '[ "$SLURM_NODEID" != 0 ] || host=1',
        'exec torchrun --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="$processes" \\',
        '  --rdzv-backend=c10d --rdzv-endpoint="$MASTER_ADDR:$MASTER_PORT" --rdzv-conf="is_host=$host" \\',
        f'  --rdzv-id="$SLURM_JOB_ID.$PCINFRA_ATTEMPT" --max-restarts={spec.restarts} --no-python {COMMAND}',
    )


STARTER = Starter(once, _lines, UNBOUND)
