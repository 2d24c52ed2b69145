# record RUN: print what is kept of a run, each as a line "WORD REST". Builtins only: a list has many runs.
record() {
  local part line lines
  echo "run $1"
  for part in job:job.id kept:slurm.end cancelled:cancelled attempt:attempts.jsonl result:result.jsonl; do
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
}
# times RUN...: print when each run was submitted, and when an attempt gave its last sign of life.
times() {
  local run files=()
  for run; do
    files+=("$run"/job.id "$run"/signs.*)
  done
  stat -c 'time %n %Y' -- "${files[@]}" 2>/dev/null
}
