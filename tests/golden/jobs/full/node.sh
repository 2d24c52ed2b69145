#!/bin/bash
# Runs on every node of the job.
set -u
[ "${SLURM_PROCID:-0}${PCINFRA_TASK:-}" != 0 ] || printf "%(%s)T" -1 >"$PCINFRA_RUN_DIR/began.$PCINFRA_ATTEMPT" || :
. "$PCINFRA_RUN_DIR/env.sh" || exit
cd -- '/lustre/my data' || exit
exec bash "$PCINFRA_RUN_DIR/command.sh"
