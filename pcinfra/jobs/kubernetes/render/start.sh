#!/bin/sh
# Unpacks the job's code where it can be written to, goes where the job starts, and becomes its command.
set -eu
for archive in /pcinfra/job/code.tar.gz /pcinfra/code/.pcinfra-code.tar.gz; do
  if [ -f "$archive" ]; then
    tar -xzf "$archive" -C /pcinfra/code
  fi
done
rm -f /pcinfra/code/.pcinfra-code.tar.gz
if [ -n "${PCINFRA_WORKDIR:-}" ]; then
  cd -- "$PCINFRA_WORKDIR"
fi
exec "$@"
