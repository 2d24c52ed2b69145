# The environment of the job.
values=(0.1 'it'"'"'s' '')
export RATE="${values[PCINFRA_TASK / 2 % 3]}"
values=(1 2)
export SEED="${values[PCINFRA_TASK / 1 % 2]}"
unset values
