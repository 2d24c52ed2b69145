# The environment of the job.
