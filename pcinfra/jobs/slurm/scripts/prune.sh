# Removes imported images that no job of this cluster waits for or uses, no job of another one has given a sign of in the
# last minutes, and that were last asked for more than DAYS days ago. Prints a line "image DIGEST BYTES DAYS WHAT" for each,
# then "end". Expects DAYS, DRY (yes: only print). While it looks nobody submits a job that needs one (submit.sh).
mkdir -p .images && exec 6>.images/.lock && flock 6 || exit
# digest_of_run RUN: print the digest of its image.
digest_of_run() {
  if [ -s "$1/image.digest" ]; then cat -- "$1/image.digest"; else sed -n 's/^digest=\([0-9a-f]\{64\}\)$/\1/p' "$1/job.sbatch" 2>/dev/null; fi
}
names=$(timeout 60 squeue -h -o %j) || { echo "squeue does not answer" >&2; exit 1; }
declare -A used=()
while read -r name; do
  [[ $name == pci-* ]] || continue
  digest=$(digest_of_run "${name#pci-}")
  [ -z "$digest" ] || used[$digest]=yes
  for image in ".images/${name#pci-image-}"*.lock; do used[$(basename "${image%%.sqsh*}")]=yes; done # it is imported now
done <<<"$names"
while read -r signs; do
  digest=$(digest_of_run "${signs%%/*}")
  [ -z "$digest" ] || used[$digest]=yes
done < <(find . -maxdepth 4 -name 'signs.*' -mmin -5 -printf '%P\n')
now=$(date +%s)
for image in .images/*.sqsh; do
  [ -e "$image" ] || continue
  digest=${image##*/} digest=${digest%.sqsh}
  read -r size last <<<"$(stat -c '%s %Y' -- "$image")"
  age=$(((now - last) / 86400))
  if [ -n "${used[$digest]:-}" ]; then
    what='in use'
  elif [ $((now - last)) -le $((DAYS * 86400)) ]; then
    what='used lately'
  elif [ "$DRY" = yes ]; then
    what='would go'
  else
    rm -f -- "$image" "${image%.sqsh}.log" && what=removed || what='cannot be removed'
  fi
  echo "image $digest $size $age $what"
done
# What an import left that was killed, and answers about tags.
if [ "$DRY" != yes ]; then
  while read -r part; do
    digest=${part%%.*}
    [ -n "${used[$digest]:-}" ] || rm -f -- ".images/$part"
  done < <(find .images -maxdepth 1 \( -name '*.part' -o -name '.tag-*' \) -mtime "+$DAYS" -printf '%f\n')
fi
echo end
