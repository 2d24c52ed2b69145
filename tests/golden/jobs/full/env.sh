# The environment of the job.
export NOTE='a '"'"'b'"'"' "c" $(d)
	e'
export EPOCHS=3
