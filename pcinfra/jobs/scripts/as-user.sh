# Runs $payload (bash, compressed) as the cluster's user in the runs directory. POSIX sh; expects user, runs, payload.
fail() { echo "$1" >&2; exit 1; }
if [ "$(id -u)" = 0 ]; then
  id -u -- "$user" >/dev/null 2>&1 || fail "this head node has no user $user"
  [ "$(id -u -- "$user")" != 0 ] || fail "jobs never run as root"
  drop="runuser -u $user --"
else
  user=$(id -un) drop=
fi
home=$(getent passwd "$user" | cut -d: -f6)
runs=${runs:-${PCINFRA_RUNS:-/lustre/runs}}
case $runs in
  /lustre/*) mountpoint -q /lustre || fail "/lustre is not mounted on this head node" ;;
esac
[ -d "$runs" ] || mkdir -p -m 1777 -- "$runs" || fail "cannot make the runs directory $runs"
cd -- "$runs" || exit 1
# shellcheck disable=SC2086 # drop is a list of words
printf %s "$payload" | base64 -d | gzip -dc | $drop env -i \
  HOME="${home:-/}" USER="$user" LOGNAME="$user" SHELL=/bin/bash LANG=C.UTF-8 \
  PATH="/opt/slurm/bin:${PATH:-/usr/bin:/bin}" ${SLURM_CONF:+"SLURM_CONF=$SLURM_CONF"} PCINFRA_RUNS="$runs" \
  bash -s
