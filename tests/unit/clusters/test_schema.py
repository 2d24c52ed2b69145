"""Our copy of pcluster's schema against pcluster's own: the same verdict, and the same places."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pcinfra.clusters.inputs import ClusterInputs
from pcinfra.clusters.pcluster import BROKE_OFF, schema_findings
from pcinfra.clusters.render import render
from pcinfra.clusters.schema import VERSIONS, check, load
from pcinfra.clusters.schema.compile import compiled
from pcinfra.project import SHAPES, Accounting, Cluster, LoginNodes

FOLDER = Path(__file__).parents[3] / "pcinfra" / "clusters" / "schema"
INSTALLED = "3.16.1"

MORE: dict[str, Any] = {
    "DirectoryService": {
        "DomainName": "corp",
        "DomainAddr": "ldap://x",
        "PasswordSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:ad-AbCdEf",
        "DomainReadOnlyUser": "u",
    },
    "AdditionalPackages": {"IntelSoftware": {"IntelHpcPlatform": False}},
    "HeadNode": {"Dcv": {"Enabled": True, "AllowedIps": "10.0.0.0/8"}, "Ssh": {"AllowedIps": "pl-12345"}},
    "SharedStorage": [
        {"Name": "a", "MountDir": "/a", "StorageType": "Ebs", "EbsSettings": {"Size": 100, "VolumeType": "gp3"}},
        {
            "Name": "b",
            "MountDir": "/b",
            "StorageType": "Efs",
            "EfsSettings": {"ThroughputMode": "provisioned", "ProvisionedThroughput": 2},
        },
        {"Name": "c", "MountDir": "/c", "StorageType": "FsxLustre", "FsxLustreSettings": {"StorageCapacity": 1200}},
    ],
}


def whole(inputs: ClusterInputs) -> dict[str, Any]:
    """Return a configuration that uses much of the schema."""
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:slurm-AbCdEf"
    cluster = Cluster(
        shape="mixed",
        login_nodes=LoginNodes(count=1),
        accounting=Accounting(database_uri="db:3306", database_user="slurm", password_secret=secret),
        overrides=MORE,
    )
    found: dict[str, Any] = yaml.safe_load(render("train", cluster, inputs))
    return found


@pytest.fixture(scope="module")
def config(inputs: ClusterInputs) -> dict[str, Any]:
    return whole(inputs)


def test_the_file_is_that_of_the_installed_pcluster() -> None:
    assert json.loads((FOLDER / "3.16.json").read_text()) == compiled()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_right_for_every_version(shape: str, version: str, inputs: ClusterInputs) -> None:
    text = render("train", Cluster.model_validate({"shape": shape, "pcluster_version": f"{version}.0"}), inputs)
    assert check(load(version), yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    ("version", "path", "key"),
    [
        ("3.14", ("LoginNodes", "Pools", 0, "Ssh"), None),
        ("3.15", ("LoginNodes", "Pools", 0, "Ssh"), "KeyName"),
        ("3.14", ("DevSettings",), "EfaInterfaceType"),
        ("3.16", ("DevSettings",), None),
        ("3.15", ("DevSettings", "Timeouts"), "ComputeInstanceInfoTimeout"),
    ],
)
def test_versions_differ(version: str, path: tuple[str | int, ...], key: str | None, inputs: ClusterInputs) -> None:
    config = whole(inputs)
    config["LoginNodes"]["Pools"][0]["Ssh"] = {"KeyName": "k"} if path[0] == "LoginNodes" else {}
    config["DevSettings"]["EfaInterfaceType"] = "efa"
    config["DevSettings"]["Timeouts"]["ComputeInstanceInfoTimeout"] = 60
    found = {fault.path for fault in check(load(version), config)}
    assert ((*path, key) in found) if key else not [at for at in found if at[: len(path)] == path]


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1, 99999, 1.5, "", "x", "1", "yes", "/NONE", "gp3", "10.0.0.0/8", [], {}, ["x"], [1], {"a": 1},
     [None], [{}], {"Script": "s3://x"}, {"Sequence": [{"Script": "s3://x"}]}, {"Sequence": 3}, "parallelcluster:x",
     [{"Key": "a", "Value": "b"}, {"Key": "a", "Value": "c"}], [{"InstanceType": "a"}, {"InstanceType": "a"}]]
)  # fmt: skip


def places(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(found for key, value in pairs for found in places(value, (*path, key)))]


def put(config: Any, path: tuple[str | int, ...], change: str, value: Any) -> Any:
    """Return ``config`` with one value replaced, removed, renamed, or a key added beside it."""
    changed = copy.deepcopy(config)
    holder = changed
    for step in path[:-1]:
        holder = holder[step]
    key = path[-1]
    if change == "replace":
        holder[key] = value
    elif change == "remove" and isinstance(holder, dict):
        del holder[key]
    elif change == "rename" and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    elif isinstance(holder, dict):
        holder["AdditionalSecurityGroups" if "SecurityGroups" in holder else "InstanceRole"] = value
    return changed


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_one_change_anywhere_is_judged_as_pcluster_judges_it(config: dict[str, Any], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(places(config)[1:]))
    change = data.draw(st.sampled_from(["replace", "replace", "remove", "rename", "add"]))
    changed = put(config, path, change, data.draw(JUNK))
    ours = {dotted(fault.path) for fault in check(load(INSTALLED), changed)}
    theirs = {finding.where for finding in schema_findings("train", changed, "us-east-1")}
    assert ours == theirs or (ours and theirs == {BROKE_OFF})


def dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
