# Submits the run $RUN from the tar archive $ARCHIVE (base64, or @FILE) and prints its Slurm job id. Run again, or twice
# at the same time, it makes no second job: a lock on the run directory, the id kept in it, and the job's name, which
# has the run's id in it. Expects RUN, ARCHIVE, LOGS.
umask 077
mkdir -p -- "$RUN" && cd -- "$RUN" || exit
umask 022 # the job inherits it
exec 9>lock && flock 9 || exit
if [ ! -s job.id ]; then
  job=$(squeue -h -t all -n "pci-$RUN" -o %A) || exit
  if [ -z "$job" ]; then
    if [ "${ARCHIVE#@}" != "$ARCHIVE" ]; then
      tar -xpvf "../${ARCHIVE#@}" >files || exit
    else
      printf %s "$ARCHIVE" | base64 -d | tar -xpvf - >files || exit
    fi
    if [ -n "$LOGS" ]; then
      mkdir -p -- "$LOGS/$RUN" && ln -sfn -- "$LOGS/$RUN" logs || exit
    else
      mkdir -p logs || exit
    fi
    if ! answer=$(env -u PCINFRA_RUNS sbatch --parsable job.sbatch 9>&-); then
      # Refused, or accepted and the answer lost: only what Slurm does not know is taken away again.
      job=$(squeue -h -t all -n "pci-$RUN" -o %A) && [ -z "$job" ] && rm -rf -- "../$RUN" "../${ARCHIVE#@}"
      exit 1
    fi
    job=${answer##*$'\n'}
    job=${job%%;*}
  fi
  [[ $job =~ ^[0-9]+$ ]] || { echo "sbatch said: $job" >&2; exit 1; }
  echo "$job" >job.id
fi
[ "${ARCHIVE#@}" = "$ARCHIVE" ] || rm -f -- "../${ARCHIVE#@}"
echo "job $(<job.id)"
