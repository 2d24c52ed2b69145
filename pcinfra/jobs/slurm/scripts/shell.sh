# Opens a shell on a node, beside the processes of a job; inside the job's container, if it has one there. Expects RUN,
# JOB, NODE, GPUS (of the node; 0: none). Enroot names what Pyxis starts pyxis_JOBID..., and lists its processes.
# shellcheck disable=SC2016 # expanded on the node
enter='pid=$(enroot list --fancy 2>/dev/null | awk -v job="pyxis_$SLURM_JOB_ID" "index(\$1, job) == 1 && \$2 ~ /^[0-9]+\$/ {print \$2; exit}")
[ -z "$pid" ] || exec enroot exec "$pid" sh -c "command -v bash >/dev/null && exec bash -i || exec sh -i"
exec bash -i'
step=()
[ "$GPUS" = 0 ] || step=(--gpus-per-node="$GPUS")
exec srun --overlap --jobid="$JOB" --nodes=1 --ntasks=1 --nodelist="$NODE" "${step[@]}" --chdir="$PWD/$RUN" --pty \
  bash -c "$enter"
