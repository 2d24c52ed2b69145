# What is kept of every attempt, beside the result: attempts.jsonl has a line for each when it begins and when it ends.
# Once a minute signs.K gets a line: the time, and the sizes of the logs that have grown. An attempt that leaves no
# result, because its node died, lived at least that long; `pcinfra logs --since` finds its place there.
attempt_begins() {
  printf '{"job":"%s","attempt":%d,"nodes":"%s","count":%d,"gpus":%d,"started":%(%s)T}\n' "$job" "$PCINFRA_ATTEMPT" \
    "$SLURM_JOB_NODELIST" "${SLURM_JOB_NUM_NODES:-1}" "${SLURM_GPUS_ON_NODE:-0}" -1 >>"$mine/attempts.jsonl"
  rm -f slurm.end # it was of the attempt before
  attempt_signs 9>&- </dev/null >>"$mine/signs.$PCINFRA_ATTEMPT" 2>/dev/null &
  signs=$!
}
attempt_ends() {
  kill "$signs" 2>/dev/null
  printf '{"attempt":%d,"ended":%d}\n' "$PCINFRA_ATTEMPT" "$(date +%s)" >>"$mine/attempts.jsonl"
}
attempt_signs() {
  local text size name sleeping
  local -A last=()
  trap 'kill "$sleeping" 2>/dev/null; exit' TERM
  while :; do
    sleep 60 &
    sleeping=$!
    wait "$sleeping"
    text=$(date +%s)
    while read -r size name; do
      [ "$size" = "${last[$name]:-}" ] || text+=" $name=$size"
      last[$name]=$size
    done < <(stat -Lc '%s %n' logs/"${log%\%n}"*."$PCINFRA_ATTEMPT".log)
    echo "$text"
  done
}
