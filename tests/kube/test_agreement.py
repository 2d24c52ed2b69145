"""Our check agrees with a real server's, by the CRDs of Trainer v2.1 and of the training operator."""

from __future__ import annotations

import pytest

from pcinfra.jobs.kubernetes.api import LiveApi
from tests.kube.agreement import compare
from tests.kube.server import needed

pytestmark = needed


@pytest.mark.parametrize("kind", ["TrainJob", "PyTorchJob"])
def test_the_server_agrees(api: LiveApi, kind: str) -> None:
    compare(api, kind)
