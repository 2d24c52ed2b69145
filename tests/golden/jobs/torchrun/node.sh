#!/bin/bash
# Runs on every node of the job.
set -u
[ "${SLURM_PROCID:-0}${PCINFRA_TASK:-}" != 0 ] || printf "%(%s)T" -1 >"$PCINFRA_RUN_DIR/began.$PCINFRA_ATTEMPT" || :
. "$PCINFRA_RUN_DIR/env.sh" || exit
cd -- "$PCINFRA_CODE" || exit
[ -n "$(type -P torchrun)" ] || { echo "$(hostname): torchrun is not installed here, or PATH does not name its directory: give the job an image that has it (image), or its directory (environment: {PATH: DIRECTORY:/usr/bin:/bin})" >&2; exit 127; }
processes=8
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
host=0
[ "$SLURM_NODEID" != 0 ] || host=1
exec torchrun --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="$processes" \
  --rdzv-backend=c10d --rdzv-endpoint="$MASTER_ADDR:$MASTER_PORT" --rdzv-conf="is_host=$host" \
  --rdzv-id="$SLURM_JOB_ID.$PCINFRA_ATTEMPT" --max-restarts=3 --no-python bash "$PCINFRA_RUN_DIR/command.sh"
