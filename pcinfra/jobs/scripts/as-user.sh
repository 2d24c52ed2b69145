# Finds the cluster's user and goes to the runs directory, for $payload (bash, compressed). POSIX sh; expects user, runs,
# payload; what comes after it runs the payload with as_user.
fail() { echo "$1" >&2; exit 1; }

if [ "$(id -u)" = 0 ]; then
  # Every node of ParallelCluster has its user's name in cfnconfig (aws-parallelcluster-cookbook, cfnconfig.erb).
  [ -n "$user" ] || user=$(sed -n 's/^cfn_cluster_user=//p' /etc/parallelcluster/cfnconfig 2>/dev/null | tr -d "\"'")
  for name in ubuntu ec2-user rocky; do
    [ -n "$user" ] || ! id -u "$name" >/dev/null 2>&1 || user=$name
  done
  id -u -- "$user" >/dev/null 2>&1 || fail "this head node has no user $user"
  [ "$(id -u -- "$user")" != 0 ] || fail "jobs never run as root"
  home=$(getent passwd "$user" | cut -d: -f6)
  drop="runuser -u $user --"
else # this agent has no rights to give up, and a home of its own
  user=$(id -un)
  home=${HOME:-/}
  drop=
  [ -d /lustre ] || : "${PCINFRA_RUNS:=$home/runs}"
fi

runs=${runs:-${PCINFRA_RUNS:-/lustre/runs}}
case $runs in
  /lustre/*) mountpoint -q /lustre || fail "/lustre is not mounted on this head node" ;;
esac
[ -d "$runs" ] || { mkdir -p -- "$runs" && chmod 1777 -- "$runs"; } || fail "cannot make the runs directory $runs"
cd -- "$runs" || exit 1

# as_user [NAME=VALUE]... PROGRAM...: run a program as that user, with nothing of this environment but what it needs.
as_user() {
  # shellcheck disable=SC2086 # drop is a list of words
  $drop env -i \
    HOME="${home:-/}" USER="$user" LOGNAME="$user" SHELL=/bin/bash LANG=C.UTF-8 \
    PATH="/opt/slurm/bin:${PATH:-/usr/bin:/bin}" ${SLURM_CONF:+"SLURM_CONF=$SLURM_CONF"} PCINFRA_RUNS="$runs" "$@"
}
unpacked() { printf %s "$payload" | base64 -d | gzip -dc; }
