# Prints where a run stands and what is new in its logs. Expects WHAT, LIMIT (characters for the logs, 0 for none) and
# OFFSETS (an associative array, log name to bytes seen). Asks Slurm before it reads: what a job that has ended wrote
# is then all there. Asks by name, because job ids begin again when a cluster is made anew.
find_run "$WHAT"
cd -- "$RUN" || exit
slurm=$(timeout 20 squeue -h -t all -n "pci-$RUN" -o '%T|%r|%N' 2>/dev/null)
asked=$?
slurm=${slurm##*$'\n'}
logs=()
mapfile -t results < <(cat result.jsonl 2>/dev/null)
if [ ! -e slurm.end ]; then # Slurm forgets a job after MinJobAge; keep how it ended
  case ${slurm%%|*} in
    BOOT_FAIL | CANCELLED | DEADLINE | FAILED | NODE_FAIL | OUT_OF_MEMORY | PREEMPTED | TIMEOUT) echo "$slurm" >slurm.end ;;
  esac
fi
echo "run $RUN"
echo "job $(cat job.id 2>/dev/null)"
echo "nodes $(sed -n 's/^#SBATCH --nodes=//p' job.sbatch)"
echo "asked $asked"
echo "slurm $slurm"
echo "kept $(cat slurm.end 2>/dev/null)"
[ ! -e cancelled ] || echo "cancelled yes"
[ "${#results[@]}" = 0 ] || echo "result ${results[-1]}"
[ "$LIMIT" = 0 ] || mapfile -t logs < <(stat -Lc '%s %n' logs/node-*.log logs/batch.log 2>/dev/null)
for line in "${logs[@]}"; do # first what the job says, then what Slurm says of it
  size=${line%% *} name=${line#*/}
  seen=${OFFSETS[$name]:-0}
  [ "$size" -gt "$seen" ] || continue
  [ "$LIMIT" -gt 1000 ] || { echo "more yes"; break; }
  text=$(encoded "$LIMIT" "logs/$name" "$seen"; echo ":$taken")
  taken=${text##*:} text=${text%:*}
  LIMIT=$((LIMIT - ${#text}))
  echo "log $name $seen $text"
  [ "$((seen + taken))" -ge "$size" ] || echo "more yes"
done
echo end
