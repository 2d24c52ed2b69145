"""Slurm as a backend: a JobSpec becomes a run directory, submitted with sbatch on a cluster's head node."""
