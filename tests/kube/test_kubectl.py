"""What `pcinfra render` prints is taken by a real kubectl and a real API server, as a user would apply it.

Where kubectl is one that knows kustomize's ``replacements``: 1.22 or later, in the path or where PCINFRA_KUBECTL says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pcinfra.jobs.kubernetes.api import LiveApi
from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.load import load
from pcinfra.jobs.targets import REGISTRY, Options
from tests.kube.server import Server, needed

pytestmark = needed

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def kubectl() -> str:
    found = os.environ.get("PCINFRA_KUBECTL") or shutil.which("kubectl")
    if not found:
        pytest.skip("kubectl is not installed; PCINFRA_KUBECTL says where it is")
    asked = subprocess.run([found, "version", "--client", "-o", "json"], capture_output=True, text=True, check=True)
    version = json.loads(asked.stdout)["clientVersion"]
    if int(version["minor"].rstrip("+")) < 22:
        pytest.skip(f"kubectl {version['gitVersion']} is older than kustomize's replacements")
    return found


@pytest.mark.parametrize(
    ("target", "example", "places"),
    [
        ("trainjob", "trainjob-pytorch", ["trainjob.yaml"]),
        ("trainjob", "trainjob-tensorflow", ["trainjob.yaml"]),
        ("pytorchjob", "pytorch-dist-job", ["pytorchjob.yaml"]),
        ("kustomize", "pytorch-dist-job", ["base", "overlays/ddp", "overlays/custom-url"]),
    ],
)  # fmt: skip
def test_kubectl_applies_what_is_rendered(
    kubectl: str, server: Server, api: LiveApi, tmp_path: Path, target: str, example: str, places: list[str]
) -> None:
    asked = REGISTRY[target]
    rendered = asked.render(load(EXAMPLES / f"{example}.yaml", rules=asked.rules), Options(dialect=Dialect.V2_1))
    for name, text in rendered.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    env = {**os.environ, "KUBECONFIG": str(server.kubeconfig(api.namespace)), "HOME": str(tmp_path)}
    for place in places:
        how = "-k" if target == "kustomize" else "-f"
        argv = [kubectl, "apply", "--server-side", "--dry-run=server", how, str(tmp_path / place)]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "serverside-applied (server dry run)" in done.stdout
