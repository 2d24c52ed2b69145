# A look at the nodes before the command starts on them. Expects health (quick, nccl; empty: quick where the job has
# GPUs) and least (GB/s of an all-reduce between nodes; empty: any).
health_tries=3 # how often a job goes to other nodes for it

# gate: end this attempt where a node is unhealthy; the job goes back into the queue, and has others the next time.
gate() {
  local nodes sick=()
  [ -n "$health" ] || { [ -n "${SLURM_GPUS_ON_NODE:-}" ] && health=quick; } || return 0
  mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
  gate_quick
  [ "$health" != nccl ] || [ "${#sick[@]}" != 0 ] || gate_nccl
  [ "${#sick[@]}" = 0 ] || turn_away
}

# on SECONDS NODES [OPTION...] COMMAND...: run a command on each of some nodes (with commas between), beside the job.
on() {
  local bound=$1 names=$2 count
  count=$(tr , '\n' <<<"$names" | grep -c .)
  shift 2
  timeout -k 5 "$bound" srun --overlap --nodelist="$names" --nodes="$count" --ntasks-per-node="${tasks_each:-1}" \
    --ntasks=$((count * ${tasks_each:-1})) --cpus-per-task=1 --mem=0 --kill-on-bad-exit=0 \
    ${SLURM_GPUS_ON_NODE:+--gpus-per-node="$SLURM_GPUS_ON_NODE"} "$@"
}

joined() { local IFS=,; echo "$*"; }

# gate_quick: every node says how it is, with its GPUs, its EFA and the shared file system. That it can say it shows
# that the network between the nodes works.
gate_quick() {
  local node why
  local -A said=()
  while read -r node why; do
    said[${node:--}]=$why
  done < <(on 90 "$(joined "${nodes[@]}")" bash -s <health.sh 2>"$mine/health.err")
  for node in "${nodes[@]}"; do
    why=${said[$node]:-does not answer}
    [ "$why" = ok ] || sick+=("$node $why")
  done
  if [ "${#sick[@]}" = "${#nodes[@]}" ] && [ "${#said[@]}" = 0 ]; then # the step itself did not start
    echo "health: no node could be asked: $(tail -n 1 "$mine/health.err")" >&2
    sick=()
  fi
}

# epilogs: print what slurmd runs at a job's end. Since it may be several, they are numbered.
epilogs() { scontrol show config 2>/dev/null | sed -nE 's/^Epilog(\[[0-9]+\])? *= *(\/.*)/\2/p'; }

# turn_away: end this attempt for what is in sick. Its nodes hear it, and are drained by their epilog (unhealthy.sh),
# which is root; a job may only ask for other nodes.
turn_away() {
  local each why tried telling=() heard=''
  [ -z "$(epilogs)" ] || heard=yes
  for each in "${sick[@]}"; do
    echo "health: $each" >&2
    echo "$PCINFRA_ATTEMPT $each" >>"$mine/unhealthy"
    [ -n "$heard" ] || continue
    # shellcheck disable=SC2016 # expanded on the node
    on 20 "${each%% *}" bash -c 'umask 077; cat >"/var/tmp/pcinfra-unhealthy.$SLURM_JOB_ID.$SLURMD_NODENAME"' \
      <<<"${each#* }" 2>/dev/null &
    telling+=($!)
  done
  [ "${#telling[@]}" = 0 ] || wait "${telling[@]}"
  why=$(printf '%s; ' "${sick[@]}")
  tried=$(spared)
  [ "$tried" -le "$health_tries" ] || give_up 75 "Unhealthy nodes, $tried times: ${why%; }"
  record 75 unhealthy true "${why%; }"
  (trap '' TERM; scontrol update JobId="$job" Requeue=1; scontrol requeue "$job" && keep_away) && exit 0
  exit 75
}

# keep_away: have the next attempt on other nodes, as long as the queue has enough of them. Where it has not, the job
# waits until its nodes are repaired: ParallelCluster replaces what is drained under the same name.
keep_away() {
  local bad others i
  bad=$(cut -d' ' -f2 "$mine/unhealthy" | sort -u)
  others=$(sinfo -h -p "$SLURM_JOB_PARTITION" -N -o '%N %t' | grep -vE ' (boot|down|drain|drng|fail|futr|inval|maint|unk)' |
    cut -d' ' -f1 | sort -u | grep -cvxF -- "$bad")
  [ "$others" -ge "$SLURM_JOB_NUM_NODES" ] || bad=''
  for ((i = 0; i < 50; i++)); do # it may not be waiting yet
    scontrol update JobId="$job" ExcNodeList="$(paste -sd , <<<"$bad")" 2>/dev/null && break
    sleep 0.1
  done
  return 0
}
