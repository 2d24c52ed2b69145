set -uo pipefail
cd -- "$SLURM_SUBMIT_DIR" || exit 1
export PCINFRA_RUN_DIR=$PWD PCINFRA_RUN=${PWD##*/} PCINFRA_ATTEMPT=${SLURM_RESTART_COUNT:-0}
# A task of an array has a directory of its own for what belongs to it; the number by which Slurm knows it begins
# again with every part of a large array.
job=$SLURM_JOB_ID mine=$PWD log=node-%n task=''
if [ -n "$tasks" ]; then
  task=$((${1:-0} + SLURM_ARRAY_TASK_ID))
  job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID mine=$PWD/tasks/$task log=node-${task}_%n
  export PCINFRA_TASK=$task PCINFRA_TASKS=$tasks
  mkdir -p -- "$mine" || exit 1
fi
export PCINFRA_STOP_FILE=$mine/stop.$PCINFRA_ATTEMPT PCINFRA_DONE_FILE=$mine/DONE
export PCINFRA_CHECKPOINTS=${checkpoints:+$checkpoints${task:+/$task}}
export PCINFRA_CHECKPOINTS=${PCINFRA_CHECKPOINTS:-$mine/checkpoints}
[ -z "$data" ] || export PCINFRA_DATA=$data
[ ! -d code ] || export PCINFRA_CODE=$PWD/code
[ -s job.id ] || [ -n "$tasks" ] || echo "$SLURM_JOB_ID" >job.id
started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
attempt_begins
asked=$requeue # every process that is not needed here lets the command begin sooner
[ ! -e requeue.max ] || asked=$(<requeue.max)
# spared: how many attempts ended before the command began, because a node was unhealthy (gate.sh). They are not counted.
spared() { cut -d' ' -f1 "$mine/unhealthy" 2>/dev/null | sort -u | grep -c .; }
budget=$asked
[ ! -e "$mine/unhealthy" ] || budget=$((asked + $(spared)))
[ "$budget" = "$asked" ] || [ "$asked" != 0 ] || scontrol update JobId="$job" Requeue=0 # as it was submitted

# record EXIT_CODE VERDICT REQUEUED [WHY]: what became of this attempt, one line each. Of an array, when its last task has
# ended, what became of all.
record() {
  local now worst why verdict more
  attempt_ends
  now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  why=$(tr -d '\000-\037"\134' <<<"${4:-}" | head -c 400)
  line '"exit_code":%d,"verdict":"%s","requeued":%s%s' "$1" "$2" "$3" "${why:+,\"why\":\"$why\"}" >>"$mine/result.jsonl"
  [ -n "$tasks" ] && [ "$3" = false ] || return
  exec 8>tasks/lock && flock 8 && echo "$task $1" >>tasks/ended
  worst=$(awk -v tasks="$tasks" '{code[$1] = $2} END {
    for (each in code) n++
    if (n < tasks) exit
    for (each = 0; each < tasks; each++) {
      if (code[each] > worst) worst = code[each]
      if (code[each] && ++bad <= 10) which = which (bad > 1 ? ", " : " ") each
    }
    why = bad + 0 " of " tasks " tasks failed:" which (bad > 10 ? " and more" : "")
    print worst + 0, (worst ? "failed" : "done"), "\"failed_tasks\":" bad + 0 (bad ? ",\"why\":\"" why "\"" : "")
  }' tasks/ended)
  read -r worst verdict more <<<"$worst"
  if [ -n "$worst" ]; then
    started=$(find tasks -name result.jsonl -exec grep -ho '"started":"[^"]*"' {} + | sort | head -n 1 | cut -d'"' -f4)
    line '"exit_code":%d,"verdict":"%s","requeued":false,%s' "$worst" "$verdict" "$more" >>result.jsonl
  fi
  exec 8>&-
}
line() {
  local form=$1
  shift
  # shellcheck disable=SC2059 # the format is one of ours
  printf '{"job":"%s","attempt":%d,'"$form"',"nodes":"%s","started":"%s","ended":"%s"}\n' \
    "$job" "$PCINFRA_ATTEMPT" "$@" "$SLURM_JOB_NODELIST" "$started" "$now"
}
# give_up EXIT_CODE WHY
give_up() {
  echo "$2" >&2
  record "$1" failed false "$2"
  exit "$1"
}

# Slurm itself requeues after a node has failed, and does not count.
[ "$PCINFRA_ATTEMPT" -le "$budget" ] ||
  give_up 75 "This is attempt $((PCINFRA_ATTEMPT + 1)); the job file lets it be requeued $asked times."
mkdir -p -- "$PCINFRA_CHECKPOINTS" || exit 1
# srun does not take --cpus-per-task from sbatch since Slurm 22.05 (its release notes).
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
# An address, not a name: nodes with several network cards have several names.
address_of() {
  local address
  address=$(scontrol show node -o "$1" 2>/dev/null | sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p')
  echo "${address:-$1}"
}
first=$SLURM_JOB_NODELIST
[[ $first != *[[,]* ]] || first=$(scontrol show hostnames "$first" 2>/dev/null | head -n 1)
MASTER_ADDR=$(address_of "${first:-localhost}")
export MASTER_ADDR MASTER_PORT=$((61000 + SLURM_JOB_ID % 4536))

[ -z "$(type -t fetch_secrets)" ] || fetch_secrets
# NCCL ends the job where it cannot use EFA; without this it would go on over TCP, many times slower.
[ "$fabric" != efa ] || export FI_PROVIDER=efa NCCL_NET='AWS Libfabric'

# A whole node comes with its GPUs, but a step gets only those that it asks for.
[ -n "${SLURM_GPUS_PER_NODE:-}" ] || [ -z "${SLURM_GPUS_ON_NODE:-}" ] || step+=(--gpus-per-node="$SLURM_GPUS_ON_NODE")

boxed=()
if [ "$container" != off ] && srun --help 2>/dev/null | grep -e --container-image >/dev/null; then
  [ -n "${SLURM_GPUS_ON_NODE:-}${SLURM_GPUS_PER_NODE:-}" ] && gpus=all || gpus=void
  # Images that are not NVIDIA's own do not ask for the GPUs, and would see none.
  export NVIDIA_VISIBLE_DEVICES=$gpus NVIDIA_DRIVER_CAPABILITIES=compute,utility
  # A variable that the image sets, too, arrives as the image sets it unless it is named here.
  names=$(compgen -e | grep -E '^(PCINFRA_|MASTER_|NVIDIA_|FI_|NCCL_)' | paste -sd , -)${fetched:+,$fetched}
  [ -n "$digest" ] || [ ! -s image.digest ] || digest=$(<image.digest) # what its tag meant when it was submitted
  [ ! -s image.err ] || [ -n "$digest" ] || echo "Each node imports the image: $(tail -n 1 image.err)" >&2
  if [ -n "$digest" ]; then
    image=${PWD%/*}/.images/$digest.sqsh
    touch -c -- "$image" # it is in use: prune.sh
    [ -e "$image" ] || give_up 1 "The image was not imported: $(tail -n 5 "${image%.sqsh}.log" 2>&1)"
  fi
  boxed=(--container-image="$image" --container-mounts="$PWD:$PWD${mounts:+,$mounts}" --container-env="$names"
    "${options[@]}")
  step+=("${boxed[@]}")
elif [ "$container" = required ]; then
  give_up 1 "This cluster cannot run containers: Pyxis is not switched on. With container: optional it runs without."
fi

stopped=''
trap 'stopped=1; : >>"$PCINFRA_STOP_FILE"' TERM # Slurm ends the job; SIGKILL follows after KillWait
timer=''
# The time limit comes, or the nodes are about to be taken away, which may both be so: the first one counts.
trap '[ -n "$timer" ] || { touch "$PCINFRA_STOP_FILE"; before_limit & timer=$!; }' USR1

# gone: print when the nodes are taken away, as the stop file tells; nothing where it is the time limit that comes.
gone() { sed -n '1s/^\([0-9]\{1,12\}\) .*/\1/p' "$PCINFRA_STOP_FILE"; }

# shellcheck disable=SC2329 # called by the trap
# before_limit: end what does not look for the stop file, while there is time left to requeue the job. The file has the
# time at which the nodes go, where it is not the time limit that comes.
before_limit() {
  local end left last=$((grace / 3 < 60 ? grace / 3 : 60))
  end=$(gone)
  [ -n "$end" ] || end=$(date -d "$(squeue -h -j "$job" -o %e 2>/dev/null)" +%s 2>/dev/null)
  left=$((${end:-$(($(date +%s) + grace))} - $(date +%s)))
  last=$((left / 3 < last ? (left > 0 ? left / 3 : 0) : last))
  sleep $((left > last ? left - last : 0))
  kill -TERM "$srun" 2>/dev/null
  sleep $((last > 10 ? last - 5 : last / 2))
  kill -KILL "$srun" 2>/dev/null
}

[ -z "$(type -t gate)" ] || gate
[ -z "$stopped" ] || { record 143 stopped false; exit 143; }

# put_off: ask EC2 whether the end of the capacity was put off since the job was submitted ("Extend Capacity Blocks", EC2
# user guide), by the role of this node. Without an answer it is as it was.
put_off() {
  local own end
  [ -n "${reservation:-}" ] || return
  own=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(sed -n 's/^cfn_region=//p' /etc/parallelcluster/cfnconfig 2>/dev/null)}}
  end=$(PATH=$PATH:/usr/local/bin:/snap/bin timeout 30 aws ec2 describe-capacity-reservations \
    --output text ${own:+"--region=$own"} --capacity-reservation-ids "$reservation" \
    --query 'CapacityReservations[0].EndDate')
  end=$(date -d "${end:-none}" +%s 2>/dev/null) || return
  ends=$((end - early))
}

# stop_watch: tell this job when its nodes are taken away: in good time before $ends (of a capacity block, in seconds since
# 1970), or as soon as a node says that EC2 takes it (watch.sh).
stop_watch() {
  local nap
  trap 'kill "$nap" 2>/dev/null; exit' TERM
  [ "${ends:-0}" -gt "$(date +%s)" ] || put_off
  [ "${ends:-0}" -gt "$(date +%s)" ] || ends='' # it has passed, and the nodes are there
  while [ ! -e "$PCINFRA_STOP_FILE" ]; do
    if [ -n "$ends" ] && [ $((ends - grace)) -le "$(date +%s)" ]; then
      put_off
      [ $((ends - grace)) -le "$(date +%s)" ] || continue
      echo "$ends the capacity of its nodes ends at $(date -u -d "@$ends" +'%F %R UTC')" >"$PCINFRA_STOP_FILE"
      break
    fi
    sleep 1 &
    nap=$!
    wait "$nap"
  done
  kill -USR1 $$
}

watch=''
if [ -e watch.sh ]; then # beside the command, on the nodes themselves
  srun --overlap --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpus-per-task=1 \
    --mem=0 --input=none --output=none bash watch.sh 2>/dev/null &
  watch=$!
fi
# What stops the job by its stop file, and not by a signal.
watching=''
if [ -n "$watch$ends" ]; then
  stop_watch 9>&- </dev/null >/dev/null 2>&1 &
  watching=$!
fi
said=$mine/srun.$PCINFRA_ATTEMPT # the first to fail says why; the others are then killed for it
exec 7> >(trap '' TERM && exec tee -- "$said" >&2)
tee=$!
srun --kill-on-bad-exit=1 --wait=60 --input=none --open-mode=append \
  --output="logs/$log.$PCINFRA_ATTEMPT.log" "${step[@]}" bash "$PCINFRA_RUN_DIR/node.sh" 2>&7 7>&- &
srun=$!
exec 7>&-
while :; do # a trap interrupts wait; go on until srun itself has ended
  wait "$srun"
  rc=$?
  kill -0 "$srun" 2>/dev/null || break
done
wait "$srun" 2>/dev/null
last=$?
[ "$last" -eq 127 ] || rc=$last
[ -z "$timer" ] || kill "$timer" 2>/dev/null
[ -z "$watch" ] || kill "$watch" 2>/dev/null
[ -z "$watching" ] || kill "$watching" 2>/dev/null
wait "$tee" 2>/dev/null
failed=$(grep -m 1 -oE 'tasks? [0-9,-]+: .*' "$said" 2>/dev/null)
if [ "$rc" -gt 128 ]; then # srun's own is the highest of all
  case $failed in # as strsignal(3) says it
    *'Exited with exit code '*) rc=${failed##* } ;;
    *': Aborted'*) rc=134 ;;
    *': Killed'*) rc=137 ;;
    *': Segmentation fault'*) rc=139 ;;
  esac
fi
rm -f -- "$said"

# not_before END: have the next attempt begin when these nodes are gone: on them it would be stopped again at once, until
# no attempt is left.
not_before() {
  [ "${1:-0}" -le "$(date +%s)" ] || scontrol update JobId="$job" StartTime="$(date -d "@$(($1 + 10))" +%FT%T)"
  return 0
}

verdict='done' how=''
[ "$rc" -eq 0 ] || verdict=failed
# srun is sometimes gone before this shell gets its signal; Slurm knows by then that the job is to end.
[ "$rc" -le 128 ] || how=$(timeout 5 squeue -h -j "$job" -o '%T %r' 2>/dev/null)
case $how in
  *TimeLimit) ;;
  COMPLETING*) stopped=1 ;;
esac
if [ -n "$stopped" ]; then
  verdict=stopped # by whom, only Slurm knows: scancel, a failed node, another job
  case $rc in
    0 | 12[89] | 13[0-689] | 1[4-9]? | 2??) rc=143 ;; # an srun that is just starting ends in other ways
  esac
elif [ -e "$PCINFRA_STOP_FILE" ] && [ ! -e "$PCINFRA_DONE_FILE" ] && [ "$rc$asked" != 00 ]; then
  if [ "$PCINFRA_ATTEMPT" -lt "$budget" ]; then
    record 75 stopped true "$(sed '1s/^[0-9]* //; q' "$PCINFRA_STOP_FILE")"
    # Slurm ends this job for it, and would end the asking, too.
    (trap '' TERM && scontrol requeue "$job" && not_before "$(gone)") && exit 0
  fi
  verdict=timeout rc=75
fi
[[ $how != *TimeLimit ]] || verdict=timeout
record "$rc" "$verdict" false
exit "$rc"
