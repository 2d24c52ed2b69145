"""What AWS says about instance types, as far as a cluster's configuration depends on it.

The data is ``catalog.csv``; its first lines name the source of every column.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pcinfra.errors import UsageError

SOURCE = "EC2 DescribeInstanceTypes"
_DATA = Path(__file__).with_name("catalog.csv")


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One EC2 instance type.

    Args:
        architecture: ``x86_64`` or ``arm64``.
        gpus: whole NVIDIA GPUs; ``gpu`` is their name, empty when there are none.
        efa_cards: network cards that take an EFA interface.
        nvme_disks: local NVMe disks, of ``nvme_gb`` GB all together.
    """

    name: str
    architecture: str
    gpus: int
    gpu: str
    efa_cards: int
    nvme_disks: int
    nvme_gb: int


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
    architecture, gpus, gpu, *numbers = row.split(",")
    efa_cards, disks, gigabytes = map(int, numbers)
    return InstanceType(name, architecture, int(gpus), gpu, efa_cards, disks, gigabytes)


def names() -> tuple[str, ...]:
    """Return every type's name, in EC2's order of family and size."""
    return tuple(_rows())


@cache
def _rows() -> dict[str, str]:
    lines = _DATA.read_text(encoding="ascii").splitlines()
    rows = (line.partition(",") for line in lines if not line.startswith(("#", "name,")))
    return {name: rest for name, _, rest in rows}


def _near(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), names(), 3)
    return " or ".join(near) if near else "aws ec2 describe-instance-types --query InstanceTypes[].InstanceType"
