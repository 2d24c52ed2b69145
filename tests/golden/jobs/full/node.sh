#!/bin/bash
# Runs once on every node of the job.
set -u
[ "${SLURM_NODEID:-0}" != 0 ] || printf "%(%s)T" -1 >"$PCINFRA_RUN_DIR/began.$PCINFRA_ATTEMPT" || :
. "$PCINFRA_RUN_DIR/env.sh" || exit
cd -- '/lustre/my data' || exit
exec -- python3 train.py --note 'it'"'"'s "fine" $HOME `date` # no
really' ''
