#!/bin/bash
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

# include common.sh

# include lustre.sh

# include registry.sh

# include enroot.sh

# include report.sh

# include metrics.sh

# include dcgm.sh

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
