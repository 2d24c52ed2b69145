#!/bin/bash
# Switches on Enroot on a compute node of an AWS ParallelCluster (3.11.1 or later) cluster.
# Runs as root, as OnNodeConfigured: after the file systems are mounted, before slurmd starts. Running it again
# changes nothing.
#
# Writes to this node only. What Slurm reads from the shared /opt/slurm is written by the head node's script.

set -euo pipefail
umask 022

usage() {
  cat <<'EOF'
usage: compute-node-enroot-pyxis-setup.sh [--lustre DIR] [--scratch DIR] [--registry HOST | --account ID --region REGION]

Switches on Enroot on a compute node.

  --lustre DIR     where FSx for Lustre is mounted (default /lustre)
  --scratch DIR    the instance's own disks, used when mounted (default /scratch)
  --registry HOST  ECR registry that images come from
  --account ID     account of the registry (default: the instance's)
  --region REGION  region of the registry (default: the instance's)
EOF
}

# --- The same lines in both scripts: ParallelCluster fetches one file for each kind of node. ---

ROOT=${PCINFRA_ROOT:-} # where the file system starts; empty except in tests
EXAMPLES=$ROOT/opt/parallelcluster/examples
IMDS=http://169.254.169.254/latest

lustre=/lustre scratch=/scratch region='' account='' registry=''
wrote=()

log() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
  log "error: $*"
  exit 1
}

parse() {
  while (($#)); do
    case $1 in
      --help | -h)
        usage
        exit 0
        ;;
      --lustre | --scratch | --region | --account | --registry)
        [[ -n ${2-} ]] || fail "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
      *) fail "unknown argument '$1'; try --help" ;;
    esac
  done
  [[ $lustre == /* ]] || fail "--lustre must be an absolute path, not '$lustre'"
  [[ $scratch =~ ^/[A-Za-z0-9._/-]+$ ]] || fail "--scratch must be an absolute path, not '$scratch'"
}

# Sets $registry and $region, from the flags or from the instance itself (IMDSv2).
find_registry() {
  local ecr='^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$' suffix=amazonaws.com identity=''
  if [[ -z $registry ]]; then
    if [[ -z $account || -z $region ]]; then identity=$(instance_identity); fi
    account=${account:-$(field accountId <<<"$identity")}
    region=${region:-$(field region <<<"$identity")}
    if [[ $region == cn-* ]]; then suffix=amazonaws.com.cn; fi
    registry=$account.dkr.ecr.$region.$suffix
  fi
  [[ $registry =~ $ecr ]] || fail "'$registry' is not an ECR registry: 12 digits.dkr.ecr.REGION.amazonaws.com"
  region=${BASH_REMATCH[2]}
}

instance_identity() {
  local token
  token=$(curl -fsS -m 10 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$IMDS/api/token") ||
    fail "no instance metadata; give --account and --region"
  curl -fsS -m 10 -H "X-aws-ec2-metadata-token: $token" "$IMDS/dynamic/instance-identity/document" ||
    fail "no instance identity; give --account and --region"
}

# Reads JSON, prints the text of one key.
field() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }

# Writes stdin to a file when the file is not the same already, and notes its name (not from within a pipe). The new file takes the place of the old one at
# once: other nodes never read half of it.
put() {
  local file=$1 mode=$2 text now='' new
  text=$(cat && printf .)
  if [[ -f $file ]]; then now=$(cat "$file" && printf .); fi
  if [[ $now == "$text" && $(stat -c %a "$file") == "$mode" ]]; then return; fi
  mkdir -p "${file%/*}"
  new=$(mktemp "${file%/*}/.${file##*/}.XXXXXX")
  printf %s "${text%.}" >"$new"
  chmod "$mode" "$new"
  mv -f "$new" "$file"
  wrote+=("$file")
  log "wrote $file"
}

# A directory where every user may make entries and remove only their own.
common_directory() {
  if [[ -d $1 && $(stat -c %a "$1") == 1777 ]]; then return; fi
  mkdir -p "$1"
  chmod 1777 "$1"
  log "made $1"
}

need_root() { [[ $EUID == 0 || -n $ROOT ]] || fail "must run as root"; }

need_examples() {
  local example
  for example in "$@"; do
    [[ -f $EXAMPLES/$example ]] ||
      fail "$EXAMPLES/$example is missing: this image is older than AWS ParallelCluster 3.11.1, which ships it"
  done
}

# Without this, data would be written below an unmounted path and vanish from view at the next mount.
need_lustre() {
  mountpoint -q "$ROOT$lustre" || mount "$ROOT$lustre" || true
  mountpoint -q "$ROOT$lustre" ||
    fail "$lustre is not mounted; the Lustre client module must match the kernel $(uname -r): lsmod | grep lustre"
}

# Containers unpack on the instance's own disks where it has any, else in memory as the sample says.
configure_enroot() {
  local disk=$scratch/enroot
  common_directory "$ROOT/var/enroot"
  common_directory "$ROOT/var/enroot/cache"
  if mountpoint -q "$ROOT$scratch"; then
    common_directory "$ROOT$disk"
    common_directory "$ROOT$disk/cache"
    common_directory "$ROOT$disk/data"
    common_directory "$ROOT$disk/tmp"
    # shellcheck disable=SC2016 # enroot expands these, for each user
    option ENROOT_CACHE_PATH "$disk/cache/group-\$(id -g)" <"$EXAMPLES/enroot/enroot.conf" |
      option ENROOT_DATA_PATH "$disk/data/user-\$(id -u)" |
      option ENROOT_TEMP_PATH "$disk/tmp" |
      option ENROOT_CONFIG_PATH /etc/enroot/config |
      put "$ROOT/etc/enroot/enroot.conf" 644
  else
    option ENROOT_CONFIG_PATH /etc/enroot/config <"$EXAMPLES/enroot/enroot.conf" |
      put "$ROOT/etc/enroot/enroot.conf" 644
  fi
}

# Reads an enroot.conf, prints it with one option set.
option() {
  awk -v key="$1" -v value="$2" '
    $1 == key { if (!set) print key, value; set = 1; next }
    { print }
    END { if (!set) print key, value }'
}

# /run is empty after a reboot; systemd makes these again.
configure_run_directories() {
  local directory
  for directory in /run/enroot /run/enroot/data /run/pyxis; do
    common_directory "$ROOT$directory"
    printf 'd %s 1777 root root -\n' "$directory"
  done | put "$ROOT/etc/tmpfiles.d/pcinfra-containers.conf" 644
}

# No secret is written: enroot runs the command when it needs a password, as the user and with the instance's role.
configure_registry() {
  local aws
  aws=$(command -v aws) || fail "the AWS CLI is not installed"
  # shellcheck disable=SC2016 # enroot expands the command
  printf 'machine %s login AWS password $(%s ecr get-login-password --region %s)\n' "$registry" "$aws" "$region" |
    put "$ROOT/etc/enroot/config/.credentials" 644
}

# The PyTorch hook asks scontrol for the first node, but slurmd's PATH does not lead to it.
configure_hooks() {
  local hook source
  for hook in 50-slurm-pmi.sh 50-slurm-pytorch.sh; do
    source=$ROOT/usr/share/enroot/hooks.d/$hook
    if [[ ! -f $source ]]; then
      log "warning: $source is missing; enroot is not complete"
      continue
    fi
    # shellcheck disable=SC2016 # expanded when the hook runs
    sed '1a export PATH="/opt/slurm/bin:${PATH:-/usr/bin:/bin}"' "$source" | put "$ROOT/etc/enroot/hooks.d/$hook" 755
  done
}

# Ubuntu 24.04 forbids user namespaces to unprivileged programs; enroot is one and needs them.
allow_user_namespaces() {
  local key=kernel.apparmor_restrict_unprivileged_userns
  local now=$ROOT/proc/sys/${key//.//}
  [[ -f $now && $(<"$now") != 0 ]] || return 0
  put "$ROOT/etc/sysctl.d/90-pcinfra-containers.conf" 644 <<<"$key = 0"
  sysctl -q -w "$key=0"
}

# --- End of the lines that are the same in both scripts. ---

check_pyxis() {
  local conf=$ROOT/opt/slurm/etc/plugstack.conf.d/pyxis.conf
  [[ -f $conf ]] || log "warning: $conf is missing: the head node's script has not run, srun knows no containers"
}

main() {
  parse "$@"
  need_root
  need_examples enroot/enroot.conf
  need_lustre
  find_registry
  allow_user_namespaces
  configure_enroot
  configure_run_directories
  configure_registry
  configure_hooks
  check_pyxis
  log "done"
}

main "$@"
