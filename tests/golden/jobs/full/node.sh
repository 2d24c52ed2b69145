#!/bin/bash
# Runs once on every node of the job.
set -u
. "$PCINFRA_RUN_DIR/env.sh" || exit
cd -- '/lustre/my data' || exit
exec -- python3 train.py --note 'it'"'"'s "fine" $HOME `date` # no
really' ''
