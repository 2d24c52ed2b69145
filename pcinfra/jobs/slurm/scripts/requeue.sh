# Requeues a run: Slurm ends the attempt that runs and begins another, under the same job id. Expects WHAT. Says how it
# stands afterwards with look.sh.
find_run "$WHAT"
job=$(timeout 20 squeue -h -t all -n "pci-$RUN" -u "$USER" -o %A) || exit
job=${job##*$'\n'}
[ -n "$job" ] || answer "refused Slurm has forgotten it"
why=$(scontrol requeue "$job" 2>&1) || answer "refused Slurm says: ${why##*$'\n'}"
rm -f "$RUN/cancelled" "$RUN/slurm.end"
