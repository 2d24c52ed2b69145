from __future__ import annotations

import pytest

from pcinfra.errors import PcinfraError
from pcinfra.localcloud.slurm.config import (
    InstanceFacts,
    boot_seconds,
    cluster_spec,
    compute_nodes,
    idle_seconds,
    login_user,
    static_nodes,
)
from tests.local.slurm.clusters import TYPES, config, spec_of

P5 = {
    "InstanceType": "p5.48xlarge",
    "VCpuInfo": {"DefaultVCpus": 192, "DefaultCores": 96, "DefaultThreadsPerCore": 2},
    "MemoryInfo": {"SizeInMiB": 2097152},
    "GpuInfo": {"Gpus": [{"Name": "H100", "Manufacturer": "NVIDIA", "Count": 8}]},
    "InstanceStorageSupported": True,
}


def test_nodes_are_called_as_parallelcluster_calls_them() -> None:
    assert [node.name for node in static_nodes(config(3))] == ["gpu-st-p5-1", "gpu-st-p5-2", "gpu-st-p5-3"]


def test_a_p5_is_as_large_as_on_aws() -> None:
    node = spec_of(config()).nodes[0]
    assert (node.cpus, node.memory, node.gpus, node.gpu) == (192, 1992294, 8, "h100")
    assert node.features == ("static", "p5.48xlarge", "p5", "efa", "gpu")
    assert node.scratch == "/scratch"


def test_facts_are_read_from_ec2s_answer() -> None:
    assert InstanceFacts.of(P5) == TYPES["p5.48xlarge"]


def test_gpus_of_other_makers_are_no_gpus_of_slurm() -> None:
    gpus = [{"Name": "Radeon Pro V520", "Manufacturer": "AMD", "Count": 4}]
    assert InstanceFacts.of({**P5, "GpuInfo": {"Gpus": gpus}}).gpus == 0


def test_names_of_gpus_lose_their_spaces() -> None:
    gpus = [{"Name": "RTX PRO Server 6000", "Manufacturer": "NVIDIA", "Count": 8}]
    facts = InstanceFacts.of({**P5, "GpuInfo": {"Gpus": gpus}})
    addresses = {"gpu-st-p5-1": "10.1.0.1"}
    types = {**TYPES, "p5.48xlarge": facts}
    spec = cluster_spec("c", config(1), types=types, head_address="10.0.0.1", addresses=addresses)
    assert spec.nodes[0].gpu == "rtxproserver6000"


def test_a_node_without_an_instance_has_no_address() -> None:
    addresses = {"gpu-st-p5-2": "10.1.0.2"}
    spec = cluster_spec("c", config(2, 2), types=TYPES, head_address="10.0.0.1", addresses=addresses)
    assert {node.name: node.address for node in spec.nodes} == {
        "gpu-st-p5-1": "", "gpu-st-p5-2": "10.1.0.2", "gpu-dy-p5-1": "", "gpu-dy-p5-2": "",
    }  # fmt: skip
    assert spec.partitions[0].nodes == tuple(node.name for node in spec.nodes)


def test_dynamic_nodes_fill_up_to_max_count() -> None:
    assert [node.name for node in compute_nodes(config(1, 2)) if node.dynamic] == ["gpu-dy-p5-1", "gpu-dy-p5-2"]
    resource = {"Name": "c", "InstanceType": "m5.8xlarge", "MinCount": 2, "MaxCount": 2}
    assert [node.name for node in compute_nodes(config(ComputeResources=[resource]))] == ["gpu-st-c-1", "gpu-st-c-2"]
    many = compute_nodes(config(ComputeResources=[{"Name": "c", "InstanceType": "m5.8xlarge"}]))
    assert len(many) == 10, "MaxCount is 10 when nothing is said"
    assert spec_of(config(1, 2)).nodes[1].features[0] == "dynamic"


@pytest.mark.parametrize(("minutes", "seconds"), [(None, 60), (10, 60), (1, 6), (0, 6), (-1, 0)])
def test_a_minute_of_idleness_is_shorter_here(minutes: int | None, seconds: int) -> None:
    content = config()
    content["Scheduling"]["SlurmSettings"] = {} if minutes is None else {"ScaledownIdletime": minutes}
    assert idle_seconds(content) == seconds


def test_custom_actions_give_a_node_the_time_that_aws_gives_it() -> None:
    assert boot_seconds(config()) == 60
    acting = config(CustomActions={"OnNodeStart": {"Script": "s3://b/k"}})
    assert boot_seconds(acting) == 1800
    acting["DevSettings"] = {"Timeouts": {"ComputeNodeBootstrapTimeout": 2400}}
    assert boot_seconds(acting) == 2400


def test_home_is_shared_even_when_no_storage_says_so() -> None:
    assert spec_of(config()).shared == ("/home", "/lustre")
    assert spec_of({**config(), "SharedStorage": None}).shared == ("/home",)


def test_a_mount_point_may_come_without_its_slash() -> None:
    assert "/fsx" in spec_of({**config(), "SharedStorage": [{"MountDir": "fsx"}]}).shared


@pytest.mark.parametrize(
    ("system", "user"),
    [("ubuntu2404", "ubuntu"), ("alinux2023", "ec2-user"), ("rhel9", "ec2-user"), ("rocky9", "rocky")],
)
def test_the_user_is_that_of_the_operating_system(system: str, user: str) -> None:
    assert login_user({"Image": {"Os": system}}) == user


def test_an_unknown_operating_system_is_refused() -> None:
    with pytest.raises(PcinfraError, match="plan9"):
        login_user({"Image": {"Os": "plan9"}})


def test_the_users_are_parallelclusters_own() -> None:
    constants = pytest.importorskip("pcluster.constants", reason="aws-parallelcluster is not installed")
    for system, mapping in constants.OS_MAPPING.items():
        assert login_user({"Image": {"Os": system}}) == mapping["user"]
