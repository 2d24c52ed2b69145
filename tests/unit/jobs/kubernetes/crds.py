"""The CRDs of the Kubeflow projects: they lie beside the checkout, or where PCINFRA_CRDS says."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import pytest

from pcinfra.jobs.kubernetes.check import Schemas
from pcinfra.jobs.kubernetes.schema.crd import Resource, read_file

FOLDER = Path(os.environ.get("PCINFRA_CRDS") or Path(__file__).parents[5] / "shared" / "kubeflow-crds")
VERSIONS = {"v2.1": "v2.1.0", "v2.3": "v2.3.0"}
needed = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason=f"the CRDs of the Kubeflow Trainer are not in {FOLDER}; PCINFRA_CRDS says where they are",
)


@lru_cache
def schemas(version: str) -> Schemas:
    """Return what a cluster with this Trainer and the training operator v1.8.1 has."""
    trainer = f"trainer-{VERSIONS[version]}"
    files = (f"{trainer}-trainjobs", f"{trainer}-clustertrainingruntimes", "training-operator-v1.8.1-pytorchjobs")
    return Schemas.of(resource for name in files for resource in read_file(FOLDER / f"{name}.yaml"))


def resource(version: str, kind: str) -> Resource:
    return schemas(version).resources[kind]
