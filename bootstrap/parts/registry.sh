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
