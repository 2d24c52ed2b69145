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
