"""Projects, inputs and configurations that the tests of clusters share."""

from __future__ import annotations

import pytest

from pcinfra.clusters.inputs import ClusterInputs, inputs_from_outputs
from pcinfra.project import Project

OUTPUTS = {
    "VPC": "vpc-0a1b2c3d4e5f60718",
    "PublicSubnet": "subnet-0a1b2c3d4e5f60718",
    "PrimaryPrivateSubnet": "subnet-0b1b2c3d4e5f60718",
    "SecurityGroup": "sg-0a1b2c3d4e5f60718",
    "FSxLustreFilesystemId": "fs-0a1b2c3d4e5f60718",
    "FSxORootVolumeId": "fsvol-0a1b2c3d4e5f60718",
    "DatabaseUri": "stack.cluster-a1b2c3.us-east-1.rds.amazonaws.com:3306",
    "DatabaseUser": "slurm",
    "DatabaseSecret": "arn:aws:secretsmanager:us-east-1:123456789012:secret:DatabasePassword-A1B2C3-d4E5f6",
    "DatabaseClientGroup": "sg-0c1b2c3d4e5f60718",
    "NodePolicy": "arn:aws:iam::123456789012:policy/parallelcluster/pcinfra/us-east-1/stack/stack-NodePolicy-A1B2C3",
}


@pytest.fixture(scope="session")
def project() -> Project:
    return Project()


@pytest.fixture
def outputs() -> dict[str, str]:
    return dict(OUTPUTS)


@pytest.fixture(scope="session")
def inputs(project: Project) -> ClusterInputs:
    return inputs_from_outputs(OUTPUTS, project, "123456789012")
