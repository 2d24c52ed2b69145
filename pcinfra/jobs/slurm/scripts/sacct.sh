# forgotten RUN...: print how those of the runs ended that Slurm has forgotten and whose own files do not say all, where the
# cluster has an accounting database: NAME|STATE|REASON|NODES, as squeue does. Expects squeue's answer in $slurm, and its
# exit status in $asked. What is found out is kept like what look.sh saw, so that it is asked for once. By name and id:
# the ids begin again when a cluster is made anew, and a database may outlive it.
forgotten() {
  local run lines wanted=() ids='' line
  [ "$asked" = 0 ] || return 0
  for run; do
    [ -s "$run/job.id" ] && [ ! -e "$run/slurm.end" ] || continue
    lines=()
    [ ! -e "$run/result.jsonl" ] || mapfile -t lines <"$run/result.jsonl"
    [[ ${lines[-1]:-} != *'"verdict":"done","requeued":false'* ]] || continue
    wanted+=("$run")
  done
  [ "${#wanted[@]}" != 0 ] || return 0
  mapfile -t wanted < <(awk -F'|' 'NR == FNR {known[$1]; next} !("pci-" $0 in known)' \
    <(printf '%s\n' "$slurm") <(printf '%s\n' "${wanted[@]}"))
  for run in "${wanted[@]}"; do
    mapfile -t lines <"$run/job.id"
    for line in "${lines[@]}"; do
      ids+=${ids:+,}$line
    done
  done
  [ -n "$ids" ] || return 0
  while IFS= read -r line; do
    run=${line%%|*} run=${run#pci-}
    [ -d "$run/tasks" ] || echo "${line#*|}" >"$run/slurm.end"
    echo "$line"
  done < <(timeout 20 sacct -DXPn -j "$ids" -o JobName,State,Reason,NodeList,JobID 2>/dev/null |
    awk -F'|' -v runs="${wanted[*]}" '
      BEGIN {n = split(runs, names, " "); for (i = 1; i <= n; i++) ours["pci-" names[i]]}
      NF == 5 && $1 in ours {last[$5, $1] = $1 "|" $2 "|" $3 "|" ($4 == "None assigned" ? "" : $4)}
      END {for (each in last) if (last[each] ~ /^[^|]*\|(BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|REVOKED|TIMEOUT)/) print last[each]}')
}
# spells RUN: print "spell START END" of every attempt of a run that the accounting knows of, in seconds since 1970.
spells() {
  [ -s "$1/job.id" ] && [ ! -d "$1/tasks" ] || return 0
  SLURM_TIME_FORMAT=%s timeout 20 sacct -DXPn -j "$(head -n 1 "$1/job.id")" -o JobName,Start,End 2>/dev/null |
    awk -F'|' -v name="pci-$1" '$1 == name && $2 ~ /^[0-9]+$/ && $3 ~ /^[0-9]+$/ {print "spell " $2 " " $3}'
}
