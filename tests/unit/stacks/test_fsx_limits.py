"""What FSx accepts, one row per rule of its API reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.stacks import limits

GOOD_LUSTRE = [
    ("PERSISTENT_2", 1200, 125, "2.15", "SSD"),
    ("PERSISTENT_2", 2400, 1000, "2.12", "SSD"),
    ("PERSISTENT_1", 4800, 50, "2.10", "SSD"),
    ("PERSISTENT_1", 6000, 12, "2.15", "HDD"),
    ("PERSISTENT_1", 1800, 40, "2.12", "HDD"),
    ("SCRATCH_2", 1200, None, "2.10", "SSD"),
    ("SCRATCH_1", 3600, None, "2.10", "SSD"),
    ("SCRATCH_1", 2400, None, "2.15", "SSD"),
]

BAD_LUSTRE = [
    (("PERSISTENT_2", 3600, 250, "2.15", "SSD"), "choose 1200 or a multiple of 2400 (near: 2400, 4800)"),
    (("PERSISTENT_2", 6000, 250, "2.15", "SSD"), "near: 4800, 7200"),
    (("PERSISTENT_2", 8400, 250, "2.15", "SSD"), "near: 7200, 9600"),
    (("PERSISTENT_2", 0, 250, "2.15", "SSD"), "near: 1200, 2400"),
    (("PERSISTENT_2", -2400, 250, "2.15", "SSD"), "-2400 GiB is not a size"),
    (("SCRATCH_1", 4800, None, "2.15", "SSD"), "choose 1200 or 2400 or a multiple of 3600"),
    (("PERSISTENT_2", 1200, 200, "2.15", "SSD"), "choose 125, 250, 500 or 1000 MB/s per TiB"),
    (("PERSISTENT_1", 1200, 250, "2.15", "SSD"), "choose 50, 100 or 200 MB/s per TiB"),
    (("PERSISTENT_1", 1200, None, "2.15", "SSD"), "no throughput"),
    (("PERSISTENT_1", 6000, 50, "2.15", "HDD"), "choose 12 or 40 MB/s per TiB"),
    (("PERSISTENT_1", 1200, 12, "2.15", "HDD"), "a multiple of 6000"),
    (("PERSISTENT_1", 6000, 40, "2.15", "HDD"), "near: 5400, 7200"),
    (("PERSISTENT_2", 6000, 12, "2.15", "HDD"), "HDD needs PERSISTENT_1"),
    (("SCRATCH_2", 1200, 200, "2.15", "SSD"), "takes no throughput"),
    (("PERSISTENT_2", 1200, 250, "2.10", "SSD"), "does not work with Lustre 2.10"),
    (("PERSISTENT_2", 1200, 250, "2.14", "SSD"), "version 2.14 does not exist"),
    (("PERSISTENT_3", 1200, 250, "2.15", "SSD"), "PERSISTENT_3 does not exist"),
    (("PERSISTENT_2", 1200, 250, "2.15", "INTELLIGENT_TIERING"), "not supported"),
]


@pytest.mark.parametrize("file_system", GOOD_LUSTRE, ids=str)
def test_accepts_lustre(file_system: tuple[str, int, int | None, str, str]) -> None:
    assert limits.lustre_problem(*file_system) is None


@pytest.mark.parametrize(("file_system", "reason"), BAD_LUSTRE, ids=str)
def test_refuses_lustre(file_system: tuple[str, int, int | None, str, str], reason: str) -> None:
    assert reason in (limits.lustre_problem(*file_system) or "")


@pytest.mark.parametrize("iops", [1500, 3000, 6000, 12000, 24000, 192000])
def test_accepts_metadata_iops(iops: int) -> None:
    assert limits.lustre_problem("PERSISTENT_2", 1200, 250, "2.15", metadata_iops=iops) is None


@pytest.mark.parametrize(
    ("deployment", "throughput", "version", "iops"),
    [
        ("PERSISTENT_2", 250, "2.15", 9000),
        ("PERSISTENT_2", 250, "2.15", 204000),
        ("PERSISTENT_2", 250, "2.15", 0),
        ("PERSISTENT_2", 250, "2.12", 1500),
        ("PERSISTENT_1", 200, "2.15", 1500),
    ],
)
def test_refuses_metadata_iops(deployment: str, throughput: int, version: str, iops: int) -> None:
    problem = limits.lustre_problem(deployment, 1200, throughput, version, metadata_iops=iops)
    assert "metadata IOPS" in (problem or "")


@pytest.mark.parametrize(("throughput", "step"), [(125, 38400), (250, 19200), (500, 9600), (1000, 4800)])
def test_efa_comes_in_large_steps(throughput: int, step: int) -> None:
    assert limits.lustre_problem("PERSISTENT_2", step, throughput, "2.15", efa=True) is None
    problem = limits.lustre_problem("PERSISTENT_2", 2400, throughput, "2.15", efa=True)
    assert f"a multiple of {step}" in (problem or "")


def test_efa_needs_metadata() -> None:
    problem = limits.lustre_problem("PERSISTENT_2", 19200, 250, "2.12", efa=True)
    assert "EFA needs PERSISTENT_2 with Lustre 2.15" in (problem or "")


@pytest.mark.parametrize("deployment", ["SCRATCH_2", "PERSISTENT_1", "PERSISTENT_2"])
def test_associations_work_with_all_but_scratch_1(deployment: str) -> None:
    assert limits.lustre_association_problem(deployment, "2.12") is None
    assert "2.10 cannot be linked" in (limits.lustre_association_problem(deployment, "2.10") or "")
    assert "SCRATCH_1 cannot be linked" in (limits.lustre_association_problem("SCRATCH_1", "2.12") or "")


@given(capacity=st.integers(-10_000, 500_000))
def test_ssd_capacity_is_1200_or_a_positive_multiple_of_2400(capacity: int) -> None:
    possible = capacity == 1200 or (capacity > 0 and capacity % 2400 == 0)
    assert (limits.lustre_capacity_problem("PERSISTENT_2", capacity, 250) is None) == possible


@given(capacity=st.integers(-10_000, 500_000), throughput=st.sampled_from([12, 40]))
def test_the_sizes_a_refusal_names_are_accepted(capacity: int, throughput: int) -> None:
    problem = limits.lustre_capacity_problem("PERSISTENT_1", capacity, throughput, "HDD")
    if problem:
        near = problem.split("near: ")[1].rstrip(")").split(", ")
        assert near
        for size in near:
            assert limits.lustre_capacity_problem("PERSISTENT_1", int(size), throughput, "HDD") is None


@pytest.mark.parametrize(
    ("deployment", "throughput"),
    [
        ("SINGLE_AZ_1", 64),
        ("SINGLE_AZ_HA_1", 4096),
        ("SINGLE_AZ_2", 160),
        ("SINGLE_AZ_HA_2", 10240),
        ("MULTI_AZ_1", 320),
    ],
)
def test_accepts_openzfs(deployment: str, throughput: int) -> None:
    assert limits.openzfs_problem(deployment, 64, throughput) is None


@pytest.mark.parametrize(
    ("deployment", "capacity", "throughput", "reason"),
    [
        ("SINGLE_AZ_HA_2", 512, 512, "choose 160, 320, 640"),
        ("SINGLE_AZ_1", 512, 320, "choose 64, 128, 256"),
        ("SINGLE_AZ_HA_2", 63, 320, "63 GiB is outside of 64 to 524288"),
        ("SINGLE_AZ_HA_2", 524289, 320, "outside of 64 to 524288"),
        ("SINGLE_AZ_3", 512, 320, "SINGLE_AZ_3 does not exist"),
    ],
)
def test_refuses_openzfs(deployment: str, capacity: int, throughput: int, reason: str) -> None:
    assert reason in (limits.openzfs_problem(deployment, capacity, throughput) or "")
