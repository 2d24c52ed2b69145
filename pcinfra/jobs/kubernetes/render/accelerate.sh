#!/bin/sh
# `accelerate launch` in every pod, by its flags alone: what `accelerate config` saved does not count.
set -eu
nodes=${PET_NNODES:-1}
total=$((nodes * ${PET_NPROC_PER_NODE:-1}))
several=--multi_gpu
[ "$total" -gt 1 ] || several=
# shellcheck disable=SC2086 # one word or none
exec accelerate launch $several --num_machines="$nodes" --num_processes="$total" \
  --machine_rank="${PET_NODE_RANK:-0}" --main_process_ip="${PET_MASTER_ADDR:-localhost}" \
  --main_process_port="${PET_MASTER_PORT:-29500}" \
  --mixed_precision=no --dynamo_backend=no --no_python sh /pcinfra/job/command.sh
