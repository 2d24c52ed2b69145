# Looks on every node whether EC2 is about to take it away, which it says two minutes before ("Spot Instance interruption
# notices", EC2 user guide), and then tells the job to stop.
imds=http://169.254.169.254/latest
while [ ! -e "$PCINFRA_STOP_FILE" ]; do
  token=$(curl -fs -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$imds/api/token")
  if curl -fs -m 5 -H "X-aws-ec2-metadata-token: $token" "$imds/meta-data/spot/instance-action" | grep -q '"action"'; then
    : >"$PCINFRA_STOP_FILE"
  fi
  sleep 5
done
