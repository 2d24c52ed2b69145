"""Fixtures that several folders use."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from pcinfra.aws import Target
from pcinfra.project import Bucket, Image, Prerequisites, Project
from tests.account import Account

# How long an example takes is no property of it: a busy machine fails no test.
settings.register_profile("pcinfra", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pcinfra")

# A shell ignores Ctrl-C for what it starts in the background, and every child would inherit that.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_configuration_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have AWS credentials, a profile or a Slurm; no test may see them."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "SLURM_", "PCINFRA_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def local_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A running local cloud, one for each test process."""
    pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")
    from pcinfra.localcloud.process import LocalCloud

    cloud = LocalCloud(Path(tmp_path_factory.mktemp("cloud")) / "local")
    endpoint = cloud.ensure()
    yield Target("us-east-1", endpoint=endpoint.url, credentials=endpoint.credentials, registry=False)
    cloud.stop()


def new_project(**settings: Any) -> Project:
    """Return a project whose every name is its own, so that tests share an account."""
    mark = uuid4().hex[:10]
    return Project(
        project=f"p-{mark}",
        prerequisites=Prerequisites(stack=f"stack-{mark}"),
        bucket=Bucket(name=f"bucket-{mark}"),
        images={"pytorch": Image(repository=f"images-{mark}")},
        **settings,
    )


@pytest.fixture
def account(local_target: Target) -> Account:
    """An account of the local cloud with a project of this test's own."""
    return Account(local_target, new_project())
