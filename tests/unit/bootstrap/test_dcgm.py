"""NVIDIA's exporter on a GPU node: how its image is had and started, and a node that gets along without."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.unit.bootstrap.node import ACCOUNT, COMPUTE, HEAD, Node, status

ARGUMENTS = (*ACCOUNT, "--dcgm")
ENROOT = """\
echo "enroot $*" >>"$STATE/calls"
case $1 in
  import) [[ -f $STATE/registry && $4 == *"$(<"$STATE/registry")"* ]] && echo squashfs >"$3" ;;
  create) [[ -f $5 ]] && echo "$4" >"$STATE/container" ;;
  version) echo 4.2.1 ;;
esac"""
IP = """\
case "$*" in
  *route*) echo "default via 10.1.0.1 dev ens5 proto dhcp src 10.1.7.9 metric 100" ;;
  *"show dev ens5"*) echo "2: ens5    inet 10.1.7.9/17 metric 100 brd 10.1.127.255 scope global dynamic ens5" ;;
esac"""
NAME = "pcinfra-dcgm-exporter"
ENABLED = f"systemctl enable --quiet --now {NAME}.service"


@pytest.fixture
def gpus(node: Node) -> Node:
    """A node whose driver shows GPUs."""
    (node.root / "proc/driver/nvidia/gpus").mkdir(parents=True)
    node.fake("enroot", ENROOT)
    node.fake("ip", IP)
    node.fake("systemctl", 'echo "systemctl $*" >>"$STATE/calls"')
    machine(node, "x86_64")
    return node


def machine(node: Node, name: str) -> None:
    node.fake("uname", f'if [[ $1 == -m ]]; then echo {name}; else exec /usr/bin/env -i /bin/uname "$@"; fi')


def registry(node: Node, takes: str) -> None:
    """Let the registry know the references that contain ``takes``."""
    (node.state / "registry").write_text(takes)


def imports(node: Node) -> list[str]:
    return [call.split()[-1] for call in node.calls() if call.startswith("enroot import")]


@pytest.mark.parametrize("spelling", ["@sha256:", ":sha256:"], ids=["enroot 4", "older"])
def test_the_image_is_had_by_its_digest_in_the_words_that_enroot_knows(gpus: Node, spelling: str) -> None:
    registry(gpus, f"dcgm-exporter{spelling}")
    done = gpus.run(COMPUTE, *ARGUMENTS)
    assert status(done) == status(done) | {"status": "ok"}
    assert re.fullmatch(rf"docker://nvcr\.io#nvidia/k8s/dcgm-exporter{spelling}[0-9a-f]{{64}}", imports(gpus)[-1])
    assert (gpus.state / "container").read_text().strip() == NAME
    assert ENABLED in gpus.calls()
    assert not any("dcgm" in warning for warning in gpus.report()["warnings"])
    assert not list((gpus.root / "var/enroot/tmp").iterdir()), "the squashfs is not kept beside what came out of it"


def test_an_ultraservers_node_takes_the_image_of_its_architecture(gpus: Node) -> None:
    machine(gpus, "aarch64")
    registry(gpus, "dcgm-exporter:4.5.2-4.8.1-ubuntu22.04")
    assert gpus.run(COMPUTE, *ARGUMENTS).returncode == 0
    assert len(imports(gpus)) == 1
    assert ENABLED in gpus.calls()


def test_running_it_again_changes_nothing(gpus: Node) -> None:
    registry(gpus, "@sha256:")
    assert gpus.run(COMPUTE, *ARGUMENTS).returncode == 0
    tree = gpus.tree()
    again = gpus.run(COMPUTE, *ARGUMENTS)
    assert status(again)["status"] == "ok"
    assert {path: what for path, what in gpus.tree().items() if not path.endswith("enroot/tmp")} == {
        path: what for path, what in tree.items() if not path.endswith("enroot/tmp")
    }
    assert len(imports(gpus)) == 1
    assert gpus.calls().count("systemctl daemon-reload") == 1


def test_a_node_without_the_internet_works_and_says_what_it_lacks(gpus: Node) -> None:
    done = gpus.run(COMPUTE, *ARGUMENTS)
    assert status(done) == status(done) | {"status": "ok", "reason": ""}
    (warning,) = [warning for warning in gpus.report()["warnings"] if "dcgm" in warning]
    assert "could not be fetched from nvcr.io" in warning
    assert len(imports(gpus)) == 2
    assert ENABLED not in gpus.calls()
    registry(gpus, "@sha256:")
    assert gpus.run(COMPUTE, *ARGUMENTS).returncode == 0
    assert ENABLED in gpus.calls(), "the next run finds it"


def test_it_listens_on_the_private_address_as_root_outside_a_user_namespace(gpus: Node) -> None:
    registry(gpus, "@sha256:")
    assert gpus.run(COMPUTE, *ARGUMENTS).returncode == 0
    unit = gpus.root / f"etc/systemd/system/{NAME}.service"
    text = unit.read_text()
    assert "--env DCGM_EXPORTER_LISTEN=10.1.7.9:9400 " in text
    assert "ENROOT_ALLOW_SUPERUSER=yes" in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze to read the unit")
    here = unit.with_name("checked.service")  # the program that it starts is not on this machine
    here.write_text(text.replace("/usr/bin/enroot", "/bin/true"))
    said = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False, timeout=60)
    assert "checked.service" not in said.stderr, said.stderr


@pytest.mark.parametrize("arguments", [ACCOUNT, ARGUMENTS], ids=["not asked", "no GPU"])
def test_nothing_is_fetched_where_it_would_serve_nothing(node: Node, arguments: tuple[str, ...]) -> None:
    node.fake("enroot", ENROOT)
    done = node.run(COMPUTE, *arguments)
    assert status(done)["status"] == "ok"
    assert imports(node) == []
    assert ("the driver shows no GPU" in done.stderr) == (arguments == ARGUMENTS)


def test_it_is_for_compute_nodes(node: Node) -> None:
    done = node.run(HEAD, *ARGUMENTS)
    assert status(done)["reason"] == "--dcgm is for compute nodes"
