"""The CRDs of the Kubeflow projects: they lie beside the checkout, or where PCINFRA_CRDS says."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import pytest

from pcinfra.jobs.kubernetes.check import Schemas
from pcinfra.jobs.kubernetes.schema.crd import Resource, read_file

FOLDER = Path(os.environ.get("PCINFRA_CRDS") or Path(__file__).parents[5] / "shared" / "kubeflow-crds")
FILES = {
    "v2.1": (
        "trainer-v2.1.0-trainjobs",
        "trainer-v2.1.0-clustertrainingruntimes",
        "training-operator-v1.8.1-pytorchjobs",
    ),
    "v2.3": (
        "trainer-v2.3.0-trainjobs",
        "trainer-v2.3.0-clustertrainingruntimes",
        "training-operator-v1.8.1-pytorchjobs",
    ),
}
needed = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason=f"the CRDs of the Kubeflow Trainer are not in {FOLDER}; PCINFRA_CRDS says where they are",
)


@lru_cache
def schemas(version: str) -> Schemas:
    """Return what a cluster with this Trainer and the training operator v1.8.1 has."""
    return Schemas.of(resource for name in FILES[version] for resource in read_file(FOLDER / f"{name}.yaml"))


def resource(version: str, kind: str) -> Resource:
    return schemas(version).resources[kind]
