"""What an image is made of: files, their digest, their archive, and private base images."""

from __future__ import annotations

from pathlib import Path

import pytest

from pcinfra.errors import Refused
from pcinfra.images import context


def made(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_the_digest_is_that_of_paths_modes_and_contents(tmp_path: Path) -> None:
    one, same = made(tmp_path / "one", a="1", b="2"), made(tmp_path / "same", a="1", b="2")
    assert context.digest(one) == context.digest(same)
    assert context.archive(one) == context.archive(same)
    before = context.digest(one)
    (one / "a").chmod(0o755)
    assert context.digest(one) != before
    assert context.digest(made(tmp_path / "swapped", a="2", b="1")) != before
    assert context.digest(made(tmp_path / "more", a="1", b="2", c="")) != before


def test_a_name_that_is_no_text_is_a_name(tmp_path: Path) -> None:
    folder = made(tmp_path / "odd")
    before = context.digest(folder)
    (tmp_path / "odd" / b"\xff\n".decode(errors="surrogateescape")).write_text("x")
    assert context.digest(folder) != before


def test_a_folder_without_a_dockerfile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no Dockerfile in"):
        context.folder(str(tmp_path))


def test_base_images_in_somebodys_ecr_are_found_once(tmp_path: Path) -> None:
    folder = made(tmp_path / "x")
    (folder / "Dockerfile").write_text(
        "# FROM 111111111111.dkr.ecr.us-east-1.amazonaws.com/comment\n"
        "from --platform=linux/amd64 763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-training:2.5 AS base\n"
        "FROM 763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-training@sha256:00 AS again\n"
        "FROM public.ecr.aws/deep-learning-containers/pytorch-training:2.5\n"
        "FROM 222222222222.dkr.ecr.cn-north-1.amazonaws.com.cn/team/base\n"
    )
    assert [(b.account, b.region, b.repository) for b in context.private_bases(folder)] == [
        ("763104351884", "us-west-2", "pytorch-training"), ("222222222222", "cn-north-1", "team/base"),
    ]  # fmt: skip
