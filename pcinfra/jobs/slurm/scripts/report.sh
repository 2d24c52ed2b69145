# Prints what Slurm and the head node say of themselves: sections, each after a line "== NAME", compressed.
# encoded.sh goes before. Nothing here changes anything, and each part may fail for itself.
file=$(mktemp) || exit
trap 'rm -f -- "$file"' EXIT
section() {
  echo "== $1"
  shift
  timeout 20 "$@" 2>&1 | tail -n 400
}
{
  section sinfo sinfo -N -o '%N %P %T %C %m %G %H %E'
  section reasons sinfo -R
  section squeue squeue -o '%i %P %T %u %D %r %N %j'
  section nodes scontrol show nodes
  section partitions scontrol show partition
  section diag sdiag
  section disks df -hTl # a dead network mount would hold everything up
  section mounts mount
  section memory free -m
  section uptime uptime
  section kernel uname -a
  section processes ps -eo pid,user,etime,rss,comm --sort=-rss
  section dmesg dmesg --ctime --level=err,warn
  for log in /var/log/parallelcluster/bootstrap_error_msg /var/log/cfn-init.log /var/log/parallelcluster/clustermgtd \
    /var/log/parallelcluster/slurm_resume.log /var/log/slurmctld.log /var/log/pcinfra/node.json; do
    [ ! -r "$log" ] || section "file $log" tail -n 120 -- "$log"
  done
} >"$file"
# Lustre may hang, and then nothing ends whoever reads it.
reports() {
  for report in /lustre/.pcinfra/nodes/*.json; do
    [ ! -r "$report" ] || section "node report ${report##*/}" cat -- "$report"
  done
}
reports >"$file.lustre" 2>&1 &
for ((i = 0; i < 50; i++)); do
  kill -0 "$!" 2>/dev/null || break
  sleep 0.1
done
cat -- "$file.lustre" >>"$file"
rm -f -- "$file.lustre"
encoded 23000 "$file" 0
