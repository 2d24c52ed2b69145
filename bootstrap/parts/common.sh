# What every node script needs. Expects usage and ROLE.

ROOT=${PCINFRA_ROOT:-} # where the file system starts; empty except in tests
EXAMPLES=$ROOT/opt/parallelcluster/examples
KEPT=$ROOT/var/lib/pcinfra

lustre=/lustre scratch=/scratch region='' account='' registry='' gpus='' efa='' metrics='' dcgm=''
images=() wrote=() warnings=() prolog=() epilog=()
node=$(hostname -s 2>/dev/null || uname -n)
ready='' reason='' # ready: the arguments were understood, so that a report can be written
SECONDS=0

# The agent of CloudWatch ships the system's log of every node, and of what a script prints only what a failed one
# wrote to stderr (aws-parallelcluster-cookbook, cloudwatch_agent_config.json, custom_action_executor.py).
log() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  if [[ -z $ROOT ]]; then logger -t pcinfra -- "$*" || true; fi
}

warn() {
  warnings+=("$*")
  log "warning: $*"
}

fail() {
  reason=$*
  log "error: $*"
  exit 1
}

# Text as a JSON string.
json() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/ }
  printf '"%s"' "$(printf %s "$text" | tr -d '\000-\037')"
}

# Ends every run with one line, however it ends. `pcinfra cluster diagnose` reads it.
finish() {
  local status=$?
  trap - EXIT ERR
  local state=ok
  if ((status)); then state=failed reason=${reason:-exit status $status}; else reason=''; fi
  if [[ -n $ready ]]; then write_report "$state" || log "warning: the node report could not be written"; fi
  log "pcinfra-status $(printf '{"status":"%s","role":"%s","node":%s,"seconds":%d,"warnings":%d,"reason":%s}' \
    "$state" "$ROLE" "$(json "$node")" "$SECONDS" "${#warnings[@]}" "$(json "$reason")")"
  exit "$status"
}

trap finish EXIT
trap 'reason="line $LINENO: $BASH_COMMAND: exit status $?"' ERR
trap 'reason="ended by a signal"; exit 143' TERM INT HUP
set -E # functions pass the ERR trap on

parse() {
  while (($#)); do
    case $1 in
      --help | -h)
        trap - EXIT
        usage
        exit 0
        ;;
      --lustre | --scratch | --region | --account | --registry | --gpus | --efa)
        [[ -n ${2-} ]] || fail "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
      --image)
        [[ -n ${2-} ]] || fail "$1 needs a value"
        images+=("$2")
        shift 2
        ;;
      --metrics)
        metrics=1
        shift
        ;;
      --dcgm)
        dcgm=1
        shift
        ;;
      --prolog | --epilog)
        [[ -n ${2-} ]] || fail "$1 needs a value"
        hook_argument "${1#--}" "$2"
        shift 2
        ;;
      *) fail "unknown argument '$1'; try --help" ;;
    esac
  done
  check_arguments
  ready=1
}

hook_argument() {
  local url='^s3://[a-z0-9.-]+/([A-Za-z0-9_.-]+/)*[A-Za-z0-9][A-Za-z0-9_.-]*$'
  [[ $ROLE == head ]] || fail "--$1 is for the head node, whose /opt/slurm every node mounts"
  [[ $2 =~ $url ]] || fail "--$1 must be s3://BUCKET/KEY, not '$2'"
  if [[ $1 == prolog ]]; then prolog+=("$2"); else epilog+=("$2"); fi
}

check_arguments() {
  local image number='^(|0|[1-9][0-9]{0,2})$'
  [[ $lustre == /* ]] || fail "--lustre must be an absolute path, not '$lustre'"
  [[ $scratch =~ ^/[A-Za-z0-9._/-]+$ ]] || fail "--scratch must be an absolute path, not '$scratch'"
  [[ $gpus =~ $number ]] || fail "--gpus must be a number, not '$gpus'"
  [[ $efa =~ $number ]] || fail "--efa must be a number, not '$efa'"
  [[ -z $dcgm || $ROLE == compute ]] || fail "--dcgm is for compute nodes"
  for image in "${images[@]}"; do
    [[ $image =~ ^/[A-Za-z0-9._/-]+\.sqsh$|^[A-Za-z0-9][A-Za-z0-9._/:@#-]+$ ]] ||
      fail "--image must be a file /….sqsh or an image's name, not '$image'"
  done
}

# Writes stdin to a file when the file is not the same already, and notes its name (not from within a pipe). The new
# file takes the place of the old one at once: other nodes never read half of it.
put() {
  local file=$1 mode=$2 text now='' new
  text=$(cat && printf .)
  if [[ -f $file ]]; then now=$(cat "$file" && printf .); fi
  if [[ $now == "$text" && $(stat -c %a "$file") == "$mode" ]]; then return; fi
  mkdir -p "${file%/*}"
  new=$(mktemp "${file%/*}/.${file##*/}.XXXXXX")
  printf %s "${text%.}" >"$new"
  chmod "$mode" "$new"
  mv -f "$new" "$file"
  wrote+=("$file")
  log "wrote $file"
}

# A directory where every user may make entries and remove only their own.
common_directory() {
  if [[ -d $1 && $(stat -c %a "$1") == 1777 ]]; then return; fi
  mkdir -p "$1"
  chmod 1777 "$1"
  log "made $1"
}

need_root() { [[ $EUID == 0 || -n $ROOT ]] || fail "must run as root"; }

need_examples() {
  local example
  for example in "$@"; do
    [[ -f $EXAMPLES/$example ]] ||
      fail "$EXAMPLES/$example is missing: this image is older than AWS ParallelCluster 3.11.1, which ships it"
  done
}
