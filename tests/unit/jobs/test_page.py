"""The page of jobs says what the model says, and its examples are job files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pcinfra.jobs.__main__ import MARKER
from pcinfra.jobs.load import load
from pcinfra.jobs.spec import JobSpec
from pcinfra.project.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "jobs.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


def test_the_page_is_current() -> None:
    _, _, generated = PAGE.read_text(encoding="utf-8").partition(MARKER + "\n")
    assert generated == reference(JobSpec), "run: python -m pcinfra.jobs"


def test_every_field_says_what_it_is() -> None:
    ours, _, _ = reference(JobSpec).partition("## `kubernetes`")
    for line in ours.splitlines():
        if line.startswith("| `"):
            assert line.split("|")[3].strip(), line


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_is_a_job_file(text: str, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "train.sh").write_text("true\n")
    file = tmp_path / "job.yaml"
    file.write_text(re.sub(r"^code: .*$", "code: {source: directory}", text, flags=re.M))
    assert load(file).spec.name
