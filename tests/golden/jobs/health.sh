checks='#!/bin/bash
# Looks at a node'"'"'s GPUs and network before a job starts on it. Runs as Slurm'"'"'s prolog, as root, on each node of the
# job. A node that fails is drained with the reason, and the job goes to other nodes (nohold_on_prolog_fail); the checks
# take a few seconds, and whatever hangs is left behind.
#
# With --report, as an ordinary user inside a job, it only prints what is wrong, and counts the GPUs that the job has;
# DCGM has been asked by then.
#
# What is fatal: NVIDIA'"'"'s "Xid Errors" and "GPU Memory Error Management"; AWS replaces the instance after a drain.
# shellcheck disable=SC2329 # the checks are called by name
set -u

ROOT=${PCINFRA_ROOT:-} # where the file system starts; empty except in tests
PATH=$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/opt/amazon/efa/bin
LOG=$ROOT/var/log/parallelcluster/slurm_health_check.log # CloudWatch'"'"'s agent ships it
BOUND=${PCINFRA_CHECK_SECONDS:-8}                        # seconds for all checks together

gpus='"'"''"'"' efa='"'"''"'"'
work=$(mktemp -d) || exit 0
trap '"'"'rm -rf "$work"'"'"' EXIT

log() {
  printf '"'"'%s - [pcinfra_gpu_health] - %s - Job %s - %s\n'"'"' "$(date '"'"'+%F %T,%3N'"'"')" "$1" "${SLURM_JOB_ID:-}" "$2" >>"$LOG"
} 2>/dev/null

# Sets gpus and efa to what the node had when it was set up.
expected() {
  local line='"'"''"'"'
  [ ! -r "$ROOT/var/lib/pcinfra/expected" ] || read -r line <"$ROOT/var/lib/pcinfra/expected"
  [[ $line =~ gpus=([0-9]+) ]] && gpus=${BASH_REMATCH[1]}
  [[ $line =~ efa=([0-9]+) ]] && efa=${BASH_REMATCH[1]}
}

# Each check prints the reason for a drain, or nothing.

# Says how a program ended; timeout'"'"'s own statuses are 124 and, after SIGKILL, 137.
why() {
  case $2 in
    124 | 137) echo "$1 does not answer" ;;
    *) echo "$1 failed with status $2: $(head -n 1 <<<"$3")" ;;
  esac
}

# A GPU with broken memory, or fewer GPUs than there were.
check_gpus() {
  local lines index errors
  lines=$(timeout -k 1 5 nvidia-smi --query-gpu=index,ecc.errors.uncorrected.volatile.total --format=csv,noheader) ||
    { why "nvidia-smi" "$?" "$lines"; return; }
  if [ -n "$gpus" ] && [ "$(grep -c . <<<"$lines")" -lt "$gpus" ]; then
    echo "nvidia-smi shows $(grep -c . <<<"$lines") of $gpus GPUs"
  fi
  while IFS='"'"', '"'"' read -r index errors; do
    [[ $errors =~ ^[1-9][0-9]*$ ]] && echo "GPU $index: $errors uncorrected memory errors"
  done <<<"$lines"
}

# Rows of GPU memory that wait for a reset to be replaced, or could not be.
check_memory_rows() {
  local index=0 pending failed
  while IFS='"'"', '"'"' read -r pending failed; do
    [ "$failed" != Yes ] && [ "$failed" != 1 ] || echo "GPU $index: remapping a row of its memory failed"
    [ "$pending" != Yes ] && [ "$pending" != 1 ] || echo "GPU $index: its memory needs a reset (row remapping pending)"
    index=$((index + 1))
  done < <(timeout -k 1 5 nvidia-smi --query-remapped-rows=remapped_rows.pending,remapped_rows.failure --format=csv,noheader)
}

# Links between GPUs that are down. A GPU without NVLink has no link at all.
check_nvlink() {
  timeout -k 1 5 nvidia-smi nvlink --status | awk '"'"'
    /^GPU/ { gpu = $2; sub(":", "", gpu) }
    /Link [0-9]+: .*inactive/ { down[gpu]++ }
    END { for (gpu in down) print "GPU " gpu ": " down[gpu] " NVLinks are inactive" }'"'"'
}

# Errors that the driver has reported since the node started. Those of programs (13, 31, 43, 45, ...) are no fault of
# the GPU. After a repair without a reboot, `dmesg --clear` forgets them.
check_xid() {
  timeout -k 1 4 dmesg | awk '"'"'
    BEGIN { split("48 62 64 74 79 95 119 120 140", list); for (i in list) fatal[list[i]] = 1 }
    match($0, /NVRM: Xid \([^)]*\): [0-9]+/) {
      text = substr($0, RSTART, RLENGTH); code = text; sub(/.*: /, "", code)
      if (code in fatal) { gpu = text; sub(/.*\(/, "", gpu); sub(/\).*/, "", gpu); print gpu ": Xid " code; exit }
    }'"'"'
}

# DCGM'"'"'s quick test. One that is slow, or has no host engine to ask, says nothing about the GPUs.
check_dcgm() {
  local text status
  command -v dcgmi >/dev/null || return
  text=$(timeout -k 1 5 dcgmi diag -r 1 2>&1)
  status=$?
  [ "$status" -lt 124 ] || { log INFO "dcgmi diag gave no answer in time"; return; }
  awk -F '"'"'|'"'"' '"'"'$3 ~ /Fail/ { gsub(/^ +| +$/, "", $2); print "DCGM: " $2 " failed"; exit }'"'"' <<<"$text"
}

# Without libfabric'"'"'s provider a job would run over TCP, a hundred times slower.
check_efa() {
  local text count
  [ "${efa:-0}" -gt 0 ] || return
  text=$(timeout -k 1 5 fi_info -p efa -t FI_EP_RDM 2>&1) || { why "fi_info" "$?" "$text"; return; }
  count=$(sed -n '"'"'s/^ *domain: *//p'"'"' <<<"$text" | sed '"'"'s/-rdm$//'"'"' | sort -u | grep -c .)
  [ "$count" -ge "$efa" ] || echo "fi_info shows $count of $efa EFA devices"
}

# Runs every check at the same time. What has not ended at the bound is left behind: a process that waits for a broken
# driver cannot even be killed.
run_checks() {
  local name pids=() end=$((SECONDS + BOUND)) busy=1
  for name in "$@"; do
    { "check_$name" >"$work/$name" 2>/dev/null; : >"$work/$name.done"; } </dev/null >/dev/null 2>&1 &
    pids+=($!)
  done
  while [ -n "$busy" ] && [ "$SECONDS" -lt "$end" ]; do
    busy='"'"''"'"'
    for name in "$@"; do [ -e "$work/$name.done" ] || busy+=" $name"; done
    [ -z "$busy" ] || sleep 0.05
  done
  for name in $busy; do echo "check $name has not ended within $BOUND s" >"$work/$name"; done
  [ -z "$busy" ] || kill -9 "${pids[@]}" 2>/dev/null
  disown -a
}

# The reason must come before Slurm'"'"'s own "Prolog error", which does not replace one that is there.
drain() {
  local node=${SLURMD_NODENAME:-$(hostname -s)}
  log ERROR "$1; draining $node"
  timeout -k 1 10 "${SCONTROL:-/opt/slurm/bin/scontrol}" update "nodename=$node" state=drain "reason=pcinfra: $1" >/dev/null 2>&1 ||
    log ERROR "scontrol could not drain $node"
  echo "pcinfra: $1" >&2
}

# look [CHECK]: print the first thing that is wrong, by one check more if one is named; the node has, or should have, GPUs.
look() {
  if [ ! -d "$ROOT/proc/driver/nvidia/gpus" ]; then
    echo "NVIDIA'"'"'s driver shows no GPU of $gpus"
    return
  fi
  run_checks gpus memory_rows nvlink xid efa ${1:+"$1"}
  cat "$work"/gpus "$work"/xid "$work"/memory_rows "$work"/nvlink "$work"/efa ${1:+"$work/$1"} | head -n 1
}

main() {
  local first
  expected
  [ -d "$ROOT/proc/driver/nvidia/gpus" ] || [ "${gpus:-0}" -gt 0 ] || exit 0 # a node without GPUs
  if [ "${1:-}" = --report ]; then
    LOG=/dev/null
    # A job sees only those that it has.
    [ "${SLURM_GPUS_ON_NODE:-${gpus:-0}}" -ge "${gpus:-0}" ] || gpus=$SLURM_GPUS_ON_NODE
    first=$(look)
    [ -z "$first" ] || { echo "${first:0:200}"; exit 1; }
    exit 0
  fi
  mkdir -p "${LOG%/*}"
  first=$(look dcgm)
  [ -n "$first" ] || { log INFO "healthy: ${gpus:-?} GPUs, ${efa:-?} EFA devices, ${SECONDS} s"; exit 0; }
  drain "${first:0:200}"
  exit 1
}

main "$@"
'
# Says of this node whether a job can run on it: one line, "NODE ok" or "NODE WHY". Runs on each node of the job, beside
# it, as its user. Expects checks: the text of bootstrap/parts/gpu-health.sh.
why=''
# A dead network mount does not answer at all, and what waits for it cannot be killed.
there() { # PATH
  timeout -k 1 20 stat -- "$1" >/dev/null 2>&1 </dev/null && return
  why="$1 cannot be read"
  return 1
}
if there "$PCINFRA_RUN_DIR/env.sh" && there "$PCINFRA_CHECKPOINTS"; then
  timeout -k 1 20 touch -- "$PCINFRA_RUN_DIR/logs" 2>/dev/null </dev/null || why="$PCINFRA_RUN_DIR/logs cannot be written"
fi
[ -n "$why" ] || why=$(timeout -k 1 40 bash -s -- --report <<<"$checks" 2>/dev/null)
echo "${SLURMD_NODENAME:-$(hostname -s)} ${why:-ok}"
exit 0
