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
