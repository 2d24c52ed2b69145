"""What AWS says about instance types, as far as a cluster's configuration depends on it.

The data is ``catalog.csv``; its first lines name the source of every column. ``pcinfra instances --refresh`` asks EC2
anew and writes a file of the same form beside the project; :func:`use` reads it, and its rows win.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pcinfra.errors import UsageError

SOURCE = "EC2 DescribeInstanceTypes"
_DATA = Path(__file__).with_name("catalog.csv")
_refreshed: list[Path] = []


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One EC2 instance type.

    Args:
        architecture: ``x86_64`` or ``arm64``.
        gpus: whole NVIDIA GPUs; ``gpu`` is their name, empty when there are none.
        gpu_memory_mib: of one GPU.
        network: EC2's words, such as ``3200 Gigabit`` or ``Up to 25 Gigabit``.
        network_cards: all of them; ``efa_cards`` are those that take an EFA interface.
        nvme_disks: local NVMe disks, of ``nvme_gb`` GB all together.
    """

    name: str
    architecture: str
    vcpus: int
    memory_mib: int
    gpus: int
    gpu: str
    gpu_memory_mib: int
    network: str
    network_cards: int
    efa_cards: int
    nvme_disks: int
    nvme_gb: int

    @property
    def gigabits(self) -> float:
        """Gigabits a second that its network carries, in all network cards; 0 where EC2 does not say a number."""
        found = re.search(r"(?:(\d+)x )?([\d.]+) Gigabit", self.network)
        return int(found[1] or 1) * float(found[2]) if found else 0.0


def find(name: str, where: str = "") -> InstanceType:
    """Return the instance type ``name``.

    Args:
        where: where the name was written, for the error.

    Raises:
        UsageError: EC2 had no such type when the catalog was made.
    """
    row = _rows().get(name)
    if row is None:
        raise UsageError(f"no instance type {name!r} in the catalog", where=where, hint=_near(name))
    return _parsed(name, row)


def get(name: str) -> InstanceType | None:
    """Return the instance type ``name``; None when it is not in the catalog."""
    row = _rows().get(name)
    return None if row is None else _parsed(name, row)


@cache
def _parsed(name: str, row: str) -> InstanceType:
    architecture, vcpus, memory, gpus, gpu, gpu_memory, network, *numbers = row.split(",")
    sizes = int(vcpus), int(memory), int(gpus)
    return InstanceType(name, architecture, *sizes, gpu, int(gpu_memory), network, *map(int, numbers))


def names() -> tuple[str, ...]:
    """Return every type's name, in EC2's order of family and size."""
    return tuple(_rows())


def about() -> str:
    """Return where the data comes from, for a reader: the first lines of the file that is used."""
    path = _refreshed[-1] if _refreshed else _DATA
    lines = path.read_text(encoding="ascii").splitlines()
    return "\n".join(line.removeprefix("# ") for line in lines if line.startswith("#"))


def use(path: Path) -> None:
    """Let the rows of a refreshed catalog win over those that came with pcinfra; a missing file changes nothing."""
    if path.is_file() and path not in _refreshed:
        _refreshed.append(path)
        _rows.cache_clear()


def forget() -> None:
    """Use only what came with pcinfra."""
    _refreshed.clear()
    _rows.cache_clear()


@cache
def _rows() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in (_DATA, *_refreshed):
        lines = path.read_text(encoding="ascii").splitlines()
        rows = (line.partition(",") for line in lines if not line.startswith(("#", "name,")))
        found |= {name: rest for name, _, rest in rows if rest.count(",") == _COMMAS}
    return found


_COMMAS = 10


def _near(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), names(), 3)
    return " or ".join(near) if near else "aws ec2 describe-instance-types --query InstanceTypes[].InstanceType"
