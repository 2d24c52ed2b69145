"""Programs around a job that lie beside the project file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pcinfra.clusters.inputs import placeholder_inputs
from pcinfra.clusters.render import render
from pcinfra.errors import InputError
from pcinfra.project.hooks import FOLDER, local_files
from pcinfra.project.load import load

PROGRAM = "#!/bin/bash\nexit 0\n"


def written(folder: Path, prolog: str, epilog: str = "[]") -> Path:
    file = folder / "pcinfra.yaml"
    file.write_text(
        f"clusters:\n  train:\n    shape: cpu\n    hooks:\n      prolog: {prolog}\n      epilog: {epilog}\n"
    )
    return file


def refused(file: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(file)
    return [f"{problem.line}: {problem.why}" for problem in caught.value.problems]


def test_a_path_begins_at_the_project_file_and_is_rendered_as_an_address(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks/fabric.sh").write_text(PROGRAM)
    project = load(written(tmp_path, "[checks/fabric.sh, s3://other-bucket/b.sh]"))
    (hook,) = local_files(project)
    assert hook.path.resolve() == tmp_path / "checks/fabric.sh"
    inputs = placeholder_inputs(project)
    head = yaml.safe_load(render("train", project.clusters["train"], inputs))["HeadNode"]
    arguments = head["CustomActions"]["OnNodeConfigured"]["Args"]
    assert arguments[-4:] == ["--prolog", f"s3://{inputs.bucket}/{FOLDER}train/prolog/fabric.sh",
                              "--prolog", "s3://other-bucket/b.sh"]  # fmt: skip
    assert [bucket["BucketName"] for bucket in head["Iam"]["S3Access"]] == [inputs.bucket, "other-bucket"]


def test_a_folder_stands_for_the_programs_in_it(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    for name in ("b.sh", "a.sh", ".hidden"):
        (tmp_path / "before" / name).write_text(PROGRAM)
    project = load(written(tmp_path, "[before]"))
    assert [hook.path.name for hook in local_files(project)] == ["a.sh", "b.sh"]


def test_what_cannot_be_a_hook_is_told_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.sh").write_text("echo no program\n")
    (tmp_path / "a b.sh").write_text(PROGRAM)
    (tmp_path / "large.sh").write_bytes(PROGRAM.encode() + bytes(2 << 20))
    (tmp_path / "empty").mkdir()
    (tmp_path / "same.sh").write_text(PROGRAM)
    prolog = "[~nobody-of-that-name/a.sh, missing.sh, text.sh, 'a b.sh', large.sh, empty, same.sh, s3://bucket/same.sh]"
    said = refused(written(tmp_path, prolog))
    wanted = ["~nobody-of-that-name/a.sh (in ", "missing.sh (in ", "does not begin with #!", "pass over or split",
              "at most 1,048,576", "a folder without a file", "also the name of another one"]  # fmt: skip
    assert len(said) == len(wanted)
    for words in wanted:
        assert any(words in line for line in said), (words, said)
    assert all(line.startswith("5: ") for line in said)


@pytest.mark.parametrize("entry", ["https://example.com/a.sh", "s3://b/UPPER CASE", '"a\\nb"', '""'])
def test_what_is_neither_a_path_nor_an_address_is_refused(tmp_path: Path, entry: str) -> None:
    (line,) = refused(written(tmp_path, f"[{entry}]"))
    assert "by its path from this file, or in S3" in line


def test_a_folder_of_very_many_is_refused(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(21):
        (tmp_path / "many" / f"{number}.sh").write_text(PROGRAM)
    assert refused(written(tmp_path, "[many]")) == ["5: has 21 programs; at most 20"]
