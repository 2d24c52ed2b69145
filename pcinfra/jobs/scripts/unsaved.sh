# Prints what lies on Lustre and in no directory of $KEPT (an array, seen from the root of the file system): for each
# entry of the root, and for each run, how many files, how many bytes, and its path, the largest first. Expects LUSTRE.
# What pcinfra itself wrote into a run directory does not count, but what the job left there does.
cd -- "$LUSTRE" || exit
skip=(-path ./.lustre -o -path ./.pcinfra -o -path ./runs/.images -o -path './runs/.waiting.*')
for each in "${KEPT[@]}"; do # a name may hold what find takes for a pattern
  skip+=(-o -path "./$(printf %s "${each#/}" | sed 's/[][*?\\]/\\&/g')")
done
set -o pipefail
timeout 50 find . -xdev \( "${skip[@]}" \) -prune -o -type f -printf '%s/%P\0' 2>/dev/null | tr '\n\0' '?\n' |
  LC_ALL=C awk -F / '
    function ours(name) {
      return name ~ /^(spec\.json|job\.sbatch|(node|command|env|import|health|watch)\.sh|script|allreduce\.py|code\.tar\.gz)$/ ||
        name ~ /^(lock|said|files|unpacked|unhealthy|submit\.env|image\.digest|(submit|image|health)\.err)$/ ||
        name ~ /^(ended|DONE|cancelled|job\.id|requeue\.max|slurm\.end|(attempts|result|checkpoints)\.jsonl)$/ ||
        name ~ /^(signs|began|stop)\.[0-9]+$/ || name ~ /^\..*\.tar$/
    }
    $2 == "runs" && (NF == 3 || $4 == "logs" || $4 == "code") && (NF != 3 || ours($3)) {next}
    $2 == "runs" && NF == 4 && ours($4) {next}
    $2 == "runs" && $4 == "tasks" && (NF == 5 || NF == 6) && ours($NF) {next}
    {
      entry = $2 == "runs" && NF > 3 ? $2 "/" $3 : $2
      files[entry]++
      bytes[entry] += $1
    }
    END {for (entry in files) printf "%d %.0f %s\n", files[entry], bytes[entry], entry}' | sort -k2,2nr |
  awk 'NR <= 60 {print} END {if (NR > 60) print "incomplete"}' # what SSM answers with is 24,000 characters at most
# Not everything could be looked at in the time that there is, or could be read at all.
[ "${PIPESTATUS[0]}" = 0 ] || echo incomplete
echo end
