set -uo pipefail
cd -- "$SLURM_SUBMIT_DIR" || exit 1
export PCINFRA_RUN_DIR=$PWD PCINFRA_RUN=${PWD##*/} PCINFRA_ATTEMPT=${SLURM_RESTART_COUNT:-0}
attempt_begins
[ -s job.id ] || echo "$SLURM_JOB_ID" >job.id
# srun does not take --cpus-per-task from sbatch since Slurm 22.05 (its release notes).
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

# A whole node comes with its GPUs, but a step gets only those that it asks for.
gpus=()
[ -n "${SLURM_GPUS_PER_NODE:-}" ] || [ -z "${SLURM_GPUS_ON_NODE:-}" ] || gpus=(--gpus-per-node="$SLURM_GPUS_ON_NODE")

stopped=
trap 'stopped=1' TERM # Slurm ends the job; SIGKILL follows after KillWait
srun --kill-on-bad-exit=1 --wait=60 --input=none --open-mode=append \
  --output="logs/node-%n.$PCINFRA_ATTEMPT.log" "${gpus[@]}" bash "$PCINFRA_RUN_DIR/node.sh" &
srun=$!
while :; do # a trap interrupts wait; go on until srun itself has ended
  wait "$srun"
  rc=$?
  kill -0 "$srun" 2>/dev/null || break
done
wait "$srun" 2>/dev/null
last=$?
[ "$last" -eq 127 ] || rc=$last

attempt_ends
verdict='done'
[ "$rc" -eq 0 ] || verdict=failed
if [ -n "$stopped" ]; then
  verdict=stopped # by whom, only Slurm knows: scancel, a failed node, another job
  [ "$rc" -ne 0 ] || rc=143
fi
if [ "$rc" -gt 128 ] && [ "$(timeout 5 squeue -h -j "$SLURM_JOB_ID" -o %r 2>/dev/null)" = TimeLimit ]; then
  verdict=timeout # srun is sometimes gone before this shell gets its signal
fi
printf '{"job":"%s","attempt":%d,"exit_code":%d,"verdict":"%s","nodes":"%s","ended":"%s"}\n' "$SLURM_JOB_ID" \
  "$PCINFRA_ATTEMPT" "$rc" "$verdict" "$SLURM_JOB_NODELIST" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >>result.jsonl
exit "$rc"
