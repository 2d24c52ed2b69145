# Packs what a run was submitted with as the run $NEW, for submit.sh. Expects WHAT, NEW.
find_run "$WHAT"
# shellcheck disable=SC2153 # find_run sets RUN
[ -s "$RUN/files" ] || answer "refused it does not know what it was submitted with"
stage=.$NEW.d
ARCHIVE=@.$NEW.tar
if [ ! -e "$NEW/job.sbatch" ]; then
  rm -rf "$stage" && (umask 077 && mkdir -p "$stage/$NEW") || exit
  { cat "$RUN/files"; echo files; } | tar -C "$RUN" -cf - -T - | tar -C "$stage/$NEW" -xpf - || exit
  sed -i "s/^#SBATCH --job-name=.*/#SBATCH --job-name=pci-$NEW/" "$stage/$NEW/job.sbatch" || exit
  # What a tag meant then, it means again.
  [ ! -s "$RUN/image.digest" ] || cp -p -- "$RUN/image.digest" "$stage/$NEW" || exit
  tar -C "$stage" -czf "${ARCHIVE#@}" "$NEW" && rm -rf "$stage" || exit
fi
RUNS=$NEW
