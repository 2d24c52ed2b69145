"""Every choice of the prerequisites, made for real on the local cloud: what CloudFormation and FSx then have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pcinfra.aws import Target
from pcinfra.engine import Plan
from pcinfra.project import Lustre, Project
from pcinfra.stages.prerequisites import StackFacts
from tests.account import Account
from tests.conftest import new_project


def project_with(**prerequisites: Any) -> Project:
    """Return a project of its own with these settings of the prerequisites."""
    project = new_project()
    return project.model_copy(
        update={"prerequisites": project.prerequisites.model_copy(update=prerequisites)},
    )


@contextmanager
def standing(target: Target, project: Project) -> Iterator[Account]:
    """Yield an account in which the prerequisites of ``project`` stand; take them away afterwards."""
    account = Account(target, project)
    plan = account.plan()
    account.run(Plan(tuple(action for action in plan.actions if action.stage == "prerequisites")))
    yield account
    assert not [action for action in account.plan().actions if action.stage == "prerequisites"]
    account.run_only("prerequisites")


def outputs(account: Account) -> dict[str, str]:
    return dict(account.facts().of(StackFacts).outputs)


def file_system(account: Account, output: str) -> dict[str, Any]:
    found = account.call("fsx", "DescribeFileSystems", FileSystemIds=[outputs(account)[output]])
    system: dict[str, Any] = found["FileSystems"][0]
    return system


LUSTRE = {
    "scratch": Lustre(deployment_type="SCRATCH_2", throughput=None),
    "persistent 1": Lustre(deployment_type="PERSISTENT_1", throughput=50, version="2.12"),
    "hdd": Lustre(deployment_type="PERSISTENT_1", storage_type="HDD", throughput=12, capacity=6000),
    "hdd with cache": Lustre(
        deployment_type="PERSISTENT_1", storage_type="HDD", throughput=40, capacity=1800, drive_cache="READ"
    ),
    "metadata": Lustre(metadata_iops=12000),
    "without metadata": Lustre(version="2.12", throughput=1000, compression="NONE"),
    "efa": Lustre(throughput=1000, capacity=4800, efa=True),
}


@pytest.mark.parametrize("lustre", LUSTRE.values(), ids=LUSTRE.keys())
def test_lustre_is_what_was_chosen(local_target: Target, lustre: Lustre) -> None:
    with standing(local_target, project_with(lustre=lustre)) as account:
        system = file_system(account, "FSxLustreFilesystemId")
    made = system["LustreConfiguration"]
    assert (system["StorageType"], system["StorageCapacity"]) == (lustre.storage_type, lustre.capacity)
    assert (made["DeploymentType"], system["FileSystemTypeVersion"]) == (lustre.deployment_type, lustre.version)
    assert made.get("PerUnitStorageThroughput") == lustre.throughput
    assert made["DataCompressionType"] == lustre.compression
    assert made.get("DriveCacheType") == (lustre.drive_cache if lustre.storage_type == "HDD" else None)
    assert made.get("MetadataConfiguration", {}).get("Iops") == lustre.metadata_iops
    assert made.get("EfaEnabled", False) is lustre.efa
