# Starts "$@" in the background as the cluster's user, in the home directory. Expects ID; bash.
umask 077
dir=/tmp/.pcinfra-exec-$ID
mkdir -p -- "$dir" && cd -- "$HOME" || exit
if [ ! -e "$dir/out" ]; then # a command may be delivered twice
  : >"$dir/err"
  : >"$dir/out"
  [ -e "$dir/in" ] || : >"$dir/in"
  unset PCINFRA_RUNS
  # shellcheck disable=SC2016 # expanded by the bash that it starts
  setsid bash -c '
    d=$0
    echo "$$" >"$d/pid"
    "$@" <"$d/in" >"$d/out" 2>"$d/err"
    echo "$?" >"$d/status.new"
    mv -- "$d/status.new" "$d/status"' "$dir" "$@" </dev/null >/dev/null 2>&1 &
fi
