# Looks on every node whether EC2 is about to take it away, which it says two minutes before ("Spot Instance interruption
# notices", EC2 user guide), and then tells the job to stop. That it may do so soon ("EC2 instance rebalance
# recommendations") is only noted: many such instances live on for hours.
imds=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
imds=${imds%/}/latest
node=${SLURMD_NODENAME:-$(hostname -s)}
known=''
ask() { curl -fs -m 5 -H "X-aws-ec2-metadata-token: $token" "$imds/meta-data/$1"; }
while [ ! -e "$PCINFRA_STOP_FILE" ]; do
  token=$(curl -fs -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$imds/api/token")
  said=$(ask spot/instance-action)
  if [[ $said == *'"action"'* ]]; then
    [[ $said =~ \"time\":\ *\"([0-9TZ:-]+)\" ]] && end=$(date -d "${BASH_REMATCH[1]}" +%s 2>/dev/null)
    echo "${end:-$(($(date +%s) + 120))} EC2 takes the node $node away" >"$PCINFRA_STOP_FILE.$node" &&
      mv -n -- "$PCINFRA_STOP_FILE.$node" "$PCINFRA_STOP_FILE"
  elif [ -z "$known" ] && [[ $(ask events/recommendations/rebalance) == *noticeTime* ]]; then
    known=yes
    echo "$PCINFRA_ATTEMPT $node" >>"${PCINFRA_STOP_FILE%/*}/rebalance"
  fi
  sleep 5
done
