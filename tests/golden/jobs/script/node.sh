#!/bin/bash
# Runs once on every node of the job.
set -u
[ "${SLURM_NODEID:-0}" != 0 ] || printf "%(%s)T" -1 >"$PCINFRA_RUN_DIR/began.$PCINFRA_ATTEMPT" || :
. "$PCINFRA_RUN_DIR/env.sh" || exit
exec bash "$PCINFRA_RUN_DIR/script" --epochs '3 4'
