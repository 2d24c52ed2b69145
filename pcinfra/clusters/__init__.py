"""ParallelCluster clusters: rendered, checked, created and deleted by the unmodified pcluster."""
