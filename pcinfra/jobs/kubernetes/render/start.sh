#!/bin/sh
# Unpacks the job's code where it can be written to, goes where the job starts, and becomes its command.
set -eu
if [ -f /pcinfra/job/code.tar.gz ]; then
  tar -xzf /pcinfra/job/code.tar.gz -C /pcinfra/code
fi
if [ -n "${PCINFRA_WORKDIR:-}" ]; then
  cd -- "$PCINFRA_WORKDIR"
fi
exec "$@"
