"""Numbers for Prometheus: what a node installs for them, and what it does when that cannot be had."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.unit.bootstrap.node import ACCOUNT, COMPUTE, HEAD, Node, mode, status

ARGUMENTS = (*ACCOUNT, "--metrics")
CURL = """\
while (($#)); do case $1 in -o) into=$2; shift ;; esac; shift; done
[[ -f $STATE/exporter.tar.gz ]] && cp "$STATE/exporter.tar.gz" "$into"
"""
IP = """\
case "$*" in
  *route*) echo "default via 10.1.0.1 dev ens5 proto dhcp src 10.1.7.9 metric 100" ;;
  *"show dev ens5"*) echo "2: ens5    inet 10.1.7.9/17 metric 100 brd 10.1.127.255 scope global dynamic ens5" ;;
esac"""
SMI = """\
[[ $* == *nounits* ]] || exit 0
echo "0, GPU-a, 97, 70000, 81559, 61, 654.32, 1980, 0"
echo "1, GPU-b, 0, 0, 81559, 33, [N/A], 345, [N/A]"
"""


def prepared(node: Node) -> None:
    node.fake("curl", CURL)
    node.fake("ip", IP)
    node.fake("uname", 'if [[ $1 == -m ]]; then echo x86_64; else exec /usr/bin/env -i /bin/uname "$@"; fi')
    node.fake("systemctl", 'echo "systemctl $*" >>"$STATE/calls"')


def release(node: Node, script: Path) -> Path:
    """Publish an exporter, and return the script that expects just this one."""
    raw, text = io.BytesIO(), b"#!/bin/sh\necho exporter\n"
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        entry = tarfile.TarInfo("node_exporter-1.9.1.linux-amd64/node_exporter")
        entry.size, entry.mode = len(text), 0o755
        tar.addfile(entry, io.BytesIO(text))
    (node.state / "exporter.tar.gz").write_bytes(raw.getvalue())
    digest = hashlib.sha256(raw.getvalue()).hexdigest()
    changed = node.state / script.name
    changed.write_text(re.sub(r"(?m)^EXPORTER_AMD64=.*$", f"EXPORTER_AMD64={digest}", script.read_text()))
    return changed


@pytest.mark.parametrize("script", [HEAD, COMPUTE], ids=["head", "compute"])
def test_a_node_serves_its_numbers_on_its_private_address(node: Node, script: Path) -> None:
    prepared(node)
    ours = release(node, script)
    first = node.run(ours, *ARGUMENTS)
    assert first.returncode == 0, first.stderr
    unit = node.read("etc/systemd/system/pcinfra-node-exporter.service")
    assert "--web.listen-address=10.1.7.9:9100 " in unit
    assert "DynamicUser=yes" in unit
    assert mode(node.root / "usr/local/sbin/node_exporter") == 0o755
    calls = [call for call in node.calls() if "systemctl" in call]
    assert "systemctl daemon-reload" in calls
    assert "systemctl enable --quiet --now pcinfra-node-exporter.service" in calls
    assert not any("gpu" in call for call in calls), "it has none"
    tree = node.tree()
    again = node.run(ours, *ARGUMENTS)
    assert again.returncode == 0
    assert node.tree() == tree
    assert "installed" not in again.stderr
    assert node.calls().count("systemctl daemon-reload") == 1


def test_a_node_with_gpus_tells_of_them(node: Node) -> None:
    prepared(node)
    (node.root / "proc/driver/nvidia/gpus").mkdir(parents=True)
    node.fake("nvidia-smi", SMI)
    assert node.run(release(node, COMPUTE), *ARGUMENTS).returncode == 0
    assert "systemctl enable --quiet --now pcinfra-gpu-metrics.service" in node.calls()
    program = node.root / "usr/local/sbin/pcinfra-gpu-metrics"
    subprocess.run([program, "--once"], env=node.env(), check=True, timeout=60)
    lines = node.read("run/pcinfra-metrics/gpu.prom").splitlines()
    assert 'pcinfra_gpu_power_watts{gpu="0",uuid="GPU-a"} 654.32' in lines
    assert 'pcinfra_gpu_utilization_percent{gpu="1",uuid="GPU-b"} 0' in lines
    assert not any("N/A" in line for line in lines)
    assert sum(line.startswith("# TYPE") for line in lines) == 7
    assert len(lines) == 7 + 9 + 3  # what is not known of the second is not told


def test_an_exporter_that_is_not_what_was_published_is_not_run(node: Node) -> None:
    prepared(node)
    release(node, COMPUTE)
    done = node.run(COMPUTE, *ARGUMENTS)
    assert status(done) == status(done) | {"status": "ok"}
    assert "its checksum differs" in done.stderr
    assert not (node.root / "usr/local/sbin/node_exporter").exists()
    assert not any("enable" in call for call in node.calls())


def test_a_node_without_the_internet_still_works(node: Node) -> None:
    prepared(node)
    done = node.run(COMPUTE, *ARGUMENTS)
    assert status(done)["status"] == "ok"
    assert "could not be fetched" in done.stderr


def test_nothing_is_installed_where_nobody_asked(node: Node) -> None:
    prepared(node)
    assert node.run(release(node, COMPUTE), *ACCOUNT).returncode == 0
    assert not (node.root / "usr/local/sbin").exists()
