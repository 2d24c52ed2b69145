# Prints what Slurm knows of its queues, nodes and jobs, a line each, compressed: encoded.sh goes before.
# Free text (a reason, a job's name) is last on its line. %T: state with its flag, %E: reason, %H: since when, %L: time left.
file=$(mktemp) || exit
trap 'rm -f -- "$file"' EXIT
{
  timeout 20 sinfo -h -o 'queue|%R|%a' &&
    timeout 20 sinfo -h -N -o 'node|%N|%R|%T|%H|%E' &&
    timeout 20 squeue -h -o 'job|%i|%P|%T|%u|%D|%N|%L|%j'
} >"$file" || exit
encoded 23000 "$file" 0
