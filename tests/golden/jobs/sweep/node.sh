#!/bin/bash
# Runs on every node of the job.
set -u
. "$PCINFRA_RUN_DIR/env.sh" || exit
exec bash "$PCINFRA_RUN_DIR/command.sh"
