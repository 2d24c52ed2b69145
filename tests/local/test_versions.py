"""What the pcluster of each version says of the corpus, rendered for that version: the real one, on the local cloud.

Skips where ``tools/versions`` has not installed them: they cannot be in one environment with each other.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pcinfra.shell import Subprocess
from tests.local.test_corpus import CASES, VERDICTS, World, made, world

__all__ = ["world"]

pytestmark = pytest.mark.slow

VERSIONS = ("3.14.0", "3.15.1")
CACHE = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
HOME = Path(os.environ.get("PCINFRA_PCLUSTERS") or f"{CACHE}/pcinfra/pcluster")

DIFFERS: dict[str, dict[str, str]] = {
    "3.14.0": {"login node with a key": "LoginNodes/Pools/Ssh/KeyName went with 3.15.0"},
    "3.15.1": {},
}
"""Names of cases whose verdict is another one than 3.16.1's, by version, each with the reason."""


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pcluster_of_a_version_agrees_as_3_16_1_does(version: str, world: World) -> None:
    python = HOME / version / "bin" / "python"
    if not (HOME / version / ".ready").exists():
        pytest.skip(f"no pcluster {version} in {HOME}: tools/versions installs it")
    said = asked(python, {case["name"]: text(case, version, world) for case in rendered()}, world)
    wrong = {}
    for case in rendered():
        expected = (case.get("pcluster", case["ours"]) == "error") != (case["name"] in DIFFERS[version])
        if bool(said[case["name"]]) != expected:
            wrong[case["name"]] = said[case["name"]]
    assert wrong == {}


def rendered() -> list[dict[str, Any]]:
    return [case for case in CASES if case.get("rendered", True)]


def text(case: dict[str, Any], version: str, world: World) -> str:
    return made(case | {"cluster": case["cluster"] | {"pcluster_version": version}}, world).text


def asked(python: Path, texts: dict[str, str], world: World) -> dict[str, list[str]]:
    environment = {**os.environ, **world.target.environment(), "AWS_DEFAULT_REGION": "us-east-1"}
    argv = [str(python), "-W", "ignore", str(VERDICTS)]
    done = Subprocess().run(argv, stdin=json.dumps(texts), env=environment).check()
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found
