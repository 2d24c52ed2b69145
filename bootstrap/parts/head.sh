#!/bin/bash
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

# include common.sh

# include lustre.sh

# include registry.sh

# include enroot.sh

# include report.sh

# include metrics.sh

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
# include unhealthy.sh
END_OF_FILE
}

health_check() {
  cat <<'END_OF_FILE'
# include gpu-health.sh
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
