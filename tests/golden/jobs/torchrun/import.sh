#!/bin/bash
uri='123456789012.dkr.ecr.us-east-1.amazonaws.com#training@sha256:0000000000000000000000000000000000000000000000000000000000000000'
digest=0000000000000000000000000000000000000000000000000000000000000000
# Imports the image $uri once for all, into $target: one at a time, checked, and there complete or not at all. What an
# import that was killed left is taken away by the next. Expects uri, digest.
set -uo pipefail
target=${SLURM_SUBMIT_DIR%/*}/.images/$digest.sqsh
exec 9>"$target.lock" && flock 9 || exit # never removed: who waits for it must wait for the same file
[ ! -e "$target" ] || exit 0
rm -f -- "$target".*.part
part=$target.$$.part
trap 'rm -f -- "$part"' EXIT
enroot import --output "$part" "docker://$uri" 9>&- || { echo "enroot import failed" >&2; exit 1; }
unsquashfs -s "$part" >/dev/null || { echo "what was imported is no squashfs" >&2; exit 1; }
sync -- "$part" && mv -n -- "$part" "$target"
