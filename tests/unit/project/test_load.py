"""Finding the file, and what a good one may say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pcinfra.errors import InputError
from pcinfra.project import Project
from pcinfra.project.load import find, load, parse

ASSOCIATIONS = "associations:\n"


def test_a_given_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("project: mine\n")
    assert load(file).project == "mine"


def test_a_given_folder_holds_the_file(tmp_path: Path) -> None:
    (tmp_path / "pcinfra.yaml").write_text("project: mine\n")
    assert load(tmp_path).project == "mine"


def test_the_nearest_file_upwards_is_found(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pcinfra.yaml").write_text("project: outer\n")
    assert find(start=inner) == tmp_path / "pcinfra.yaml"
    (tmp_path / "a" / "pcinfra.yaml").write_text("project: nearer\n")
    assert find(start=inner) == tmp_path / "a" / "pcinfra.yaml"


def test_no_file_anywhere_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pcinfra\.yaml: there is none in .*\n  try: pcinfra init$"):
        find(start=tmp_path)


def test_a_given_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.yaml: does not exist\n  try: pcinfra -f .*x\.yaml init$"):
        load(tmp_path / "x.yaml")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    loop = tmp_path / "pcinfra.yaml"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match=r"does not exist|cannot be read"):
        load(loop)
    (tmp_path / "folder" / "pcinfra.yaml").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        load(tmp_path / "folder")


def test_a_pipe_is_a_file(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"project: piped\n")
    os.close(write)
    try:
        assert load(Path(f"/dev/fd/{read}")).project == "piped"
    finally:
        os.close(read)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(InputError, match="larger than 1 MiB"):
        load(Path("/dev/zero"))


@pytest.mark.parametrize("text", ["", "# only a comment\n", "{}\n", "\ufeffproject: training\r\n"])
def test_all_defaults(text: str) -> None:
    assert parse(text) == Project()


@pytest.mark.parametrize(
    "text",
    [
        "region: us-gov-west-1\navailability_zone: us-gov-west-1b\n",
        "region: ap-southeast-7\n",
        "region: eusc-de-east-1\n",
        "project: a\n",
        "bucket: {name: my.bucket-1}\n",
        "bucket: {name: " + "b" * 63 + "}\n",
        "images: {a: {repository: team/pytorch__x, tag: '2.4', context: ./image}, b: {repository: b2}}\n",
        "tags: {team: nlp, 'cost center': 'a+b=c @d/e', Größe: groß}\n",
        "prerequisites: {lustre: {capacity: 9600, throughput: 1000}}\n",
        "prerequisites: {lustre: {deployment_type: PERSISTENT_1, throughput: 50, version: '2.12'}}\n",
        "prerequisites: {lustre: {deployment_type: SCRATCH_2, throughput: null}}\n",
        "prerequisites: {openzfs: {deployment_type: SINGLE_AZ_1, throughput: 64, capacity: 524288}}\n",
        "prerequisites: {vpc_cidr: 192.168.0.0/20, public_subnet_cidr: 192.168.0.0/24, private_cidr: 100.64.0.0/16,"
        " private_subnet_cidr: 100.64.0.0/17}\n",
        "prerequisites: {vpc_cidr: 172.16.0.0/16, public_subnet_cidr: 172.16.0.0/28, private_cidr: 172.18.0.0/16,"
        " private_subnet_cidr: 172.18.0.0/16}\n",
        ASSOCIATIONS + "  all: {path: /, prefix: everything/}\n",
        ASSOCIATIONS + "  a: {path: /data, prefix: data/}\n  b: {path: /data2, prefix: data2/}\n",
        ASSOCIATIONS + "".join(f"  a{n}: {{path: /a{n}, prefix: a{n}/}}\n" for n in range(8)),
        "associations: {}\n",
        "clusters: {}\n",
        "clusters: {" + "c" * 60 + ": {}}\n",
        "clusters: {x: {queues: [{min_nodes: 0, max_nodes: 100, capacity_type: SPOT}]}}\n",
        "clusters: {x: {queues: [{capacity_reservation: cr-0123456789abcdef0}]}}\n",
        "clusters: {x: {queues: [{capacity_type: CAPACITY_BLOCK, capacity_reservation: cr-0123456789abcdef0}]}}\n",
        "clusters: {x: {queues: [{instance_type: p6-b200.48xlarge}, {name: b, instance_type: m7i.metal-24xl}]}}\n",
        "clusters:\n  a: &a {shape: gpu-efa}\n  b: {<<: *a, os: ubuntu2404}\n",
    ],
)
def test_is_accepted(text: str) -> None:
    assert isinstance(parse(text), Project)
