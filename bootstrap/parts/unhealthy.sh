#!/bin/bash
# Drains this node when the job that ends on it has found it unhealthy (its file health.sh). Runs as Slurm's epilog, as
# root, on each node of every job.
#
# What a job says is read as its user and never run: so a user can have a node drained that a job of theirs has, and
# nothing else.
set -u
umask 077

PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin
node=${SLURMD_NODENAME:-$(hostname -s)}
said=/var/tmp/pcinfra-unhealthy.${SLURM_JOB_ID:-}.$node
[ -e "$said" ] || exit 0
[ -n "$(find "$said" -maxdepth 0 -type f -uid "${SLURM_JOB_UID:-0}")" ] || exit 0

why=$(timeout -k 1 5 setpriv --reuid="$SLURM_JOB_UID" --regid="$(id -g "$SLURM_JOB_UID")" --clear-groups \
  head -c 200 -- "$said" | head -n 1 | tr -cd '[:print:]' | tr -d '"')
rm -f -- "$said"
timeout -k 1 10 "${SCONTROL:-/opt/slurm/bin/scontrol}" update "nodename=$node" state=drain \
  "reason=pcinfra: job $SLURM_JOB_ID: ${why:-unhealthy}" >/dev/null 2>&1
exit 0 # another status would drain the node for that
