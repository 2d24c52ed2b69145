# Submits runs from the compressed tar archive $ARCHIVE (base64, or @FILE), which has a directory for each, and prints
# "jobs" and their Slurm job ids, "-" for one that was refused, and then why. Run again, or twice at the same time, it
# makes no second job: a lock, the ids kept in the run directories, and the jobs' names, which have the runs' ids in
# them. Expects RUNS (their ids, with spaces between), ARCHIVE.
umask 077
export -n PCINFRA_RUNS
read -ra runs <<<"$RUNS"
mkdir -p -- "${runs[0]}" && exec 9>"${runs[0]}/lock" && flock 9 || exit
again='' missing='' unpack=()
for run in "${runs[@]}"; do
  [ -e "$run/job.sbatch" ] && again=yes || missing=yes
done
if [ -e "${runs[0]}/unpacked" ]; then
  unpack=(--skip-old-files) # a job may run already, and read them
else
  missing=yes
fi
# unpacked: unpack what was sent. Half of it is no run: where there is no room, none is left behind.
unpacked() {
  local from=- why
  [ "${ARCHIVE#@}" = "$ARCHIVE" ] || from=${ARCHIVE#@}
  why=$({ [ "$from" != - ] || printf %s "$ARCHIVE" | base64 -d; } | tar "${unpack[@]}" -xzpf "$from" 2>&1) &&
    : >"${runs[0]}/unpacked" && return
  [ "${#unpack[@]}" != 0 ] || rm -rf -- "${runs[@]}"
  echo "the runs cannot be written to $PWD: ${why%%$'\n'*}" >&2
  exit 1
}
[ -z "$missing" ] || unpacked
declare -A known=() # what Slurm has already, by run and part
if [ -n "$again" ]; then
  while read -r job name part; do
    [ "${part:-(null)}" != '(null)' ] || part=0
    known[${name#pci-}|$part]=$job
  done < <(squeue -h -t all -u "$USER" -o '%F %j %k')
  wait $! || exit
fi

# job_of PART OPTION...: submit a part of the run that we are in, unless Slurm has it, and leave what sbatch says in
# the file "said". The last one becomes sbatch: of a thousand runs, every process counts.
job_of() {
  local part=$1 last=$2
  shift 2
  if [ -n "${known[$RUN|$part]:-}" ]; then
    echo "${known[$RUN|$part]}" >>said
    return
  fi
  [ -n "$last" ] || (job_of "$part" last "$@") || return
  [ -z "$last" ] || exec sbatch --parsable --comment="$part" "$@" job.sbatch "$part" >>said 2>submit.err 9>&-
}

# dependency_on WHEN:RUN...: set $depends to what sbatch is told; a run that has ended needs no telling.
dependency_on() {
  local each when run last
  for each; do
    when=${each%%:*} run=${each#*:}
    [ -s "../$run/job.id" ] || { echo "after: there is no run $run on this cluster" >submit.err; return 1; }
    last=$(tail -n 1 "../$run/result.jsonl" 2>/dev/null)
    # One whose node failed has a result, and goes on all the same.
    if [[ $last == *'"requeued":false'* ]] && [ -z "$(squeue -h -n "pci-$run" -o %A)" ]; then
      [[ $last == *'"exit_code":0,'* ]] && last=0 || last=1
      case $when$last in
        done1) echo "after: $run has ended, and not well" >submit.err; return 1 ;;
        failed0) echo "after: $run has ended, and well" >submit.err; return 1 ;;
        *) continue ;;
      esac
    fi
    case $when in done) when=afterok ;; failed) when=afternotok ;; ended) when=afterany ;; started) when=after ;; esac
    depends+="${depends:+,}$when:$(paste -sd : - <"../$run/job.id")"
  done
}

# what_it_means: set DIGEST to what the tag of IMAGE means now, and keep it for the job in image.digest. Where nobody can
# say it, each node imports the image by itself. One answer serves all runs of the next minute.
what_it_means() {
  local kept
  if [ ! -s image.digest ]; then # rerun brings that of the first run
    kept=../.images/.tag-$(printf %s "$IMAGE" | sha256sum | cut -c1-32)
    exec 7>"$kept.lock" && flock 7 || return
    if [ -z "$(find "$kept" -newermt '-60 seconds' 2>/dev/null)" ]; then
      digest_of "$IMAGE" >"$kept.new" 2>image.err 7>&- 9>&- && mv -f -- "$kept.new" "$kept"
    fi
    [ -z "$(find "$kept" -newermt '-60 seconds' 2>/dev/null)" ] || cp -- "$kept" image.digest
    exec 7>&-
  fi
  [ ! -s image.digest ] || DIGEST=$(<image.digest)
}

# image_here: have the image imported, once for all runs, by a job of its own that this one waits for. Nobody may remove
# the image before Slurm knows of this job (prune.sh).
image_here() {
  local image name job
  mkdir -p ../.images && exec 6>../.images/.lock && flock -s 6 || return
  [ -z "$IMAGE" ] || what_it_means || return
  [ -n "$DIGEST" ] || return 0
  image=../.images/$DIGEST name=pci-image-${DIGEST::16}
  touch -c -- "$image.sqsh"
  [ ! -e "$image.sqsh" ] || return 0
  exec 7>"$image.submit" && flock 7 || return
  job=$(squeue -h -t PENDING,CONFIGURING,RUNNING -n "$name" -o %A | head -n 1)
  if [ -z "$job" ]; then
    job=$(sbatch --parsable --job-name="$name" --nodes=1 --ntasks=1 --exclusive ${QUEUE:+--partition="$QUEUE"} \
      --output="$image.log" import.sh 2>submit.err 6>&- 7>&- 9>&-) || return
  fi
  exec 7>&-
  depends=afterany:${job%%;*} # what became of it, the job looks itself
}

# submit_run RUN: leave in its directory what sbatch says, or why not. In a process of its own.
submit_run() {
  RUN=$1 depends='' LOGS='' CONTAINERS='' TASKS='' AT_ONCE='' AFTER='' DIGEST='' IMAGE='' QUEUE=''
  local options=() size offset
  # shellcheck disable=SC1091 # render.py writes it
  cd -- "$RUN" && . ./submit.env || return
  if [ -n "$CONTAINERS" ] && ! containers; then
    echo no-containers >submit.err
    return 1
  fi
  if [ -e code.tar.gz ]; then
    mkdir -p code && tar -xzf code.tar.gz -C code 2>submit.err || return
  fi
  if [ -n "$LOGS" ]; then
    { mkdir -p -- "$LOGS/$RUN" && ln -sfn -- "$LOGS/$RUN" logs; } 2>submit.err || return
  else
    [ -d logs ] || mkdir logs || return
  fi
  : >said
  [ -z "$DIGEST$IMAGE" ] || ! containers || image_here || return
  # shellcheck disable=SC2086 # a list of words without spaces in them
  dependency_on $AFTER || return
  [ -z "$depends" ] || options=(--dependency="$depends" --kill-on-invalid-dep=yes)
  if [ -z "$TASKS" ]; then
    job_of 0 last "${options[@]}"
  else
    size=$(scontrol show config | sed -n 's/^MaxArraySize *= *\([0-9]*\).*/\1/p')
    for ((offset = 0; offset < TASKS; offset += size)); do
      last=$((TASKS - offset < size ? TASKS - offset - 1 : size - 1))
      job_of "$offset" '' --array="0-$last${AT_ONCE:+%$AT_ONCE}" "${options[@]}" || return
    done
  fi
}
# keep_ids: write the ids that sbatch said into job.id, where all is well; we are in the runs directory.
keep_ids() {
  local line ids='' lines
  mapfile -t lines <"$1/said"
  for line in "${lines[@]}"; do
    line=${line%%;*}
    [[ ! $line =~ ^[0-9]+$ ]] || ids+=$line$'\n'
  done
  [ -z "$ids" ] || printf %s "$ids" >"$1/job.id"
}
containers() { srun --help 2>/dev/null | grep -q -e --container-image; }

declare -A runs_of=()
# reap: wait for one that is being submitted.
reap() {
  local process status
  wait -n -p process
  status=$?
  [ "$status" != 0 ] || keep_ids "${runs_of[$process]}"
  unset "runs_of[$process]"
}
umask 022 # the job inherits it
for run in "${runs[@]}"; do
  [ ! -s "$run/job.id" ] || continue
  [ "${#runs_of[@]}" -lt 8 ] || reap
  (submit_run "$run") &
  runs_of[$!]=$run
done
while [ "${#runs_of[@]}" -gt 0 ]; do reap; done
answer=jobs refused=()
for run in "${runs[@]}"; do
  if [ -s "$run/job.id" ]; then
    read -r job <"$run/job.id"
    answer+=" $job"
    continue
  fi
  answer+=' -'
  [ "${#refused[@]}" -ge 20 ] || refused+=("$run $(head -c 800 "$run/submit.err" 2>/dev/null | tr '\n' ' ')")
  # Refused, or accepted and the answer lost: only what Slurm does not know is taken away again.
  job=$(squeue -h -t all -n "pci-$run" -o %F) && [ -z "$job" ] && rm -rf -- "$run"
done
[ "${ARCHIVE#@}" = "$ARCHIVE" ] || rm -f -- "${ARCHIVE#@}"
echo "$answer"
[ "${#refused[@]}" = 0 ] || printf 'refused %s\n' "${refused[@]}"
