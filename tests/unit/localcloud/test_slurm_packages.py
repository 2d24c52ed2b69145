from __future__ import annotations

import pytest

from pcinfra.errors import MissingTool
from pcinfra.localcloud.slurm import packages


def nothing(_program: str) -> str | None:
    return None


def everything(program: str) -> str | None:
    return f"/usr/bin/{program}"


def test_what_is_missing_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingTool) as caught:
        packages.require(root=False, which=lambda program: None if program == "munged" else program)
    assert "munged" in caught.value.why
    assert "slurmctld" not in caught.value.why
    assert "apt-get install -y --no-install-recommends slurmctld slurmd" in caught.value.hint


def test_only_root_needs_what_makes_namespaces() -> None:
    assert set(packages.missing(root=True, which=nothing)) - set(packages.missing(root=False, which=nothing)) == {
        "ip",
        "nsenter",
    }


def test_nothing_is_missing_when_all_is_there() -> None:
    packages.require(root=True, which=everything)
