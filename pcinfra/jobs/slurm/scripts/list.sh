# Prints the newest runs, newest first, compressed; "more yes" where not all of LIMIT fit. Expects LIMIT (runs), BEFORE
# (the end of an id: only older ones; empty: all), NAME (the beginning of ids) and ACTIVE (yes: only what Slurm still
# has to end). Asks Slurm once. A run's age is in its id, so that no file has to be looked at to sort them.
slurm=$(timeout 20 squeue -h -t all -u "$USER" -o '%j|%T|%r|%N' 2>/dev/null)
asked=$?
newest() {
  awk -v before="$BEFORE" -v name="$NAME" '{
    key = substr($0, length($0) - 15)
    if (substr($0, length($0) - 16, 1) != "-" || key !~ /^[0-9a-z]+$/) next
    if (index($0, name) == 1 && (before == "" || key "" < before "")) print key, $0
  }' | LC_ALL=C sort -r | head -n "$LIMIT" | cut -d" " -f2-
}
ended='^(BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|TIMEOUT)'
if [ "$ACTIVE" = yes ]; then
  mapfile -t runs < <(awk -F'|' -v ended="$ended" '$2 !~ ended && sub(/^pci-/, "", $1) {print $1}' <<<"$slurm" | sort -u | newest)
else
  # shellcheck disable=SC2012 # the names are ours
  mapfile -t runs < <(ls -1U | newest)
fi
texts=() kept=()
for RUN in "${runs[@]}"; do
  [ ! -e "$RUN/job.sbatch" ] || { texts+=("$(record "$RUN")"); kept+=("$RUN"); }
done
[ "$ACTIVE" = yes ] || slurm+=$'\n'$(forgotten "${kept[@]}")
n=${#kept[@]}
while :; do
  text=$({
    echo "asked $asked"
    [ "$n" = 0 ] || printf '%s\n' "${texts[@]:0:n}"
    awk -F'|' 'NR == FNR {ours["pci-" $0]; next} $1 in ours {print "slurm " $0}' \
      <(printf '%s\n' "${kept[@]:0:n}") <(printf '%s\n' "$slurm")
    times "${kept[@]:0:n}"
    [ "$n" = "${#kept[@]}" ] || echo "more yes"
    echo end
  } | gzip -c | base64 -w0)
  [ "${#text}" -gt 23000 ] && [ "$n" -gt 1 ] || break
  n=$((n / 2))
done
printf %s "$text"
