# Ends a command and everything that it started. Expects ID.
dir=/tmp/.pcinfra-exec-$ID
[ -e "$dir/pid" ] || exit 0
pid=$(<"$dir/pid")
kill -TERM -- "-$pid" 2>/dev/null
for ((i = 0; i < 30; i++)); do
  kill -0 -- "-$pid" 2>/dev/null || break
  sleep 0.1
done
kill -KILL -- "-$pid" 2>/dev/null
rm -rf -- "$dir"
