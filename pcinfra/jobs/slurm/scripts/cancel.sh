# Cancels a run. Expects WHAT. Says how it stands afterwards with look.sh. One that Slurm has ended is left as it is.
if [ ! -e "$WHAT" ]; then # who has removed a run's directory still has its job
  jobs=$(timeout 20 squeue -h -n "pci-$WHAT" -u "$USER" -o %A) || exit
  [ -z "$jobs" ] || { scancel -Q -n "pci-$WHAT" -u "$USER" && answer "gone"; }
fi
find_run "$WHAT"
jobs=$(timeout 20 squeue -h -n "pci-$RUN" -u "$USER" -o %A) || exit
if [ -n "$jobs" ]; then
  : >"$RUN/cancelled"
  scancel -Q -n "pci-$RUN" -u "$USER" || exit
fi
