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
