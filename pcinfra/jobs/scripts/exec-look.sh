# Waits up to WAIT tenths of a second for news of a command, and prints its status and what is new in its output.
# Expects ID, OUT and ERR (offsets), WAIT; encoded.sh goes before. Removes everything once all of it has been told.
dir=/tmp/.pcinfra-exec-$ID
[ -d "$dir" ] || { echo "the head node knows nothing of this command; was it restarted?" >&2; exit 44; }
size() { stat -Lc %s -- "$dir/$1"; }
status=running
for ((i = 0; i < WAIT; i++)); do
  [ ! -e "$dir/status" ] || break
  { [ "$(size out)" -le "$OUT" ] && [ "$(size err)" -le "$ERR" ]; } || break
  sleep 0.1
done
[ ! -e "$dir/status" ] || status=$(<"$dir/status")
whole=yes
for name in out err; do
  offset=$OUT
  [ "$name" = out ] || offset=$ERR
  printf '%s ' "$name"
  encoded 11000 "$dir/$name" "$offset"
  echo
  [ "$((offset + taken))" = "$(size "$name")" ] || whole=no
done
echo "status $status $whole"
[ "$status" = running ] || [ "$whole" = no ] || rm -rf -- "$dir"
