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
