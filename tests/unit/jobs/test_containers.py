"""Images and mounts as Enroot and Pyxis take them."""

from __future__ import annotations

import pytest

from pcinfra.jobs.slurm.containers import enroot_uri, mounts
from pcinfra.jobs.spec import JobSpec, Mount

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(("image", "expected"), [
    ("ubuntu:22.04", "ubuntu:22.04"),
    ("nvidia/cuda:12", "nvidia/cuda:12"),
    ("nvcr.io/nvidia/pytorch:25.01-py3", "nvcr.io#nvidia/pytorch:25.01-py3"),
    ("nvcr.io#nvidia/pytorch:25.01-py3", "nvcr.io#nvidia/pytorch:25.01-py3"),
    ("docker://nvcr.io/nvidia/pytorch:1", "nvcr.io#nvidia/pytorch:1"),
    ("localhost:5000/a/b:1", "localhost:5000#a/b:1"),
    ("1.dkr.ecr.us-east-1.amazonaws.com/a:1", "1.dkr.ecr.us-east-1.amazonaws.com#a:1"),
    (f"r.io/a/b:1@{DIGEST}", f"r.io#a/b@{DIGEST}"),
    (f"r.io/a/b@{DIGEST}", f"r.io#a/b@{DIGEST}"),
    ("/lustre/images/a.sqsh", "/lustre/images/a.sqsh"),
])  # fmt: skip
def test_a_registry_is_followed_by_a_hash(image: str, expected: str) -> None:
    JobSpec(image=image)
    assert enroot_uri(image) == expected
    assert enroot_uri(expected) == expected


def test_named_paths_are_mounted_where_they_are_unless_they_are_already() -> None:
    spec = JobSpec(
        image="a:1",
        mounts=(Mount(source="/a", target="/b", read_only=True), Mount(source="/fast/data", target="/lustre/data")),
        data="/lustre/data",
        checkpoints="/lustre/ck",
    )
    assert mounts(spec) == "/a:/b:ro,/fast/data:/lustre/data,/lustre/ck:/lustre/ck"
