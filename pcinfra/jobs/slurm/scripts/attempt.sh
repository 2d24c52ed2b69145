# What is kept of every attempt, beside the result: attempts.jsonl has a line for each, written when it begins. Once a
# minute signs.K gets a line: the time, and the sizes of the logs that have grown. An attempt that leaves no result,
# because its node died, lived at least that long; `pcinfra logs --since` finds its place there.
attempt_begins() {
  printf '{"job":"%s","attempt":%d,"nodes":"%s","count":%d,"gpus":%d,"started":%d}\n' "$SLURM_JOB_ID" \
    "$PCINFRA_ATTEMPT" "$SLURM_JOB_NODELIST" "${SLURM_JOB_NUM_NODES:-1}" "${SLURM_GPUS_ON_NODE:-0}" "$(date +%s)" \
    >>attempts.jsonl
  rm -f slurm.end # it was of the attempt before
  attempt_signs 9>&- </dev/null >>"signs.$PCINFRA_ATTEMPT" 2>/dev/null &
  signs=$!
}
attempt_ends() { kill "$signs" 2>/dev/null; }
attempt_signs() {
  local line size name sleeping
  local -A last=()
  trap 'kill "$sleeping" 2>/dev/null; exit' TERM
  while :; do
    sleep 60 &
    sleeping=$!
    wait "$sleeping"
    line=$(date +%s)
    while read -r size name; do
      [ "$size" = "${last[$name]:-}" ] || line+=" $name=$size"
      last[$name]=$size
    done < <(stat -Lc '%s %n' logs/node-*."$PCINFRA_ATTEMPT".log)
    echo "$line"
  done
}

