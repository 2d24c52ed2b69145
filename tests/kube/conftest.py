"""One API server for all tests here, with Trainer v2.1 and the training operator's CRDs; a namespace for each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from pcinfra.jobs.kubernetes.api import LiveApi
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.render.runtimes import RUNTIMES
from tests.kube.command import JOB, Pcinfra
from tests.kube.server import Server, running

CRDS = (
    "trainer-v2.1.0-trainjobs",
    "trainer-v2.1.0-clustertrainingruntimes",
    "training-operator-v1.8.1-pytorchjobs",
    "jobset-v0.10.1-jobsets",
)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("kube")
    with running(folder, CRDS) as found:
        api = found.api()
        for make in RUNTIMES.values():
            api.call("POST", "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes", body=make(Dialect.V2_1))
        yield found


@pytest.fixture
def api(server: Server) -> LiveApi:
    """The server, as its administrator, in a namespace of the test's own."""
    name = f"test-{secrets.token_hex(4)}"
    found = server.api(name)
    found.call("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
    return found


@pytest.fixture
def pcinfra(server: Server, api: LiveApi, tmp_path: Path) -> Pcinfra:
    """The command line in a folder with ``train.yaml``, and that namespace."""
    (tmp_path / "train.yaml").write_text(JOB)
    return Pcinfra(tmp_path, server.kubeconfig(api.namespace))
