"""The catalog says what EC2 says."""

from __future__ import annotations

import pytest

from pcinfra import catalog
from pcinfra.errors import UsageError


@pytest.mark.parametrize(
    ("name", "architecture", "gpus", "efa_cards", "nvme_disks"),
    [
        ("p5.48xlarge", "x86_64", 8, 32, 8),
        ("p5en.48xlarge", "x86_64", 8, 16, 8),
        ("p4d.24xlarge", "x86_64", 8, 4, 8),
        ("p6-b200.48xlarge", "x86_64", 8, 8, 8),
        ("p6e-gb200.36xlarge", "arm64", 4, 16, 3),
        ("g5.xlarge", "x86_64", 1, 0, 1),
        ("g5.12xlarge", "x86_64", 4, 1, 1),
        ("hpc7a.96xlarge", "x86_64", 0, 2, 0),
        ("c7g.large", "arm64", 0, 0, 0),
    ],
)
def test_known_types(name: str, architecture: str, gpus: int, efa_cards: int, nvme_disks: int) -> None:
    found = catalog.find(name)
    assert (found.architecture, found.gpus) == (architecture, gpus)
    assert (found.efa_cards, found.nvme_disks) == (efa_cards, nvme_disks)


def test_every_row_is_whole() -> None:
    for name in catalog.names():
        found = catalog.find(name)
        assert found.architecture in ("x86_64", "arm64")
        assert (found.nvme_disks > 0) == (found.nvme_gb > 0)
        assert found.gpu or not found.gpus
        assert min(found.gpus, found.efa_cards, found.nvme_disks) >= 0


@pytest.mark.parametrize(("wrong", "near"), [("p5.48xlrage", "p5.48xlarge"), ("P4D.24XLARGE", "p4d.24xlarge")])
def test_an_unknown_type_says_where_and_what_is_near(wrong: str, near: str) -> None:
    with pytest.raises(UsageError, match="queues") as caught:
        catalog.find(wrong, "queues[0]")
    assert near in caught.value.hint


@pytest.mark.parametrize("wrong", ["", "#", "name", "…", "p5.48xlarge,x86_64"])
def test_what_is_like_nothing_is_refused_too(wrong: str) -> None:
    with pytest.raises(UsageError):
        catalog.find(wrong)


@pytest.mark.parametrize(("name", "gigabits"), [
    ("p5.48xlarge", 3200), ("p4d.24xlarge", 400), ("c7i.12xlarge", 18.75), ("t2.micro", 0),
])  # fmt: skip
def test_what_the_network_of_a_type_carries(name: str, gigabits: float) -> None:
    assert catalog.find(name).gigabits == gigabits
