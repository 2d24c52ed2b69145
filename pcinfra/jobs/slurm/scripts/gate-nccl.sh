# gate_nccl: the GPUs of all nodes exchange data, in the job's container. Where that fails, or is slower than it may be,
# it is found out for whom: for a node alone, or for one with each of two others.
gate_nccl() {
  local n=${#nodes[@]} i next how pair=() failed=()
  how=$(on 300 "${nodes[0]}" "${boxed[@]}" sh -c 'python3 -c "import torch.distributed" 2>/dev/null && echo torch ||
    { command -v all_reduce_perf >/dev/null && echo nccl-tests; }' 2>"$mine/health.err")
  [ -n "$how" ] ||
    give_up 1 "health: nccl needs PyTorch or all_reduce_perf (nccl-tests), in the image if there is one. $(tail -n 1 "$mine/health.err")"
  exchange all "${nodes[@]}" && return
  [ "$n" != 1 ] || { sick=("${nodes[0]} $(outcome all)"); return; }
  for ((i = 0; i < n; i++)); do
    exchange "alone$i" "${nodes[i]}" &
    pair[i]=$!
  done
  for ((i = 0; i < n; i++)); do
    wait "${pair[i]}" || sick+=("${nodes[i]} alone: $(outcome "alone$i")")
  done
  [ "${#sick[@]}" = 0 ] || return
  if [ "$n" = 2 ]; then # nobody can say which of the two it is
    sick=("${nodes[0]} with ${nodes[1]}: $(outcome all)" "${nodes[1]} with ${nodes[0]}: $(outcome all)")
    return
  fi
  pairs 0 $((n - 1))
  pairs 1 $((n - 1))
  pairs $((n - 1)) "$n" # the last with the first
  for ((i = 0; i < n; i++)); do
    next=$(((i + n - 1) % n))
    [ -z "${failed[i]:-}" ] || [ -z "${failed[next]:-}" ] || sick+=("${nodes[i]} with both neighbours: ${failed[i]}")
  done
  [ "${#sick[@]}" != 0 ] ||
    give_up 1 "health: an all-reduce over all nodes fails, and not for one of them: $(outcome all)"
}

# pairs FIRST END: let the nodes FIRST, FIRST + 2, ... below END exchange data with the one after each, at the same time.
# Sets failed where it fails.
pairs() {
  local i running=()
  for ((i = $1; i < $2; i += 2)); do
    exchange "pair$i" "${nodes[i]}" "${nodes[(i + 1) % ${#nodes[@]}]}" &
    running[i]=$!
  done
  for ((i = $1; i < $2; i += 2)); do
    wait "${running[i]}" || failed[i]=$(outcome "pair$i")
  done
}

# exchange NAME NODE...: whether an all-reduce over these nodes works, and fast enough. What it said is in a file.
exchange() {
  local name=$1 said each=${SLURM_GPUS_ON_NODE:-1} bus
  local -x MASTER_ADDR
  said=$mine/health.$name
  shift
  MASTER_ADDR=$(address_of "$1")
  rm -f -- "$said" "$said.port"
  case $how in
    torch)
      tasks_each=$each on 240 "$(joined "$@")" --overcommit "${boxed[@]}" \
        python3 "$PCINFRA_RUN_DIR/allreduce.py" "$said.port" >"$said" 2>&1 ;;
    *)
      tasks_each=$each on 240 "$(joined "$@")" --overcommit --mpi=pmix "${boxed[@]}" \
        all_reduce_perf -b 1G -e 1G -n 20 -g 1 >"$said" 2>&1 ;;
  esac || return
  # Of nccl-tests: "# Avg bus bandwidth    : 243.5", and wrong results are counted in a line of their own.
  ! grep -qE '^# Out of bounds values *: *[1-9]' "$said" || return
  bus=$(sed -nE 's/^(# Avg bus bandwidth *:|nccl:) *([0-9.]+).*/\2/p' "$said" | tail -n 1)
  [ $# -gt 1 ] && [ -n "$least" ] && [ -n "$bus" ] || return 0
  awk -v bus="$bus" -v least="$least" 'BEGIN {exit !(bus >= least)}' && return
  echo "$bus GB/s between its GPUs and those of other nodes; at least $least are wanted" >>"$said"
  return 1
}

# outcome NAME: what an exchange that failed said last.
outcome() { grep -vE '^ *$|srun: |slurmstepd' "$mine/health.$1" 2>/dev/null | tail -n 1 | grep . || echo "an all-reduce does not end"; }
