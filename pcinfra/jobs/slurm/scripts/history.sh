# Prints all that is kept of a run, compressed: what look.sh says, when its commands began, the last checkpoints of each attempt, and
# "spec SIZE" with the size of the job file and as much of that as fits, in base64. Expects WHAT.
find_run "$WHAT"
slurm=$(timeout 10 squeue -h -t all -n "pci-$RUN" -o '%j|%T|%r|%N' 2>/dev/null)
asked=$?
[ -n "$slurm" ] || slurm=$(forgotten "$RUN")
printf %s "$({
  echo "asked $asked"
  printf '%s\n' "$slurm" | sed 's/^/slurm /'
  record "$RUN"
  times "$RUN"
  spells "$RUN"
  for file in "$RUN"/began.*; do
    [ ! -e "$file" ] || echo "began ${file##*.} $(<"$file")"
  done
  [ ! -e "$RUN/checkpoints.jsonl" ] || tail -n 10000 -- "$RUN/checkpoints.jsonl" | awk '{
    number = match($0, /"attempt": *[0-9]+/) ? substr($0, RSTART, RLENGTH) : ""
    n = ++count[number]; line[number, n % 20] = $0
  } END {for (number in count) for (i = 0; i < 20; i++) if ((number, i) in line) print "checkpoint " line[number, i]}'
  echo "spec $(stat -c %s -- "$RUN/spec.json") $(head -c 4096 -- "$RUN/spec.json" | base64 -w0)"
  echo end
} | gzip -c | base64 -w0)"
