# find_run WHAT: set RUN to the run that WHAT names: a run id, the beginning of one, or a Slurm job id.
# Prints "unknown" or "many ID..." and ends the script where it names none or several. Starts in the runs directory.
find_run() {
  local found=()
  if [ -e "$1/job.sbatch" ]; then
    RUN=$1
    return
  fi
  case $1 in
    *[!0-9]*) for RUN in "$1"*/job.sbatch; do [ ! -e "$RUN" ] || found+=("${RUN%/*}"); done ;;
    *) mapfile -t found < <(printf '%s\0' ./*/job.id | xargs -0 grep -lxs -- "$1" | xargs -r ls -t | head -n 1) ;;
  esac
  case ${#found[@]} in
    0) answer unknown ;;
    1) RUN=${found[0]#./} RUN=${RUN%/job.id} ;;
    *) answer "many ${found[*]:$((${#found[@]} > 5 ? ${#found[@]} - 5 : 0))}" ;; # the newest of one name
  esac
}
# answer LINE: send one line as the whole answer, compressed as all of them are.
answer() { echo "$1" | gzip -c | base64 -w0; exit 0; }
