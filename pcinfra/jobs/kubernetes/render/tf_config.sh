# Writes TF_CONFIG for MultiWorkerMirroredStrategy: every node by the name that JobSet gives it, and which one this is.
set -eu
workers=""
node=0
while [ "$node" -lt "$PET_NNODES" ]; do
  workers="$workers${workers:+, }\"$JOBSET_NAME-node-0-$node.$JOBSET_NAME:2222\""
  node=$((node + 1))
done
config="{\"cluster\": {\"worker\": [$workers]}, \"task\": {\"type\": \"worker\", \"index\": $JOB_COMPLETION_INDEX}}"
printf "export TF_CONFIG='%s'\n" "$config" >/shared-env/tf_config.env
cat /shared-env/tf_config.env
