"""The ways that data takes inside an instance and between instances, in words and as a picture. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pcinfra.catalog import InstanceType

_DATA = Path(__file__).with_name("interconnect.csv")
SOURCE = "NVIDIA data sheets and AWS Neuron documentation (pcinfra/interconnect.csv, 2026-11-25)"


@dataclass(frozen=True, slots=True)
class Joined:
    """How the accelerators of a family are joined; ``gb_per_s`` of one of them, 0 when it is not known."""

    accelerators: str
    how: str
    gb_per_s: int


@cache
def _families() -> dict[str, Joined]:
    lines = _DATA.read_text(encoding="ascii").splitlines()
    rows = (line.split(",") for line in lines if not line.startswith(("#", "family,")))
    return {family: Joined(what, how, int(speed)) for family, what, how, speed in rows}


def joined(kind: InstanceType) -> Joined | None:
    """Return how the accelerators of ``kind`` are joined among themselves; None when only PCIe joins them.

    Only the sizes with several accelerators are joined so: p5.4xlarge has one GPU, trn1.2xlarge one device.
    """
    found = _families().get(kind.name.partition(".")[0])
    size = kind.name.partition(".")[2]
    several = kind.gpus > 1 if kind.gpus else size in ("32xlarge", "48xlarge")
    return found if found and several else None


def paths(kind: InstanceType) -> list[tuple[str, str]]:
    """Return what joins what: GPU, system and node interconnect, and the I/O path."""
    return [
        ("GPU interconnect", _gpus(kind)),
        ("system interconnect", "PCIe between CPUs, GPUs, network cards and disks" if _many(kind) else "PCIe"),
        ("node interconnect", _nodes(kind)),
        ("I/O path", " → ".join(_io(kind))),
    ]


def _many(kind: InstanceType) -> bool:
    return bool(kind.gpus or joined(kind))


def _gpus(kind: InstanceType) -> str:
    how = joined(kind)
    if how:
        speed = f", {how.gb_per_s} GB/s for each" if how.gb_per_s else ""
        return f"{_those(kind, how)}: {how.how}{speed}"
    if kind.gpus > 1:
        return f"{kind.gpus} {kind.gpu}: none of their own, over PCIe and the CPUs' memory"
    return f"one {kind.gpu}: none needed" if kind.gpus else "no NVIDIA GPUs"


def _those(kind: InstanceType, how: Joined) -> str:
    return f"{kind.gpus} {kind.gpu}" if kind.gpus else how.accelerators


def _nodes(kind: InstanceType) -> str:
    if not kind.efa_cards:
        return f"ENA (TCP), {kind.network}; no EFA"
    plural = "" if kind.efa_cards == 1 else "s"
    direct = ", straight from GPU memory (GPUDirect RDMA)" if joined(kind) and kind.gpus else ""
    return f"EFA on {kind.efa_cards} network card{plural}, {kind.network}{direct}"


def _io(kind: InstanceType) -> Iterator[str]:
    yield "S3"
    yield "Lustre (/lustre)"
    yield "network card (ENA)"
    yield "memory"
    if kind.nvme_disks:
        yield f"local NVMe (/scratch, {kind.nvme_gb} GB) and back"
    if _many(kind):
        yield "PCIe"
        yield "GPU memory" if kind.gpus else "device memory"


def picture(kind: InstanceType) -> str:
    """Return the drawing of one instance, in plain characters."""
    lines = [*_accelerators(kind), f"  CPUs ({kind.vcpus} vCPUs, {kind.memory_mib // 1024} GiB, {kind.architecture})"]
    if kind.nvme_disks:
        disks = f"{kind.nvme_disks} NVMe disk{'' if kind.nvme_disks == 1 else 's'}"
        lines.append(f"    |--PCIe-- {disks}, {kind.nvme_gb} GB")
    network = f"{kind.efa_cards} x EFA" if kind.efa_cards else "ENA"
    lines.append(f"    |--PCIe-- {network} ==({kind.network})== other nodes")
    return "\n".join(lines)


def _accelerators(kind: InstanceType) -> Iterator[str]:
    how = joined(kind)
    if how:
        yield f"  [{_those(kind, how)}] == {how.how}"
    elif kind.gpus:
        memory = f"{round(kind.gpu_memory_mib / 1024)} GiB"
        yield f"  [{kind.gpus} {kind.gpu}, {memory} each]" if kind.gpus > 1 else f"  [{kind.gpu}, {memory}]"
    if how or kind.gpus:
        yield "    | PCIe"
