# Packs what a run was submitted with as the run $NEW, for submit.sh. Expects WHAT, NEW.
find_run "$WHAT"
[ -s "$RUN/files" ] || answer "refused it does not know what it was submitted with"
stage=.$NEW.d
ARCHIVE=@.$NEW.tar
if [ ! -e "$NEW/job.sbatch" ]; then
  rm -rf "$stage" && mkdir -m 700 "$stage" && tar -C "$RUN" -cf - -T "$RUN/files" | tar -C "$stage" -xpf - || exit
  sed -i "s/^#SBATCH --job-name=.*/#SBATCH --job-name=pci-$NEW/" "$stage/job.sbatch" || exit
  tar -C "$stage" -cf "${ARCHIVE#@}" -T "$RUN/files" && rm -rf "$stage" || exit
fi
LOGS=
[ ! -L "$RUN/logs" ] || { LOGS=$(readlink "$RUN/logs"); LOGS=${LOGS%/*}; }
RUN=$NEW
