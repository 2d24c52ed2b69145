"""An account of the local cloud inside the test's own process: CloudFormation is ours, the rest moto's and ours."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import pytest

from tests.local.cfn.harness import Cloud

pytest.importorskip("moto", reason="the local cloud is not installed: pip install 'pcinfra[local]'")


@lru_cache(maxsize=1)
def _services() -> None:
    """Change moto's services once; every change stays for the whole process."""
    from pcinfra.localcloud.services import ec2, fsx, iam, rds, s3

    iam.install()
    rds.install()
    fsx.install()
    ec2.install(lambda _instances: None)
    s3.install()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A fresh account in us-east-1."""
    import pcinfra.localcloud.cfn as cfn

    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("PCINFRA_LOCAL_DELAY", "0.05")
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # they cost a second for each account
    _services()
    cfn.install()
    from moto import mock_aws

    with mock_aws():
        cloud = Cloud()
        yield cloud
        cloud.settle()
    cfn.install()
