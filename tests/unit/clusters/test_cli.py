"""``pcinfra cluster`` as far as it goes without an account."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pcinfra.cli.clusters import COMMANDS
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


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(root, ["cluster", command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_a_command_that_does_not_exist_is_refused_with_the_nearest() -> None:
    result = CliRunner().invoke(root, ["cluster", "updat"])
    assert result.exit_code == 2
    assert "did you mean 'update'?" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["connect", "train", "--forward", "8888"], "LOCAL:PORT"),
        (["connect", "train", "--key", "k.pub"], "--key is for --ssh-config"),
        (["show", "no name"], "name of a cluster"),
        (["exec", "train"], "Missing argument"),
        (["logs", "train", "-n", "0"], "not in the range"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked(tmp_path: Path, arguments: list[str], words: str) -> None:
    result = pcinfra(tmp_path, "project: training\n", *arguments)
    assert words in (result.output + str(result.exception))
    assert result.exit_code in (1, 2)
