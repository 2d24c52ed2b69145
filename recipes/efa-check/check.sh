#!/bin/bash
# Runs on every node: are EFA's devices there, does libfabric find them, do the first two nodes reach each other.
# Ends with 1 where they do not.
set -u
export PATH=$PATH:/opt/amazon/efa/bin
fi_info=${FI_INFO:-fi_info} pingpong=${FI_PINGPONG:-fi_pingpong}
me="$(hostname -s) (node $((SLURM_NODEID + 1)) of $SLURM_JOB_NUM_NODES)"

fail() {
  echo "$me: FAILED: $1"
  sleep 2 # Slurm ends the other nodes' checks when one has failed; let them say theirs
  exit 1
}

devices=0
for driver in /sys/class/infiniband/*/device/driver; do
  [[ $(readlink "$driver") != */efa ]] || devices=$((devices + 1))
done
command -v "$fi_info" >/dev/null || fail "fi_info is not installed: there is no libfabric for EFA"
found=$(timeout 30 "$fi_info" -p efa -t FI_EP_RDM 2>&1) || fail "libfabric finds no EFA ($devices devices): ${found%%$'\n'*}"
domains=$(sed -n 's/^ *domain: *//p' <<<"$found" | sed 's/-rdm$//' | sort -u | wc -l)
version=$("$fi_info" --version | sed -n 's/^libfabric: *//p')
plugin=none
for place in /opt/aws-ofi-nccl /opt/amazon/ofi-nccl; do [ ! -d "$place" ] || plugin=$place; done
echo "$me: $domains EFA devices, libfabric ${version:-?}, aws-ofi-nccl: $plugin"

[ "$SLURM_JOB_NUM_NODES" -gt 1 ] && [ "$SLURM_NODEID" -lt 2 ] || exit 0
if [ "$SLURM_NODEID" = 0 ]; then
  told=$(timeout 120 "$pingpong" -p efa -e rdm -I 1000 2>&1) || fail "no message from the second node: ${told##*$'\n'}"
else
  sleep 5 # the first node listens by then
  told=$(timeout 60 "$pingpong" -p efa -e rdm -I 1000 "$MASTER_ADDR" 2>&1) || fail "no answer from $MASTER_ADDR: ${told##*$'\n'}"
fi
echo "$me: messages over EFA arrive"
tail -n 3 <<<"$told"
