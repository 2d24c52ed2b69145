# record RUN: print what is kept of a run, each as a line "WORD REST". Builtins only, but
# for arrays: a list has many runs.
record() {
  local part line lines
  echo "run $1"
  for part in job:job.id kept:slurm.end cancelled:cancelled attempt:attempts.jsonl result:result.jsonl rebalance:rebalance; do
    [ -e "$1/${part#*:}" ] || continue
    mapfile -t lines <"$1/${part#*:}"
    [ "$part" != cancelled:cancelled ] || lines=(yes)
    for line in "${lines[@]}"; do
      echo "${part%%:*} $line"
    done
  done
  while read -r line; do
    case $line in
      '#SBATCH --nodes='*) echo "wants ${line#*=}" ;;
      '#'*) ;;
      *) break ;;
    esac
  done <"$1/job.sbatch"
  [ ! -d "$1/tasks" ] || tasks_of "$1"
}
# tasks_of RUN: print what the tasks of an array have used, all together; see the class Tasks.
tasks_of() {
  find "$1/tasks" -name attempts.jsonl -exec cat {} + | awk '
    function number(key) {
      return match($0, "\"" key "\":[0-9]+") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0 : 0
    }
    function still() { nodes += count; gpus += count * each; starts += count * start; gpustarts += count * each * start }
    /"started":/ { if (open) still(); open = 1; begun++; start = number("started"); count = number("count"); each = number("gpus") }
    /"ended":/ { if (open) { time = number("ended") - start; spent += time * count; gpuspent += time * count * each; open = 0 } }
    END {
      if (open) still()
      printf "tasks %.0f %.0f %.0f %.0f %.0f %.0f %.0f\n", begun, spent, gpuspent, nodes, gpus, starts, gpustarts
    }'
}
# times RUN...: print when each run was submitted, and when its attempts gave their last signs of life: the minute that
# was noted, or what the first node said. And how many blocks the file system of the runs has left.
times() {
  local run files=()
  for run; do
    files+=("$run"/job.id "$run"/signs.* "$run"/logs/node-0.*.log)
  done
  stat -c 'time %n %Y' -- "${files[@]}" 2>/dev/null
  stat -f -c 'room %a' .
}
