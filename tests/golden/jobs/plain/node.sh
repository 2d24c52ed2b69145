#!/bin/bash
# Runs once on every node of the job.
set -u
. "$PCINFRA_RUN_DIR/env.sh" || exit
exec -- true
