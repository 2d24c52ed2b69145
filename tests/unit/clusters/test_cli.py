"""``pcinfra cluster`` as far as it goes without an account."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pcinfra.cli.main import root
from pcinfra.errors import UsageError


def pcinfra(folder: Path, text: str, *arguments: str) -> Result:
    file = folder / "pcinfra.yaml"
    file.write_text(text)
    return CliRunner().invoke(root, ["-f", str(file), "cluster", *arguments])


def test_offline_validation_needs_no_account_and_no_infrastructure(tmp_path: Path) -> None:
    result = pcinfra(tmp_path, "project: training\n", "validate", "train", "--offline")
    assert result.exit_code == 0, result.output
    assert "have nothing against it" in result.output


def test_findings_are_json_on_request(tmp_path: Path) -> None:
    text = "clusters: {train: {shape: cpu}}\n"
    result = pcinfra(tmp_path, text, "validate", "train", "--offline", "--output", "json")
    assert json.loads(result.output) == []


def test_an_unknown_cluster_is_refused_with_the_nearest(tmp_path: Path) -> None:
    result = pcinfra(tmp_path, "project: training\n", "validate", "trian", "--offline")
    assert isinstance(result.exception, UsageError)
    assert result.exception.hint == "train"


@pytest.mark.parametrize("command", ["render", "validate", "create", "list", "show", "delete"])
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(root, ["cluster", command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output
