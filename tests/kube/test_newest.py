"""Trainer v2.3 on a real API server of its own: what is installed is found out, and the jobs fit it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from pcinfra.errors import UsageError
from pcinfra.jobs.kubernetes import prepare
from pcinfra.jobs.kubernetes.api import LiveApi
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.launcher import KubernetesLauncher
from pcinfra.jobs.kubernetes.render.runtimes import RUNTIMES
from pcinfra.jobs.kubernetes.settings import Kind
from pcinfra.jobs.launcher import Query, State
from pcinfra.jobs.load import Job as Loaded
from tests.kube.agreement import compare, within
from tests.kube.server import Server, needed, running
from tests.kube.test_examples import FORMS, taken
from tests.unit.jobs.kubernetes.jobs import FULL, PLAIN, TENSORFLOW, spec

pytestmark = needed

CRDS = ("trainer-v2.3.0-trainjobs", "trainer-v2.3.0-clustertrainingruntimes", "training-operator-v1.8.1-pytorchjobs",
        "jobset-v0.12.0-jobsets")  # fmt: skip
ON_HOSTS = {**FULL, "kubernetes": {**FULL["kubernetes"], "volumes": [{"path": "/lustre", "host_path": "/lustre"}]}}
RUNTIMES_PATH = "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes"


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("newest"), CRDS, controllers=False) as found:
        for make in RUNTIMES.values():
            found.api().call("POST", RUNTIMES_PATH, body=make(Dialect.V2_2))
        yield found


@pytest.fixture
def api(newest: Server) -> LiveApi:
    name = f"test-{secrets.token_hex(4)}"
    newest.api().call("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
    return newest.api(name)


def test_the_server_agrees(api: LiveApi) -> None:
    compare(api, "TrainJob")


def test_the_runtimes_are_stored_as_they_were_sent(api: LiveApi) -> None:
    for name, make in RUNTIMES.items():
        assert within(make(Dialect.V2_2)["spec"], api.call("GET", f"{RUNTIMES_PATH}/{name}")["spec"])


@pytest.mark.parametrize("fields", [ON_HOSTS, PLAIN, TENSORFLOW], ids=["full", "plain", "tensorflow"])
def test_a_run_is_submitted_stored_whole_and_cancelled(api: LiveApi, fields: dict[str, Any]) -> None:
    launcher = KubernetesLauncher(api)
    assert launcher.reading.schemas.dialect is Dialect.V2_2
    given = spec(fields)
    loaded = Loaded(given, b"#!/bin/sh\n" if given.script else b"")
    job = prepare.prepare(loaded, "TrainJob", namespace=api.namespace)
    run = prepare.render(job, "TrainJob", Dialect.V2_2).manifest(job.run)
    launcher.submit(run)
    stored = api.call("GET", f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{api.namespace}/trainjobs/{job.run}")
    assert within(json.loads(run.files[0].content)["spec"], stored["spec"])
    assert launcher.cancel(job.run).state is State.CANCELLED
    assert launcher.runs(Query(5)) == []


@pytest.mark.parametrize(("name", "kind"), FORMS)
def test_the_guides_examples_are_taken(api: LiveApi, name: str, kind: Kind) -> None:
    taken(api, name, kind)


def test_a_manifest_for_another_version_is_refused_before_it_loses_its_volumes(api: LiveApi) -> None:
    job = prepare.prepare(Loaded(spec(FULL), b"#!/bin/sh\n"), "TrainJob", namespace=api.namespace)
    old = prepare.render(job, "TrainJob", Dialect.V2_1)
    with pytest.raises(UsageError, match="podTemplateOverrides"):
        KubernetesLauncher(api).submit(old.manifest(job.run))
    assert KubernetesLauncher(api).runs(Query(5)) == []
