#!/bin/bash
# Made from bootstrap/parts by tools/bootstrap; change it there.
#
# Switches on Enroot on a compute node of an AWS ParallelCluster (3.11.1 or later) cluster, and checks what the node
# has. Runs as root, as OnNodeConfigured: after the file systems are mounted, before slurmd starts. Running it again
# changes nothing but the node's report.
#
# Writes to this node, and its own report to Lustre. What Slurm reads from the shared /opt/slurm is written by the head
# node's script.

set -euo pipefail
umask 022
ROLE="compute"

usage() {
  cat <<'USAGE'
usage: compute-node-enroot-pyxis-setup.sh [--lustre DIR] [--scratch DIR] [--registry HOST | --account ID --region REGION]

Switches on Enroot on a compute node, and checks what the node has.

  --lustre DIR     where FSx for Lustre is mounted (default /lustre)
  --scratch DIR    the instance's own disks, used when mounted (default /scratch)
  --registry HOST  ECR registry that images come from
  --account ID     account of the registry (default: the instance's)
  --region REGION  region of the registry (default: the instance's)
  --image IMAGE    bring this image to the node's disk: a .sqsh file or an image's name; may be given several times
  --gpus N         GPUs that the node must have (default: those it has)
  --efa N          EFA devices that the node must have (default: those it has)
  --metrics        serve numbers for Prometheus on port 9100 of the node's private address
  --dcgm           serve what NVIDIA's dcgm-exporter says of the GPUs on port 9400 of that address

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

# NVIDIA's dcgm-exporter on a node with GPUs: utilization of tensor cores and memory, NVLink, Xids. ParallelCluster's images
# have DCGM, in a version of their own, but not the exporter and no docker; so NVIDIA's image runs by enroot, with the DCGM
# that it was built for. A node without it still works.

DCGM_EXPORTER=4.5.2-4.8.1
# The image of DCGM_EXPORTER-ubuntu22.04 for linux/amd64. Nodes of UltraServers are arm64 and take it by its tag.
DCGM_DIGEST=sha256:a7ad6547d4546eaf4dd5d6b4c0b4db4101e63ef7dc3cdff7f42b767d2c60b706
DCGM_IMAGE=docker://nvcr.io#nvidia/k8s/dcgm-exporter
DCGM_NAME=pcinfra-dcgm-exporter
DCGM_PORT=9400

install_dcgm() {
  local address
  if [[ -z $dcgm ]]; then return; fi
  if [[ ! -d $ROOT/proc/driver/nvidia/gpus ]]; then
    warn "the driver shows no GPU: no dcgm-exporter"
    return
  fi
  address=$(private_address)
  if [[ -z $address ]]; then
    warn "no private address: no dcgm-exporter"
    return
  fi
  if ! fetch_dcgm; then
    warn "dcgm-exporter could not be fetched from nvcr.io: nothing on port $DCGM_PORT of this node"
    return
  fi
  put "$ROOT/etc/systemd/system/$DCGM_NAME.service" 644 < <(dcgm_unit "$address")
  if [[ ${wrote[*]-} == *"$DCGM_NAME.service"* ]]; then systemctl daemon-reload || warn "systemd does not read units"; fi
  systemctl enable --quiet --now "$DCGM_NAME.service" || warn "dcgm-exporter does not start"
}

# Unpacks the image as a container of root's. What is pinned is noted, so that another one replaces it.
fetch_dcgm() {
  local image kept=$KEPT/dcgm work done=''
  image=$(dcgm_images | head -n 1)
  if [[ -f $kept && $(<"$kept") == "$image" ]]; then return; fi
  work=$(mktemp -d -p "$ROOT$(container_storage)/tmp") || return 1
  while read -r image; do
    rm -f "$work/$DCGM_NAME.sqsh"
    if timeout -k 5 300 enroot import -o "$work/$DCGM_NAME.sqsh" "$image" </dev/null >&2; then
      done=1
      break
    fi
  done < <(dcgm_images)
  if [[ -n $done ]] && timeout -k 5 300 enroot create -f -n "$DCGM_NAME" "$work/$DCGM_NAME.sqsh" </dev/null >&2; then
    rm -rf "$work"
    mkdir -p "$KEPT"
    dcgm_images | head -n 1 | tr -d '\n' >"$kept"
    log "installed dcgm-exporter $DCGM_EXPORTER"
    return
  fi
  rm -rf "$work"
  return 1
}

# A digest is @sha256:… since enroot 4 and the :tag before it (enroot, src/docker.sh, the pattern reg_tag).
dcgm_images() {
  if [[ $(uname -m) == aarch64 ]]; then
    printf '%s\n' "$DCGM_IMAGE:$DCGM_EXPORTER-ubuntu22.04"
  else
    printf '%s\n' "$DCGM_IMAGE@$DCGM_DIGEST" "$DCGM_IMAGE:$DCGM_DIGEST"
  fi
}

# Profiling needs CAP_SYS_ADMIN, which root has only outside a user namespace: ENROOT_ALLOW_SUPERUSER. The image's entry
# point would grant it to the program by setcap instead: NO_SETCAP (dcgm-exporter, docker/dcgm-exporter-entrypoint.sh).
dcgm_unit() {
  cat <<UNIT
[Unit]
Description=NVIDIA's dcgm-exporter for Prometheus
After=network-online.target

[Service]
Environment=HOME=/root ENROOT_ALLOW_SUPERUSER=yes
ExecStart=/usr/bin/enroot start --rw --env NO_SETCAP=1 --env DCGM_EXPORTER_LISTEN=$1:$DCGM_PORT $DCGM_NAME
Nice=10
Restart=always
RestartSec=30

[Install]
WantedBy=multi-user.target
UNIT
}

check_pyxis() {
  local conf=$ROOT/opt/slurm/etc/plugstack.conf.d/pyxis.conf
  [[ -f $conf ]] || warn "$conf is missing: the head node's script has not run, srun knows no containers"
}

main() {
  parse "$@"
  need_root
  need_examples enroot/enroot.conf
  need_lustre
  find_registry
  check_devices
  hold_kernel
  allow_user_namespaces
  configure_enroot
  configure_run_directories
  configure_registry
  configure_hooks
  check_pyxis
  install_metrics
  install_dcgm
  warm_images
}

main "$@"
