"""How the parts of an instance are joined: known families in words, every type of the catalog without a gap."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pcinfra import catalog, catalog_rows
from pcinfra.cli.main import root
from pcinfra.errors import UsageError
from pcinfra.interconnect import paths, picture


@pytest.mark.parametrize(
    ("name", "gpu", "node"),
    [
        (
            "p5.48xlarge",
            "8 H100: NVLink 4 through NVSwitch, 900 GB/s for each",
            "EFA on 32 network cards, 3200 Gigabit",
        ),
        ("p4d.24xlarge", "8 A100: NVLink 3 through NVSwitch, 600 GB/s for each", "EFA on 4 network cards"),
        ("p5.4xlarge", "one H100: none needed", "EFA on 1 network card, 100 Gigabit"),
        ("g5.12xlarge", "4 A10G: none of their own, over PCIe and the CPUs' memory", "EFA on 1 network card"),
        ("trn2.48xlarge", "16 Trainium2: NeuronLink 3 in a 4x4 torus", "EFA on 16 network cards"),
        ("p3dn.24xlarge", "8 V100: NVLink 2, 300 GB/s for each", "EFA on 1 network card, 100 Gigabit"),
        ("c7i.large", "no NVIDIA GPUs", "ENA (TCP), Up to 12.5 Gigabit; no EFA"),
    ],
)
def test_known_types_in_the_guides_words(name: str, gpu: str, node: str) -> None:
    found = dict(paths(catalog.find(name)))
    assert found["GPU interconnect"] == gpu
    assert found["node interconnect"].startswith(node)
    assert found["system interconnect"].startswith("PCIe")
    assert found["I/O path"].startswith("S3 → Lustre")


def test_every_type_has_a_picture() -> None:
    for name in catalog.names():
        kind = catalog.find(name)
        assert f"{kind.vcpus} vCPUs" in picture(kind)
        assert "other nodes" in picture(kind)


def run(*arguments: str, folder: Path | None = None) -> Result:
    file = ["-f", str(folder / "pcinfra.yaml")] if folder else []
    return CliRunner().invoke(root, [*file, "instances", *arguments])


def test_the_table_shows_what_is_for_training_and_all_on_request() -> None:
    some = json.loads(run("-o", "json").output)
    assert all(row["gpus"] or row["efa_cards"] for row in some)
    every = json.loads(run("--all", "-o", "json").output)
    assert len(every) == len(catalog.names()) > len(some) > 100
    assert {row["name"] for row in json.loads(run("--family", "p5.", "-o", "json").output)} == {
        "p5.4xlarge",
        "p5.48xlarge",
    }


def test_one_type_and_an_unknown_one() -> None:
    assert json.loads(run("p5.48xlarge", "-o", "json").output)["interconnect"]["GPU interconnect"].startswith("8 H100")
    assert isinstance(run("p5.48xlrge").exception, UsageError)


NEW = {
    "InstanceType": "p9.48xlarge",
    "ProcessorInfo": {"SupportedArchitectures": ["arm64"]},
    "VCpuInfo": {"DefaultVCpus": 100},
    "MemoryInfo": {"SizeInMiB": 1024},
    "GpuInfo": {"Gpus": [{"Name": "X", "Manufacturer": "NVIDIA", "Count": 4, "MemoryInfo": {"SizeInMiB": 2048}}]},
    "NetworkInfo": {
        "NetworkPerformance": "9,600 Gigabit",
        "MaximumNetworkCards": 17,
        "EfaSupported": True,
        "EfaInfo": {"MaximumEfaInterfaces": 16},
    },
    "InstanceStorageInfo": {"NvmeSupport": "required", "TotalSizeInGB": 30, "Disks": [{"Count": 3, "SizeInGB": 10}]},
}


def test_a_refreshed_catalog_wins_and_is_forgotten_again(tmp_path: Path) -> None:
    path = tmp_path / ".pcinfra" / "instances.csv"
    path.parent.mkdir()
    path.write_text(catalog_rows.text([NEW], "EC2 API, somewhere"))
    (tmp_path / "pcinfra.yaml").write_text("project: training\n")
    try:
        found = json.loads(run("p9.48xlarge", "-o", "json", folder=tmp_path).output)
        assert (found["gpus"], found["network_cards"], found["efa_cards"], found["nvme_disks"]) == (4, 17, 16, 3)
        assert found["network"] == "9600 Gigabit"
        assert catalog.get("p5.48xlarge") is not None
    finally:
        catalog.forget()
    assert catalog.get("p9.48xlarge") is None


def test_a_broken_line_of_a_refreshed_catalog_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "instances.csv"
    path.write_text("# x\nname,architecture\np9.48xlarge,arm64\n")
    try:
        catalog.use(path)
        assert catalog.get("p9.48xlarge") is None
    finally:
        catalog.forget()
