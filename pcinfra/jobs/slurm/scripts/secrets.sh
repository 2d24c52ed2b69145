# fetch_secrets: export each of $secrets (name, service, region, id and key), fetched with the role of this node. Values
# are in the environment only: in no file, and in no program's arguments.
fetched=''
key_of='import json, sys
value = json.load(sys.stdin)[sys.argv[1]]
sys.stdout.write(value if isinstance(value, str) else json.dumps(value))'
fetch_secrets() {
  local i value where own
  own=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(sed -n 's/^cfn_region=//p' /etc/parallelcluster/cfnconfig 2>/dev/null)}}
  PATH=$PATH:/usr/local/bin:/snap/bin
  [ -n "$(type -P aws)" ] || # ParallelCluster's images have it
    give_up 1 "Secrets are fetched by the AWS CLI, and $(hostname) has no program aws: apt-get install awscli"
  for ((i = 0; i < ${#secrets[@]}; i += 5)); do
    where=${secrets[i + 2]:-$own}
    where=${where:+--region=$where}
    case ${secrets[i + 1]} in
      ssm) set -- ssm get-parameter --with-decryption --name "${secrets[i + 3]}" --query Parameter.Value ;;
      *) set -- secretsmanager get-secret-value --secret-id "${secrets[i + 3]}" --query SecretString ;;
    esac
    # shellcheck disable=SC2086 # one word or none
    value=$(aws "$@" --output text $where) ||
      give_up 1 "The secret ${secrets[i]} cannot be fetched from ${secrets[i + 3]}. See nodes.secrets in pcinfra.yaml."
    if [ -n "${secrets[i + 4]}" ]; then
      value=$(printf %s "$value" | python3 -c "$key_of" "${secrets[i + 4]}" 2>/dev/null) ||
        give_up 1 "The secret ${secrets[i]} is no JSON object with a key ${secrets[i + 4]}."
    fi
    export "${secrets[i]}=$value"
    fetched+=${fetched:+,}${secrets[i]}
  done
}
