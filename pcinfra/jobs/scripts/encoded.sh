# encoded LIMIT FILE OFFSET: print the bytes of FILE from OFFSET on, compressed and in base64, at most LIMIT
# characters; sets taken to their number. Halves what it takes until it fits, because nobody knows what it compresses to.
encoded() {
  local size text
  size=$(stat -Lc %s -- "$2") || return
  taken=$((size - $3))
  [ "$taken" -gt 0 ] || { taken=0; return 0; }
  [ "$taken" -le 262144 ] || taken=262144
  while :; do
    text=$(tail -c +$(($3 + 1)) -- "$2" | head -c "$taken" | gzip -c | base64 -w0)
    [ "${#text}" -gt "$1" ] && [ "$taken" -gt 1 ] || break
    taken=$((taken / 2))
  done
  printf %s "$text"
}
