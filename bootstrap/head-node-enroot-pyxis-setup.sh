#!/bin/bash
# Made from bootstrap/parts by tools/bootstrap; change it there.
#
# Switches on Pyxis and Enroot on the head node of an AWS ParallelCluster (3.11.1 or later) cluster, and the health
# check that runs on a GPU node before every job. Runs as root, as OnNodeConfigured. Running it again changes nothing
# but the node's report.
#
# The image ships both programs switched off, with samples of their configuration. Only this script writes to
# /opt/slurm, which every node mounts: two writers would race.

set -euo pipefail
umask 022
ROLE="head"

usage() {
  cat <<'USAGE'
usage: head-node-enroot-pyxis-setup.sh [--lustre DIR] [--scratch DIR] [--registry HOST | --account ID --region REGION]

Switches on Pyxis and Enroot on the head node, and the health check of GPU nodes, for every node of the cluster.

  --lustre DIR     where FSx for Lustre is mounted (default /lustre)
  --scratch DIR    the instance's own disks, used when mounted (default /scratch)
  --registry HOST  ECR registry that images come from
  --account ID     account of the registry (default: the instance's)
  --region REGION  region of the registry (default: the instance's)
  --image IMAGE    bring this image to the node's disk: a .sqsh file or an image's name; may be given several times
  --metrics        serve numbers for Prometheus on port 9100 of the node's private address
  --prolog URL     a program, s3://BUCKET/KEY, that runs as root on each node before a job; may be given several times
  --epilog URL     likewise after a job

It ends with one line "pcinfra-status {JSON}", and writes what the node has to /var/log/pcinfra/node.json and
LUSTRE/.pcinfra/nodes/CLUSTER.NODE.json.
USAGE
}

# What every node script needs. Expects usage and ROLE.

ROOT=${PCINFRA_ROOT:-} # where the file system starts; empty except in tests
EXAMPLES=$ROOT/opt/parallelcluster/examples
KEPT=$ROOT/var/lib/pcinfra

lustre=/lustre scratch=/scratch region='' account='' registry='' gpus='' efa='' metrics='' dcgm=''
images=() wrote=() warnings=() prolog=() epilog=()
node=$(hostname -s 2>/dev/null || uname -n)
ready='' reason='' # ready: the arguments were understood, so that a report can be written
SECONDS=0

# The agent of CloudWatch ships the system's log of every node, and of what a script prints only what a failed one
# wrote to stderr (aws-parallelcluster-cookbook, cloudwatch_agent_config.json, custom_action_executor.py).
log() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  if [[ -z $ROOT ]]; then logger -t pcinfra -- "$*" || true; fi
}

warn() {
  warnings+=("$*")
  log "warning: $*"
}

fail() {
  reason=$*
  log "error: $*"
  exit 1
}

# Text as a JSON string.
json() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/ }
  printf '"%s"' "$(printf %s "$text" | tr -d '\000-\037')"
}

# Ends every run with one line, however it ends. `pcinfra cluster diagnose` reads it.
finish() {
  local status=$?
  trap - EXIT ERR
  local state=ok
  if ((status)); then state=failed reason=${reason:-exit status $status}; else reason=''; fi
  if [[ -n $ready ]]; then write_report "$state" || log "warning: the node report could not be written"; fi
  log "pcinfra-status $(printf '{"status":"%s","role":"%s","node":%s,"seconds":%d,"warnings":%d,"reason":%s}' \
    "$state" "$ROLE" "$(json "$node")" "$SECONDS" "${#warnings[@]}" "$(json "$reason")")"
  exit "$status"
}

trap finish EXIT
trap 'reason="line $LINENO: $BASH_COMMAND: exit status $?"' ERR
trap 'reason="ended by a signal"; exit 143' TERM INT HUP
set -E # functions pass the ERR trap on

parse() {
  while (($#)); do
    case $1 in
      --help | -h)
        trap - EXIT
        usage
        exit 0
        ;;
      --lustre | --scratch | --region | --account | --registry | --gpus | --efa)
        [[ -n ${2-} ]] || fail "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
      --image)
        [[ -n ${2-} ]] || fail "$1 needs a value"
        images+=("$2")
        shift 2
        ;;
      --metrics)
        metrics=1
        shift
        ;;
      --dcgm)
        dcgm=1
        shift
        ;;
      --prolog | --epilog)
        [[ -n ${2-} ]] || fail "$1 needs a value"
        hook_argument "${1#--}" "$2"
        shift 2
        ;;
      *) fail "unknown argument '$1'; try --help" ;;
    esac
  done
  check_arguments
  ready=1
}

hook_argument() {
  local url='^s3://[a-z0-9.-]+/([A-Za-z0-9_.-]+/)*[A-Za-z0-9][A-Za-z0-9_.-]*$'
  [[ $ROLE == head ]] || fail "--$1 is for the head node, whose /opt/slurm every node mounts"
  [[ $2 =~ $url ]] || fail "--$1 must be s3://BUCKET/KEY, not '$2'"
  if [[ $1 == prolog ]]; then prolog+=("$2"); else epilog+=("$2"); fi
}

check_arguments() {
  local image number='^(|0|[1-9][0-9]{0,2})$'
  [[ $lustre == /* ]] || fail "--lustre must be an absolute path, not '$lustre'"
  [[ $scratch =~ ^/[A-Za-z0-9._/-]+$ ]] || fail "--scratch must be an absolute path, not '$scratch'"
  [[ $gpus =~ $number ]] || fail "--gpus must be a number, not '$gpus'"
  [[ $efa =~ $number ]] || fail "--efa must be a number, not '$efa'"
  [[ -z $dcgm || $ROLE == compute ]] || fail "--dcgm is for compute nodes"
  for image in "${images[@]}"; do
    [[ $image =~ ^/[A-Za-z0-9._/-]+\.sqsh$|^[A-Za-z0-9][A-Za-z0-9._/:@#-]+$ ]] ||
      fail "--image must be a file /….sqsh or an image's name, not '$image'"
  done
}

# Writes stdin to a file when the file is not the same already, and notes its name (not from within a pipe). The new
# file takes the place of the old one at once: other nodes never read half of it.
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

# Without this, data would be written below an unmounted path and vanish from view at the next mount. A mount of a file
# system that cannot be reached hangs for minutes.
need_lustre() {
  mountpoint -q "$ROOT$lustre" || timeout -k 5 90 mount "$ROOT$lustre" || true
  mountpoint -q "$ROOT$lustre" || fail "$lustre is not mounted: $(why_no_lustre)"
}

# The usual cause is a kernel that was updated: a client module is built for one kernel and loads into no other.
why_no_lustre() {
  local kernel module built=''
  kernel=$(uname -r)
  if ! modinfo -k "$kernel" lustre >/dev/null 2>&1; then
    for module in "$ROOT"/lib/modules/*/; do
      module=${module%/}
      if [[ -n $(find "$module" -name 'lustre.ko*' -print -quit 2>/dev/null) ]]; then built+=" ${module##*/}"; fi
    done
    printf %s "the Lustre client has no module for the running kernel $kernel (it has one for:${built:- none});"
    printf %s " use an image whose kernel matches, or install the client for this kernel"
  elif ! grep -qs "[[:space:]]${lustre}[[:space:]]" "$ROOT/etc/fstab"; then
    printf %s "it is not in /etc/fstab: SharedStorage of the cluster has no file system for $lustre"
  elif ! modprobe lustre >/dev/null 2>&1; then
    printf %s "the Lustre module for kernel $kernel does not load; dmesg | tail says why"
  else
    printf %s "the file system does not answer; its security group must let this node reach TCP port 988"
  fi
}

# Unattended upgrades would bring a kernel that the Lustre module does not fit, at the next reboot.
hold_kernel() {
  local name names=() held
  grep -qs '^ID=ubuntu$' "$ROOT/etc/os-release" || return 0
  held=$(apt-mark showhold 2>/dev/null) || return 0
  for name in linux-aws linux-image-aws linux-headers-aws; do
    if [[ $'\n'$held$'\n' != *$'\n'"$name"$'\n'* ]] && dpkg-query -W "$name" >/dev/null 2>&1; then names+=("$name"); fi
  done
  ((${#names[@]})) || return 0
  if apt-mark hold "${names[@]}" >/dev/null 2>&1; then log "held ${names[*]}"; else warn "cannot hold ${names[*]}"; fi
}

IMDS=http://169.254.169.254/latest

# Sets $registry and $region, from the flags or from the instance itself (IMDSv2).
find_registry() {
  local ecr='^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$' suffix=amazonaws.com identity=''
  if [[ -z $registry ]]; then
    if [[ -z $account || -z $region ]]; then
      identity=$(instance_identity) || fail "no instance identity; give --account and --region"
    fi
    account=${account:-$(field accountId <<<"$identity")}
    region=${region:-$(field region <<<"$identity")}
    if [[ $region == cn-* ]]; then suffix=amazonaws.com.cn; fi
    registry=$account.dkr.ecr.$region.$suffix
  fi
  [[ $registry =~ $ecr ]] || fail "'$registry' is not an ECR registry: 12 digits.dkr.ecr.REGION.amazonaws.com"
  region=${BASH_REMATCH[2]}
}

instance_identity() { metadata dynamic/instance-identity/document; }

# Prints one item of the instance's metadata; fails within seconds where there is none.
metadata() {
  local token
  token=$(curl -fsS -m 10 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$IMDS/api/token") || return 1
  curl -fsS -m 10 -H "X-aws-ec2-metadata-token: $token" "$IMDS/$1"
}

# Reads JSON, prints the text of one key.
field() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }

# No secret is written: enroot runs the command when it needs a password, as the user and with the instance's role.
configure_registry() {
  local aws
  aws=$(command -v aws) || fail "the AWS CLI is not installed"
  # shellcheck disable=SC2016 # enroot expands the command
  printf 'machine %s login AWS password $(%s ecr get-login-password --region %s)\n' "$registry" "$aws" "$region" |
    put "$ROOT/etc/enroot/config/.credentials" 644
}

# Where containers unpack: the instance's own disks where it has any, else the root volume. The sample says /run, which
# is memory: a training image of 20 GB there takes 20 GB from the job.
container_storage() {
  if mountpoint -q "$ROOT$scratch"; then printf %s "$scratch/enroot"; else printf %s /var/enroot; fi
}

configure_enroot() {
  local disk
  disk=$(container_storage)
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
  for directory in /run/enroot /run/pyxis; do
    common_directory "$ROOT$directory"
    printf 'd %s 1777 root root -\n' "$directory"
  done | put "$ROOT/etc/tmpfiles.d/pcinfra-containers.conf" 644
}

# The PyTorch hook asks scontrol for the first node, but slurmd's PATH does not lead to it.
configure_hooks() {
  local hook source
  for hook in 50-slurm-pmi.sh 50-slurm-pytorch.sh; do
    source=$ROOT/usr/share/enroot/hooks.d/$hook
    if [[ ! -f $source ]]; then
      warn "$source is missing; enroot is not complete"
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

# Brings the images of --image to this node's storage, so that the first job does not wait for them. A node without
# them still works: it warns.
warm_images() {
  local image folder name
  ((${#images[@]})) || return 0
  folder=$ROOT$(container_storage)/images
  mkdir -p "$folder"
  chmod 755 "$folder"
  for image in "${images[@]}"; do
    name=${image##*/}
    name=${name%.sqsh}
    warm_image "$image" "$folder/${name//[:@#]/+}.sqsh" || warn "$image could not be brought to this node"
  done
}

# Copies a squashfs, or imports an image into one. The file appears complete or not at all.
warm_image() {
  local image=$1 file=$2 new=$2.new
  if [[ $image == /* ]]; then
    if [[ -f $file && ! $ROOT$image -nt $file && $(stat -c %s "$ROOT$image") == "$(stat -c %s "$file")" ]]; then return; fi
    timeout -k 5 900 cp -- "$ROOT$image" "$new" || { rm -f "$new"; return 1; }
  else
    if [[ -f $file ]]; then return; fi
    rm -f "$new"
    timeout -k 5 900 enroot import -o "$new" "docker://${image#docker://}" >&2 || { rm -f "$new"; return 1; }
  fi
  chmod 644 "$new"
  mv -f "$new" "$file"
  log "brought $image to ${file#"$ROOT"}"
}

# What this node is and has, as JSON: for people, and for `pcinfra cluster diagnose`. Nothing here may hang or fail.

INSTALLED=$ROOT/opt/amazon/efa_installed_packages # written by the EFA installer

gpu_lines() { timeout -k 1 20 nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || true; }

# The devices of the driver efa; other RDMA devices do not count.
efa_devices() {
  local device count=0
  for device in "$ROOT"/sys/class/infiniband/*/device/driver; do
    if [[ $(readlink "$device") == */efa ]]; then count=$((count + 1)); fi
  done
  printf %s "$count"
}

# Prints the version of one installed package: the installer's list has NAME_VERSION on Ubuntu, NAME-VERSION elsewhere.
package_version() {
  [[ -f $INSTALLED ]] || return 0
  tr ' ' '\n' <"$INSTALLED" | sed -nE "/^$1[_-]v?[0-9]/{s/^$1[_-]v?//; s/[_-].*//; p; q}"
}

first_line() { if [[ -r $1 ]]; then head -n 1 "$1"; fi; }

# A node with fewer devices than its kind has is broken hardware: ParallelCluster replaces it when this fails.
check_devices() {
  local found
  found=$(gpu_lines | grep -c . || true)
  if [[ -n $gpus && $found -lt $gpus ]]; then fail "nvidia-smi shows $found of $gpus GPUs"; fi
  gpus=${gpus:-$found}
  found=$(efa_devices)
  if [[ -n $efa && $found -lt $efa ]]; then fail "the kernel shows $found of $efa EFA devices"; fi
  efa=${efa:-$found}
  put "$KEPT/expected" 644 <<<"gpus=$gpus efa=$efa" # the prolog reads it
  if ((efa)); then check_efa; fi
}

# EFA registers memory, and libfabric prefers huge pages for it (efa-config sets both when EFA is installed).
check_efa() {
  local limit
  limit=$(memory_lock)
  if [[ -n $limit && $limit != infinity ]]; then
    warn "slurmd may lock only $limit bytes of memory: EFA needs LimitMEMLOCK=infinity"
  fi
  if (($(huge_pages) == 0)); then warn "no huge pages: vm.nr_hugepages is 0, which EFA can use only slowly"; fi
  [[ -n $(package_version libnccl-ofi) ]] ||
    warn "aws-ofi-nccl is not installed on the node: jobs outside containers use TCP"
}

memory_lock() { timeout 5 systemctl show -p LimitMEMLOCK --value slurmd 2>/dev/null || true; }

huge_pages() {
  local pages
  pages=$(sed -n 's/^HugePages_Total: *//p' "$ROOT/proc/meminfo" 2>/dev/null || true)
  printf %s "${pages:-0}"
}

# ParallelCluster's name of the cluster, from what its cookbooks were started with.
cluster_name() {
  local name
  name=$(sed -n 's/.*"cluster_name" *: *"\([^"]*\)".*/\1/p' "$ROOT/etc/chef/dna.json" 2>/dev/null || true)
  printf %s "${name//[!A-Za-z0-9-]/}"
}

list() {
  local item separator=''
  for item in "$@"; do
    printf '%s%s' "$separator" "$(json "$item")"
    separator=', '
  done
}

limits() {
  printf '{"memlock": %s, "nofile": %s, "stack": %s}' \
    "$(json "$(ulimit -l)")" "$(json "$(ulimit -n)")" "$(json "$(ulimit -s)")"
}

report() {
  local lines storage lustre_version
  lines=$(gpu_lines)
  storage=$(container_storage)
  lustre_version=$(first_line "$ROOT/sys/module/lustre/version" || true)
  cat <<REPORT
{
  "version": 1,
  "cluster": $(json "$(cluster_name)"),
  "node": $(json "$node"),
  "role": "$ROLE",
  "status": "$1",
  "reason": $(json "$reason"),
  "warnings": [$(list "${warnings[@]}")],
  "time": "$(date -u +%Y-%m-%dT%H:%M:%SZ)",
  "os": $(json "$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' "$ROOT/etc/os-release" 2>/dev/null || true)"),
  "kernel": $(json "$(uname -r)"),
  "lustre": {
    "directory": $(json "$lustre"),
    "mounted": $(mountpoint -q "$ROOT$lustre" && echo true || echo false),
    "client": $(json "$lustre_version")
  },
  "containers": {
    "storage": $(json "$storage"),
    "local_disks": $([[ $storage == "$scratch"/* ]] && echo true || echo false),
    "enroot": $(json "$(timeout 5 enroot version 2>/dev/null || true)")
  },
  "gpus": {
    "count": $(grep -c . <<<"$lines" || true),
    "expected": ${gpus:-null},
    "name": $(json "$(sed -n '1s/, .*//p' <<<"$lines")"),
    "driver": $(json "$(sed -n '1s/.*, //p' <<<"$lines")")
  },
  "efa": {
    "devices": $(efa_devices),
    "expected": ${efa:-null},
    "driver": $(json "$(first_line "$ROOT/sys/module/efa/version" || true)"),
    "installer": $(json "$(sed -n 's/^# EFA installer version: *//p' "$INSTALLED" 2>/dev/null || true)"),
    "libfabric": $(json "$(package_version 'libfabric1?-aws(-bin)?')"),
    "aws_ofi_nccl": $(json "$(package_version libnccl-ofi)")
  },
  "huge_pages": $(huge_pages),
  "slurmd_memlock": $(json "$(memory_lock)"),
  "limits": $(limits)
}
REPORT
}

# One file for each node, on the node and, where that is mounted, on Lustre, where the head node reads them all. Nodes of
# two clusters may have one name.
write_report() {
  local place text name
  text=$(report "$1") || return 1
  name=$(cluster_name)
  for place in "$ROOT/var/log/pcinfra/node.json" "$ROOT$lustre/.pcinfra/nodes/${name:+$name.}${node//\//-}.json"; do
    if [[ $place == "$ROOT$lustre/"* ]]; then mountpoint -q "$ROOT$lustre" || continue; fi
    mkdir -p "${place%/*}" || return 1
    printf '%s\n' "$text" >"$place.$$" && mv -f "$place.$$" "$place" || return 1
  done
}

# Numbers for Prometheus: node_exporter on the node's private address, and what nvidia-smi says of the GPUs through it. Who
# may ask is the security group's matter, which lets the cluster's own machines in. A node without them still works.

# Checksums: sha256sums.txt of the release.
EXPORTER=1.9.1
EXPORTER_AMD64=becb950ee80daa8ae7331d77966d94a611af79ad0d3307380907e0ec08f5b4e8
EXPORTER_ARM64=848f139986f63232ced83babe3cad1679efdbb26c694737edc1f4fbd27b96203
EXPORTER_PORT=9100

install_metrics() {
  local address
  if [[ -z $metrics ]]; then return; fi
  address=$(private_address)
  if [[ -z $address ]]; then
    warn "no private address: no metrics from this node"
    return
  fi
  if ! fetch_exporter; then return; fi
  mkdir -p "$ROOT/run/pcinfra-metrics"
  put "$ROOT/usr/local/sbin/pcinfra-gpu-metrics" 755 < <(gpu_metrics)
  put "$ROOT/etc/systemd/system/pcinfra-node-exporter.service" 644 < <(exporter_unit "$address")
  put "$ROOT/etc/systemd/system/pcinfra-gpu-metrics.service" 644 < <(gpu_unit)
  if [[ ${wrote[*]-} == *pcinfra-*.service* ]]; then systemctl daemon-reload || warn "systemd does not read units"; fi
  systemctl enable --quiet --now pcinfra-node-exporter.service || warn "node_exporter does not start"
  if [[ ! -d $ROOT/proc/driver/nvidia/gpus ]]; then return; fi
  systemctl enable --quiet --now pcinfra-gpu-metrics.service || warn "the GPUs' metrics do not start"
}

# The address that the default route leaves from: nodes with many network cards have many.
private_address() {
  local device
  device=$(ip -4 route show default 2>/dev/null | sed -n '1s/.* dev \([^ ]*\).*/\1/p')
  [[ -z $device ]] || ip -4 -o address show dev "$device" scope global 2>/dev/null | sed -n '1s/.* inet \([0-9.]*\).*/\1/p'
}

fetch_exporter() {
  local name sum work program=$ROOT/usr/local/sbin/node_exporter
  case $(uname -m) in
    x86_64) name=amd64 sum=$EXPORTER_AMD64 ;;
    aarch64) name=arm64 sum=$EXPORTER_ARM64 ;;
    *) warn "no node_exporter for $(uname -m)" && return 1 ;;
  esac
  if [[ -x $program && -f $KEPT/exporter && $(<"$KEPT/exporter") == "$sum" ]]; then return; fi
  name=node_exporter-$EXPORTER.linux-$name
  work=$(mktemp -d)
  if ! timeout 120 curl -fsSL --retry 3 -o "$work/it" \
    "https://github.com/prometheus/node_exporter/releases/download/v$EXPORTER/$name.tar.gz"; then
    warn "node_exporter could not be fetched: no metrics from this node"
  elif ! sha256sum --status -c - <<<"$sum  $work/it"; then
    warn "node_exporter is not what was published (its checksum differs): no metrics from this node"
  elif tar -xzf "$work/it" -C "$work" --no-same-owner "$name/node_exporter"; then
    mkdir -p "${program%/*}" "$KEPT"
    install -m 755 "$work/$name/node_exporter" "$program"
    printf %s "$sum" >"$KEPT/exporter"
    log "installed node_exporter $EXPORTER"
    rm -rf "$work"
    return 0
  fi
  rm -rf "$work"
  return 1
}

exporter_unit() {
  cat <<UNIT
[Unit]
Description=node_exporter for Prometheus
After=network-online.target

[Service]
ExecStart=/usr/local/sbin/node_exporter --web.listen-address=$1:$EXPORTER_PORT --collector.textfile.directory=/run/pcinfra-metrics
DynamicUser=yes
ProtectSystem=strict
ProtectHome=read-only
NoNewPrivileges=yes
Restart=on-failure

[Install]
WantedBy=multi-user.target
UNIT
}

gpu_unit() {
  cat <<'UNIT'
[Unit]
Description=What nvidia-smi says of the GPUs, for node_exporter

[Service]
RuntimeDirectory=pcinfra-metrics
RuntimeDirectoryPreserve=yes
ExecStart=/usr/local/sbin/pcinfra-gpu-metrics
Nice=10
Restart=always
RestartSec=15

[Install]
WantedBy=multi-user.target
UNIT
}

gpu_metrics() {
  cat <<'END_OF_FILE'
#!/bin/bash
# Writes what nvidia-smi says of each GPU for node_exporter, every 15 seconds; --once writes it once.
set -u

INTO=${PCINFRA_ROOT:-}/run/pcinfra-metrics/gpu.prom
FIELDS=index,uuid,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw,clocks.sm,ecc.errors.uncorrected.volatile.total

write() {
  timeout -k 1 10 nvidia-smi --query-gpu="$FIELDS" --format=csv,noheader,nounits | awk -F ', *' '
    BEGIN { split("utilization_percent memory_used_mebibytes memory_total_mebibytes temperature_celsius power_watts sm_clock_megahertz uncorrected_errors", names, " ") }
    { for (i = 3; i <= NF; i++) if ($i ~ /^[0-9.]+$/) value[i - 2, NR] = sprintf("{gpu=\"%s\",uuid=\"%s\"} %s", $1, $2, $i) }
    END {
      for (i = 1; i <= 7; i++) {
        print "# TYPE pcinfra_gpu_" names[i] " gauge"
        for (n = 1; n <= NR; n++) if ((i, n) in value) print "pcinfra_gpu_" names[i] value[i, n]
      }
    }' >"$INTO.new" && mv -f "$INTO.new" "$INTO"
}

mkdir -p "${INTO%/*}"
write
while [ "${1:-}" != --once ]; do
  sleep 15
  write
done
END_OF_FILE
}

# Slurm reads plugins from /opt/slurm, shared with every node. Plugins that are there already stay.
configure_pyxis() {
  local stack=$ROOT/opt/slurm/etc/plugstack.conf
  put "$ROOT/opt/slurm/etc/plugstack.conf.d/pyxis.conf" 644 <"$EXAMPLES/pyxis/pyxis.conf"
  if [[ ! -f $stack ]]; then
    put "$stack" 644 <"$EXAMPLES/spank/plugstack.conf"
  elif ! grep -q '^ *include .*plugstack\.conf\.d' "$stack"; then
    put "$stack" 644 < <(cat "$stack" "$EXAMPLES/spank/plugstack.conf")
  fi
}

# slurm.conf has Prolog=/opt/slurm/etc/scripts/prolog.d/* since ParallelCluster 3.6, and Epilog likewise; both may not be
# changed ("Slurm prolog and epilog", ParallelCluster user guide).
install_health_check() {
  put "$ROOT/opt/slurm/etc/scripts/prolog.d/50_pcinfra_gpu_health" 755 < <(health_check)
  put "$ROOT/opt/slurm/etc/scripts/epilog.d/50_pcinfra_unhealthy" 755 < <(unhealthy)
}

unhealthy() {
  cat <<'END_OF_FILE'
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
END_OF_FILE
}

health_check() {
  cat <<'END_OF_FILE'
#!/bin/bash
# Looks at a node's GPUs and network before a job starts on it. Runs as Slurm's prolog, as root, on each node of the
# job. A node that fails is drained with the reason, and the job goes to other nodes (nohold_on_prolog_fail); the checks
# take a few seconds, and whatever hangs is left behind.
#
# With --report, as an ordinary user inside a job, it only prints what is wrong, and counts the GPUs that the job has;
# DCGM has been asked by then.
#
# What is fatal: NVIDIA's "Xid Errors" and "GPU Memory Error Management"; AWS replaces the instance after a drain.
# shellcheck disable=SC2329 # the checks are called by name
set -u

ROOT=${PCINFRA_ROOT:-} # where the file system starts; empty except in tests
PATH=$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/opt/amazon/efa/bin
LOG=$ROOT/var/log/parallelcluster/slurm_health_check.log # CloudWatch's agent ships it
BOUND=${PCINFRA_CHECK_SECONDS:-8}                        # seconds for all checks together

gpus='' efa=''
work=$(mktemp -d) || exit 0
trap 'rm -rf "$work"' EXIT

log() {
  printf '%s - [pcinfra_gpu_health] - %s - Job %s - %s\n' "$(date '+%F %T,%3N')" "$1" "${SLURM_JOB_ID:-}" "$2" >>"$LOG"
} 2>/dev/null

# Sets gpus and efa to what the node had when it was set up.
expected() {
  local line=''
  [ ! -r "$ROOT/var/lib/pcinfra/expected" ] || read -r line <"$ROOT/var/lib/pcinfra/expected"
  [[ $line =~ gpus=([0-9]+) ]] && gpus=${BASH_REMATCH[1]}
  [[ $line =~ efa=([0-9]+) ]] && efa=${BASH_REMATCH[1]}
}

# Each check prints the reason for a drain, or nothing.

# Says how a program ended; timeout's own statuses are 124 and, after SIGKILL, 137.
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
  while IFS=', ' read -r index errors; do
    [[ $errors =~ ^[1-9][0-9]*$ ]] && echo "GPU $index: $errors uncorrected memory errors"
  done <<<"$lines"
}

# Rows of GPU memory that wait for a reset to be replaced, or could not be.
check_memory_rows() {
  local index=0 pending failed
  while IFS=', ' read -r pending failed; do
    [ "$failed" != Yes ] && [ "$failed" != 1 ] || echo "GPU $index: remapping a row of its memory failed"
    [ "$pending" != Yes ] && [ "$pending" != 1 ] || echo "GPU $index: its memory needs a reset (row remapping pending)"
    index=$((index + 1))
  done < <(timeout -k 1 5 nvidia-smi --query-remapped-rows=remapped_rows.pending,remapped_rows.failure --format=csv,noheader)
}

# Links between GPUs that are down. A GPU without NVLink has no link at all.
check_nvlink() {
  timeout -k 1 5 nvidia-smi nvlink --status | awk '
    /^GPU/ { gpu = $2; sub(":", "", gpu) }
    /Link [0-9]+: .*inactive/ { down[gpu]++ }
    END { for (gpu in down) print "GPU " gpu ": " down[gpu] " NVLinks are inactive" }'
}

# Errors that the driver has reported since the node started. Those of programs (13, 31, 43, 45, ...) are no fault of
# the GPU. After a repair without a reboot, `dmesg --clear` forgets them.
check_xid() {
  timeout -k 1 4 dmesg | awk '
    BEGIN { split("48 62 64 74 79 95 119 120 140", list); for (i in list) fatal[list[i]] = 1 }
    match($0, /NVRM: Xid \([^)]*\): [0-9]+/) {
      text = substr($0, RSTART, RLENGTH); code = text; sub(/.*: /, "", code)
      if (code in fatal) { gpu = text; sub(/.*\(/, "", gpu); sub(/\).*/, "", gpu); print gpu ": Xid " code; exit }
    }'
}

# DCGM's quick test. One that is slow, or has no host engine to ask, says nothing about the GPUs.
check_dcgm() {
  local text status
  command -v dcgmi >/dev/null || return
  text=$(timeout -k 1 5 dcgmi diag -r 1 2>&1)
  status=$?
  [ "$status" -lt 124 ] || { log INFO "dcgmi diag gave no answer in time"; return; }
  awk -F '|' '$3 ~ /Fail/ { gsub(/^ +| +$/, "", $2); print "DCGM: " $2 " failed"; exit }' <<<"$text"
}

# Without libfabric's provider a job would run over TCP, a hundred times slower.
check_efa() {
  local text count
  [ "${efa:-0}" -gt 0 ] || return
  text=$(timeout -k 1 5 fi_info -p efa -t FI_EP_RDM 2>&1) || { why "fi_info" "$?" "$text"; return; }
  count=$(sed -n 's/^ *domain: *//p' <<<"$text" | sed 's/-rdm$//' | sort -u | grep -c .)
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
    busy=''
    for name in "$@"; do [ -e "$work/$name.done" ] || busy+=" $name"; done
    [ -z "$busy" ] || sleep 0.05
  done
  for name in $busy; do echo "check $name has not ended within $BOUND s" >"$work/$name"; done
  [ -z "$busy" ] || kill -9 "${pids[@]}" 2>/dev/null
  disown -a
}

# The reason must come before Slurm's own "Prolog error", which does not replace one that is there.
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
    echo "NVIDIA's driver shows no GPU of $gpus"
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
END_OF_FILE
}

# Programs of the project's own, each under its own name. One that cannot be fetched would be missed only by its absence,
# so that the head node fails without it.
install_hooks() {
  local url
  for url in "${prolog[@]}"; do install_hook prolog "$url"; done
  for url in "${epilog[@]}"; do install_hook epilog "$url"; done
}

install_hook() {
  local new text
  new=$(mktemp)
  timeout 120 aws s3 cp --only-show-errors ${region:+--region "$region"} "$2" "$new" ||
    { rm -f "$new"; fail "$2 could not be fetched"; }
  text=$(head -c 2 "$new" | tr -d '\0')
  [[ $text == '#!' ]] || { rm -f "$new"; fail "$2 is not a program: it does not begin with #!"; }
  put "$ROOT/opt/slurm/etc/scripts/$1.d/60_${2##*/}" 755 <"$new"
  rm -f "$new"
}

reload_slurm() {
  local scontrol=$ROOT/opt/slurm/bin/scontrol
  if [[ ${wrote[*]-} != */opt/slurm/etc/plugstack* ]]; then return; fi
  if timeout 20 "$scontrol" ping >/dev/null 2>&1; then
    timeout 60 "$scontrol" reconfigure
  else
    log "slurmctld does not run yet; it reads the plugins when it starts"
  fi
}

# The associations with S3 make these directories, as root. Users must be able to write; making one that is
# missing would only hide that its association is.
open_lustre() {
  local name
  for name in checkpoints logs results; do
    if [[ -d $ROOT$lustre/$name ]]; then
      common_directory "$ROOT$lustre/$name"
    else
      log "note: $lustre/$name is not there; its data repository association makes it"
    fi
  done
}

main() {
  parse "$@"
  need_root
  need_examples enroot/enroot.conf spank/plugstack.conf pyxis/pyxis.conf
  need_lustre
  find_registry
  hold_kernel
  allow_user_namespaces
  configure_enroot
  configure_run_directories
  configure_registry
  configure_hooks
  configure_pyxis
  install_health_check
  install_hooks
  open_lustre
  reload_slurm
  install_metrics
  warm_images
}

main "$@"
