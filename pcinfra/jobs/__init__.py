"""Jobs: what to run (:mod:`~pcinfra.jobs.spec`), rendered for a backend and submitted by its launcher."""
