# Prints what Slurm knows of our jobs, then the newest runs, compressed. Expects LIMIT (runs).
{
  squeue -h -t all -u "$USER" -o '%j|%T|%r|%N' 2>/dev/null | grep '^pci-'
  echo "asked ${PIPESTATUS[0]}"
  # shellcheck disable=SC2012 # the names are ours
  ls -1t | head -n "$LIMIT" | while read -r RUN; do
    [ -e "$RUN/job.sbatch" ] || continue
    job='' kept='' results=()
    [ ! -e "$RUN/job.id" ] || read -r job <"$RUN/job.id"
    [ ! -e "$RUN/slurm.end" ] || read -r kept <"$RUN/slurm.end"
    [ ! -e "$RUN/result.jsonl" ] || mapfile -t results <"$RUN/result.jsonl"
    [ ! -e "$RUN/cancelled" ] || echo "cancelled yes"
    echo "kept $kept"
    [ "${#results[@]}" = 0 ] || echo "result ${results[-1]}"
    echo "run $RUN $job"
  done
  echo end
} | gzip -c | base64 -w0
