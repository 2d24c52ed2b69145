from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pcinfra.localcloud.slurm import packages
from pcinfra.localcloud.slurm.cluster import SlurmCluster
from tests.local.slurm.clusters import config, spec_of


@pytest.fixture(scope="session")
def _slurm() -> None:
    absent = packages.missing(root=os.geteuid() == 0)
    if absent:
        pytest.skip(f"the local Slurm needs {', '.join(absent)}: {packages.INSTALL}")


@pytest.fixture(scope="session")
def _root(_slurm: None) -> None:
    if os.geteuid() != 0:
        pytest.skip("nodes with namespaces of their own need root")


@pytest.fixture(scope="module")
def cluster(_root: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A running cluster of two p5.48xlarge, for tests that leave it as it is."""
    made = SlurmCluster.create(tmp_path_factory.mktemp("slurm"), spec_of(config()))
    made.start()
    yield made
    made.destroy()


@pytest.fixture
def own(_root: None, tmp_path: Path) -> Iterator[SlurmCluster]:
    """A cluster that is not started, for a test that breaks it."""
    made = SlurmCluster.create(tmp_path / "cluster", spec_of(config()))
    yield made
    made.destroy()
