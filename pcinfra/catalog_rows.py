"""The rows of the catalog, from what EC2's DescribeInstanceTypes answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

COLUMNS = (
    "name", "architecture", "vcpus", "memory_mib", "gpus", "gpu", "gpu_memory_mib", "network", "network_cards",
    "efa_cards", "nvme_disks", "nvme_gb",
)  # fmt: skip


def row(answer: Mapping[str, Any]) -> str:
    """Return the line of one InstanceTypeInfo (EC2 API reference), without its end."""
    gpus = [gpu for gpu in answer.get("GpuInfo", {}).get("Gpus", ()) if gpu.get("Manufacturer") == "NVIDIA"]
    network = answer.get("NetworkInfo", {})
    storage = answer.get("InstanceStorageInfo", {})
    nvme = storage if storage.get("NvmeSupport", "unsupported") != "unsupported" else {}
    values = (
        answer["InstanceType"],
        _architecture(answer),
        answer["VCpuInfo"]["DefaultVCpus"],
        answer["MemoryInfo"]["SizeInMiB"],
        sum(int(gpu["Count"]) for gpu in gpus),
        gpus[0]["Name"] if gpus else "",
        gpus[0]["MemoryInfo"]["SizeInMiB"] if gpus else 0,
        str(network.get("NetworkPerformance", "")).replace(",", ""),
        network.get("MaximumNetworkCards", 1),
        network.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0) if network.get("EfaSupported") else 0,
        sum(int(disk["Count"]) for disk in nvme.get("Disks", ())),
        nvme.get("TotalSizeInGB", 0),
    )
    return ",".join(str(value) for value in values)


def text(answers: Iterable[Mapping[str, Any]], about: str) -> str:
    """Return the catalog as a file: ``about`` in its comments, the columns, a line for each type that we can use."""
    usable = (answer for answer in answers if _architecture(answer) and "VCpuInfo" in answer)
    lines = sorted((row(answer) for answer in usable), key=_order)
    return "\n".join([*(f"# {line}" for line in about.splitlines()), ",".join(COLUMNS), *lines]) + "\n"


def _architecture(answer: Mapping[str, Any]) -> str:
    """Return the architecture that nodes run; empty for types that only macOS or 32 bits run on."""
    said = answer.get("ProcessorInfo", {}).get("SupportedArchitectures", ())
    return next((name for name in ("x86_64", "arm64") if name in said), "")


_SIZES = ("nano", "micro", "small", "medium", "large", "xlarge")


def _order(line: str) -> tuple[str, int, str]:
    family, _, size = line.partition(",")[0].partition(".")
    number = size.removesuffix("xlarge")
    place = len(_SIZES) + int(number) if number.isdigit() else _SIZES.index(size) if size in _SIZES else 999
    return family, place, size
