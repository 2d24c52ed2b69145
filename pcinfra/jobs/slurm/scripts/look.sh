# Prints where a run stands and what is new in its logs, compressed: lines "WORD REST", then "data" and the bytes of the
# logs, as many of each as its line "log NAME OFFSET LENGTH" says. Expects WHAT, LIMIT (characters of the answer; 0: no
# logs), OFFSETS (log name to bytes seen), NODE (number or name; empty: all), ATTEMPT (empty: all), SINCE (seconds since
# 1970; empty: the beginning), WAIT (seconds for which it may wait for something new; 0: none), KNOWN (what its line "mark"
# said last time), QUIET (seconds since there was something new). Asks by name, because job ids begin again when a cluster
# is made anew.
find_run "$WHAT"
cd -- "$RUN" || exit

# look: set slurm, asked, kept, mark (of where the run stands), files, grown and signs. Asks Slurm before it reads: what a
# job that has ended wrote is then all there.
look() {
  local size name seen at last
  signs=$(signs_of)
  slurm=$(timeout 10 squeue -h -t all -n "pci-$RUN" -o '%j|%T|%r|%N' 2>/dev/null)
  asked=$?
  if [ ! -e slurm.end ] && [ ! -d tasks ]; then # Slurm forgets a job after MinJobAge; keep how it ended
    last=${slurm##*$'\n'} last=${last#*|}
    case ${last%%|*} in
      BOOT_FAIL | CANCELLED | DEADLINE | FAILED | NODE_FAIL | OUT_OF_MEMORY | PREEMPTED | TIMEOUT) echo "$last" >slurm.end ;;
    esac
  fi
  [ -n "$slurm" ] || slurm=$(cd .. && forgotten "$RUN")
  kept=$(cd .. && record "$RUN")
  mark=$(printf '%s\n' "$asked" "$slurm" "$kept" | cksum)
  mark=${mark%% *} grown=() nowhere=''
  [ "$LIMIT" != 0 ] || return
  mapfile -t files < <(logs_of)
  [ "${#files[@]}" != 0 ] || [ ! -e attempts.jsonl ] || nowhere=yes
  while read -r size name; do
    name=${name#logs/}
    if [ -n "$SINCE" ] && [ -z "${OFFSETS[$name]:-}" ]; then
      at=$(place "$name" "$size")
      OFFSETS+=(["$name"]=$at)
      starts+=("from $name $at")
    fi
    seen=${OFFSETS[$name]:-0}
    [ "$size" -le "$seen" ] || grown+=("$((size - seen)) $seen $name")
  done < <([ "${#files[@]}" = 0 ] || stat -Lc '%s %n' -- "${files[@]}" 2>/dev/null)
}
# logs_of: print the names of the logs that are wanted, first what the job says, then what Slurm says of it.
logs_of() {
  local line number index attempt=${ATTEMPT:-*}
  # shellcheck disable=SC2086 # a pattern
  case $NODE in
    '') printf '%s\n' logs/node-*.$attempt.log ;; # and of the tasks of an array, node-TASK_NUMBER.ATTEMPT.log
    *[!0-9]*)
      while read -r line; do # a name has another number in every attempt
        [[ $line =~ \"attempt\":([0-9]+),\"nodes\":\"([^\"]*)\" ]] || continue
        number=${BASH_REMATCH[1]}
        [ "${ATTEMPT:-$number}" = "$number" ] || continue
        index=$(scontrol show hostnames "${BASH_REMATCH[2]}" | grep -nxF -- "$NODE" | cut -d: -f1)
        [ -z "$index" ] || echo "logs/node-$((index - 1)).$number.log"
      done < <(cat attempts.jsonl 2>/dev/null) ;;
    *) printf '%s\n' logs/node-$NODE.$attempt.log logs/node-*_$NODE.$attempt.log ;;
  esac
  [ -n "$NODE$ATTEMPT" ] || printf '%s\n' logs/batch*.log
}
# place NAME SIZE: print where a log begins for who wants nothing that was written before SINCE. The byte before tells
# whether that is the beginning of a line.
place() {
  local number=${1%.log} at=0 signs=${1#node-}
  number=${number##*.}
  case ${signs%%.*} in
    *_*) signs=tasks/${signs%%_*}/signs.$number ;;
    *) signs=signs.$number ;;
  esac
  if [ "$(stat -Lc %Y "logs/$1")" -lt "$SINCE" ]; then
    at=$2
  elif [ -e "$signs" ]; then
    at=$(awk -v since="$SINCE" -v name="logs/$1=" '$1 > since {exit} {
      for (i = 2; i <= NF; i++) if (index($i, name) == 1) at = substr($i, length(name) + 1)
    } END {print at + 0}' "$signs")
  fi
  echo $((at > 0 ? at - 1 : 0))
}

# signs_of: print what changes when something happens to the run or its logs.
signs_of() { stat -Lc '%n %s %y' -- . logs attempts.jsonl result.jsonl tasks/ended "${files[@]}" 2>/dev/null; }
# goes_on: whether Slurm has more to do with the run.
goes_on() {
  local state
  while IFS='|' read -r _ state _; do
    case $state in
      '' | BOOT_FAIL | CANCELLED | COMPLETED | DEADLINE | FAILED | NODE_FAIL | OUT_OF_MEMORY | PREEMPTED | REVOKED | TIMEOUT) ;;
      *) return 0 ;;
    esac
  done <<<"$slurm"
  return 1
}
# over: whether its attempt has ended, and Slurm alone knows what comes then. No file tells.
over() {
  local last=${kept##*$'\n'attempt }
  [ ! -d tasks ] || last=${kept##*$'\n'result }
  [[ ${last%%$'\n'*} == '{'*'"ended":'* ]]
}
# may_wait: whether this look may wait. Two at a time do, because SSM Agent runs only five commands at once ("Mds,
# CommandWorkersLimit", its README).
may_wait() {
  local place
  [ "$WAIT" != 0 ] || return
  for place in 1 2; do
    { exec {waiting}>>"../.waiting.$place"; } 2>/dev/null && flock -n "$waiting" && return
  done
  return 1
}
# nap MILLISECONDS, or what is left; no process is needed for it.
nap() {
  local time=$(($1 < left ? $1 : left))
  left=$((left - time))
  printf -v time '%d.%03d' $((time / 1000)) $((time % 1000))
  read -rt "$time" -u "$never"
}
# wait_for_news: look until something is new in the logs, the run has ended, or the time is over. That it stands elsewhere
# is told after a second, together with what its first lines say.
wait_for_news() {
  local left=$((WAIT * 1000)) told='' pause=$((QUIET > 1 ? 2000 : 50)) turn never
  local naps=$((QUIET * 1000 + left))
  exec {never}<> <(:)
  while [ "${#grown[@]}" = 0 ] && goes_on && [ "$left" -gt 0 ]; do
    if [ -z "$told" ] && [ "$mark" != "$KNOWN" ]; then
      told=yes naps=$((naps - left)) left=$((left < 1000 ? left : 1000)) naps=$((naps + left))
    fi
    if over; then
      nap "$pause"
      pause=$((pause < 2000 ? pause * 2 : pause))
    else
      while [ "$left" -gt 0 ] && [ "$(signs_of)" = "$signs" ]; do
        turn=$(((naps - left) / 10))
        nap $((turn < 20 ? 20 : turn > 500 ? 500 : turn))
      done
      [ "${#files[@]}" -lt 2 ] || nap 20 # the other nodes write, too
    fi
    look
  done
}

files=() starts=()
look
waited=''
if may_wait; then
  begun=$SECONDS
  wait_for_news
  waited=$((SECONDS - begun))
fi
header() {
  [ ! -d tasks ] || echo "array yes"
  echo "asked $asked"
  printf '%s\n' "$slurm" | sed 's/^/slurm /' # an array has many lines
  echo "mark $mark"
  [ -z "$waited" ] || echo "waited $waited"
  [ -z "$nowhere" ] || echo "nowhere yes"
  printf '%s\n' "$kept"
  (cd .. && times "$RUN")
  [ "${#starts[@]}" = 0 ] || printf '%s\n' "${starts[@]}"
}
# answer_with BYTES: print the answer with so many bytes of logs, shared fairly: what little one has to say is whole.
answer_with() {
  local room=$1 left=${#grown[@]} size seen name take more='' pieces=()
  header
  while read -r size seen name; do
    take=$((room / left < size ? room / left : size))
    room=$((room - take)) left=$((left - 1))
    [ "$take" = "$size" ] || more=yes
    [ "$take" != 0 ] || continue
    echo "log $name $seen $take"
    pieces+=("$take $seen $name")
  done < <([ "${#grown[@]}" = 0 ] || printf '%s\n' "${grown[@]}" | sort -n)
  [ -z "$more" ] || echo "more yes"
  echo data
  for name in "${pieces[@]}"; do
    read -r take seen name <<<"$name"
    dd if="logs/$name" iflag=skip_bytes,count_bytes skip="$seen" count="$take" bs=64k status=none
  done
}
room=65536
while :; do # nobody knows what it compresses to
  text=$(answer_with "$room" | gzip -c | base64 -w0)
  [ "$LIMIT" != 0 ] && [ "${#text}" -gt "$LIMIT" ] && [ "$room" -gt 64 ] || break
  room=$((room * LIMIT * 9 / 10 / ${#text}))
done
printf %s "$text"
