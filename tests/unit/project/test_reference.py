"""The page of settings says what the model says."""

from __future__ import annotations

from pathlib import Path

from pcinfra.project import Project
from pcinfra.project.document import parse
from pcinfra.project.load import FILE_NAME
from pcinfra.project.reference import MARKER, reference
from pcinfra.project.scaffold import scaffold

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_is_current() -> None:
    _, _, generated = PAGE.read_text(encoding="utf-8").partition(MARKER + "\n")
    assert generated == reference(), "run: python -m pcinfra.project"


def test_every_key_of_a_whole_file_is_in_it() -> None:
    keys = {str(path[-1]) for path in parse(scaffold(Project()), FILE_NAME).keys}
    rows = {line.split("`")[1] for line in reference().splitlines() if line.startswith("| `")}
    titles = {part for line in reference().splitlines() if line.startswith("## ") for part in line.split("`")[1:2]}
    named = {step.removesuffix("[]") for title in titles for step in title.split(".")}
    free = {"data", "checkpoints", "logs", "results", "train", "pytorch"}
    assert keys - free <= rows | named


def test_every_setting_says_what_it_is() -> None:
    for line in reference().splitlines():
        if line.startswith("| `"):
            assert line.split("|")[3].strip(), line
