# Cancels a run. Expects WHAT. Says how it stands afterwards with look.sh.
find_run "$WHAT"
if [ ! -s "$RUN/result.jsonl" ]; then
  : >"$RUN/cancelled"
  scancel -Q -n "pci-$RUN" -u "$USER" || exit
fi
