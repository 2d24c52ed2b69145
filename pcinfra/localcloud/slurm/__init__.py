"""A real Slurm on this machine: munged, slurmctld and a slurmd per node, from a ParallelCluster configuration.

::

    config      cluster configuration -> Spec
    spec        what a cluster is, as data
    conf        Spec -> slurm.conf, gres.conf, cgroup.conf
    access      what a cluster that runs can be asked: commands on its nodes, Slurm's view of them
    readiness   waits until it is up
    cluster     SlurmCluster: start, stop, change, crash a node
    namespaced  nodes with namespaces of their own (root)
    sharedhost  nodes that share this host (no rights needed)
    fleet       starts and ends supervisors
    supervisor  the process that holds one node: network, rootfs, daemons
    records     which processes are ours
    packages    which programs are needed

This package's modules up to ``supervisor`` are imported by every node's first process: they import nothing heavy.
"""
