#!/bin/sh
# DeepSpeed's own launcher in every pod, which it does not reach by ssh (--no_ssh, since 0.15.2). The names in the host
# file only number the pods: with --no_ssh it looks none of them up (its launcher/runner.py).
set -eu
hosts=$(mktemp)
node=0
while [ "$node" -lt "${PET_NNODES:-1}" ]; do
  echo "node-$node slots=${PET_NPROC_PER_NODE:-1}"
  node=$((node + 1))
done >"$hosts"
exec deepspeed --hostfile="$hosts" --no_ssh --node_rank="${PET_NODE_RANK:-0}" \
  --master_addr="${PET_MASTER_ADDR:-localhost}" --master_port="${PET_MASTER_PORT:-29500}" \
  --no_python --no_local_rank sh /pcinfra/job/command.sh
