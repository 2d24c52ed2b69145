"""Every example of the guide as a job file, in each of its forms, is taken by a real API server as it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pcinfra.jobs.kubernetes import jobrules, prepare
from pcinfra.jobs.kubernetes.api import LiveApi
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
from pcinfra.jobs.kubernetes.reading import claims
from pcinfra.jobs.kubernetes.settings import Kind
from pcinfra.jobs.launcher import Query
from pcinfra.jobs.load import load
from tests.kube.server import needed

pytestmark = needed

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("pytorch-dist-job", "multi-node-train", "elastic-train", "trainjob-pytorch", "sweep")
KINDS: tuple[Kind, ...] = ("TrainJob", "PyTorchJob")
FORMS: list[tuple[str, Kind]] = [(name, kind) for name in NAMES for kind in KINDS]
FORMS.append(("trainjob-tensorflow", "TrainJob"))


@pytest.mark.parametrize(("name", "kind"), FORMS)
def test_an_example_is_taken(api: LiveApi, name: str, kind: Kind) -> None:
    taken(api, name, kind)


def taken(api: LiveApi, name: str, kind: Kind) -> None:
    """Submit an example, and see that it is there; the claims that it names are made before."""
    launcher = KubernetesLauncher(api)
    dialect = launcher.reading.schemas.dialect
    assert dialect is not None
    job = prepare.prepare(load(EXAMPLES / f"{name}.yaml", rules=[jobrules.findings]), kind, namespace=api.namespace)
    sent = prepare.render(job, kind, dialect).manifest(job.run)
    for claim in claims(json.loads(sent.files[0].content)):
        spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
        path = f"/api/v1/namespaces/{api.namespace}/persistentvolumeclaims"
        api.call("POST", path, body={"metadata": {"name": claim}, "spec": spec})
    launcher.submit(sent)
    assert [status.run for status in launcher.runs(Query())] == [job.run]
