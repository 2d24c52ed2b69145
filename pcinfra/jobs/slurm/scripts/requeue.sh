# Requeues a run: Slurm ends the attempt that runs and begins another, under the same job id. Expects WHAT. Says how it
# stands afterwards with look.sh. Who asks for one more attempt by hand gets it, whatever the job file allows.
find_run "$WHAT"
job=$(timeout 20 squeue -h -t all -n "pci-$RUN" -u "$USER" -o %A) || exit
job=${job##*$'\n'}
[ -n "$job" ] || answer "refused Slurm has forgotten it"
allowed=$(cat "$RUN/requeue.max" 2>/dev/null || sed -n 's/^requeue=//p' "$RUN/job.sbatch")
next=$(grep -c . "$RUN/attempts.jsonl" 2>/dev/null)
echo $((${next:-0} > ${allowed:-0} + 1 ? ${next:-0} : ${allowed:-0} + 1)) >"$RUN/requeue.max"
scontrol update JobId="$job" Requeue=1 2>/dev/null # else what was submitted with --no-requeue is refused
why=$(scontrol requeue "$job" 2>&1) || answer "refused Slurm says: ${why##*$'\n'}"
rm -f "$RUN/cancelled" "$RUN/slurm.end"
