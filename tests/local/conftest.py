"""A two-node Slurm of the local cloud for the tests of one file; a file that needs another has fixtures of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pcinfra.jobs.slurm.launcher import SlurmLauncher
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from tests.local.machine import DirectHeadNode, two_nodes


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    cluster = two_nodes(tmp_path_factory.mktemp("slurm") / "train")
    cluster.start()
    yield cluster
    cluster.destroy()


@pytest.fixture(scope="module")
def head(cluster: SlurmCluster) -> DirectHeadNode:
    return DirectHeadNode(cluster)


@pytest.fixture(scope="module")
def launcher(head: DirectHeadNode) -> SlurmLauncher:
    return SlurmLauncher(head)
