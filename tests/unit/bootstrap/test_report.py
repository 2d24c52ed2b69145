"""What a node says of itself: why it failed, what it has, and one status line however it ends."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import time

import pytest

from tests.unit.bootstrap.node import ACCOUNT, COMPUTE, HEAD, Node, status

PACKAGES = """\
# EFA installer version: 1.43.2
# Debug packages installed: no
# Packages installed:
efa-config_1.18_all efa-profile_1.7_all {fabric} libnccl-ofi_1.16.2-1_amd64 openmpi50-aws_5.0.8amzn1.0_amd64
"""
NVIDIA_SMI = 'for gpu in {0..7}; do echo "NVIDIA H100 80GB HBM3, 570.172.08"; done'


def gpu_node(node: Node, pages: int = 5128, lock: str = "infinity", fabric: str = "libfabric1-aws_2.1.0_amd64") -> Node:
    node.fake("nvidia-smi", NVIDIA_SMI)
    node.fake("systemctl", f"echo {lock}")
    node.fake("enroot", '[ "$1" = version ] && echo 4.0.1')
    node.efa(32)
    node.add("opt/amazon/efa_installed_packages", PACKAGES.format(fabric=fabric))
    node.add("sys/module/efa/version", "2.17.2g\n")
    node.add("sys/module/lustre/version", "2.15.6_1_fsx21\n")
    node.add("proc/meminfo", f"MemTotal: 2097152000 kB\nHugePages_Total:    {pages}\nHugePages_Free: 0\n")
    node.add("etc/os-release", 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\n')
    node.add("opt/slurm/etc/plugstack.conf.d/pyxis.conf", "required spank_pyxis.so\n")
    node.mounted("/lustre", "/scratch")
    return node


@pytest.mark.parametrize(
    "fabric",
    ["libfabric1-aws_2.1.0amzn3.0_amd64", "libfabric-aws-bin_2.1.0amzn3.0_amd64", "libfabric-aws-2.1.0-1.x86_64"],
)
def test_the_report_says_what_the_node_has(node: Node, fabric: str) -> None:
    done = gpu_node(node, fabric=fabric).run(COMPUTE, *ACCOUNT, "--gpus", "8", "--efa", "32")
    assert done.returncode == 0, done.stderr
    report = node.report()
    assert report["efa"].pop("libfabric").startswith("2.1.0")
    assert report["gpus"] == {"count": 8, "expected": 8, "name": "NVIDIA H100 80GB HBM3", "driver": "570.172.08"}
    assert report["efa"] == {
        "devices": 32, "expected": 32, "driver": "2.17.2g", "installer": "1.43.2", "aws_ofi_nccl": "1.16.2",
    }  # fmt: skip
    assert report["lustre"] == {"directory": "/lustre", "mounted": True, "client": "2.15.6_1_fsx21"}
    assert report["containers"] == {"storage": "/scratch/enroot", "local_disks": True, "enroot": "4.0.1"}
    assert (report["huge_pages"], report["slurmd_memlock"]) == (5128, "infinity")
    assert (report["os"], report["kernel"]) == ("Ubuntu 22.04.5 LTS", platform.release())
    assert (report["status"], report["role"], report["warnings"]) == ("ok", "compute", [])


def test_nodes_of_two_clusters_do_not_share_a_report(node: Node) -> None:
    node.add(
        "etc/chef/dna.json", '{"cluster": {"stack_name": "x", "cluster_name": "train-2", "node_type": "ComputeFleet"}}'
    )
    assert node.run(COMPUTE, *ACCOUNT).returncode == 0
    assert node.report()["cluster"] == "train-2"
    (file,) = (node.root / "lustre/.pcinfra/nodes").iterdir()
    assert file.name == f"train-2.{node.report()['node']}.json"


def test_the_status_line_says_the_same(node: Node) -> None:
    done = gpu_node(node, pages=0, lock="65536").run(COMPUTE, *ACCOUNT)
    line = status(done)
    assert (line["status"], line["role"], line["warnings"], line["reason"]) == ("ok", "compute", 2, "")
    assert line["node"] == node.report()["node"]
    locked, pages = node.report()["warnings"]
    assert "LimitMEMLOCK" in locked
    assert "huge pages" in pages


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("--gpus", "9"), "nvidia-smi shows 8 of 9 GPUs"), (("--efa", "33"), "the kernel shows 32 of 33 EFA devices")],
)
def test_a_node_with_missing_devices_fails(node: Node, arguments: tuple[str, str], reason: str) -> None:
    done = gpu_node(node).run(COMPUTE, *ACCOUNT, *arguments)
    assert done.returncode == 1
    assert status(done)["reason"] == reason
    assert (node.report()["status"], node.report()["reason"]) == ("failed", reason)


def lustre_without_module(node: Node) -> None:
    node.add("lib/modules/5.15.0-1080-aws/updates/lustre.ko.zst", "")
    node.add("lib/modules/5.15.0-1099-aws/kernel/other.ko", "")


def lustre_with_module(node: Node, fstab: str) -> None:
    node.fake("modinfo", f'[ "$*" = "-k {platform.release()} lustre" ]')
    node.add("etc/fstab", fstab)


@pytest.mark.parametrize(
    ("case", "modprobe", "reason"),
    [
        ("no module", 0, f"no module for the running kernel {platform.release()} (it has one for: 5.15.0-1080-aws)"),
        ("no entry", 0, "it is not in /etc/fstab"),
        ("no load", 1, f"the Lustre module for kernel {platform.release()} does not load"),
        ("no answer", 0, "must let this node reach TCP port 988"),
    ],
)
def test_the_reason_why_lustre_is_not_there(node: Node, case: str, modprobe: int, reason: str) -> None:
    node.mounted()
    node.fake("modprobe", f"exit {modprobe}")
    if case == "no module":
        lustre_without_module(node)
    else:
        entry = "" if case == "no entry" else "fs-1.fsx@tcp:/abc /lustre lustre defaults 0 0\n"
        lustre_with_module(node, "UUID=1 / ext4 defaults 0 0\n" + entry)
    done = node.run(COMPUTE, *ACCOUNT)
    assert done.returncode == 1
    assert reason in status(done)["reason"]
    assert not list((node.root / "lustre/.pcinfra").iterdir())  # that would be below the mount point
    assert reason in node.read("var/log/pcinfra/node.json")


def test_a_mount_that_hangs_is_given_up(node: Node) -> None:
    node.mounted()
    node.fake("mount", "exec sleep 60")
    node.fake("timeout", 'for last; do :; done; [ "$2" = 5 ] && echo "$*" >>"$STATE/calls"; exit 124')
    assert node.run(COMPUTE, *ACCOUNT).returncode == 1
    assert node.calls() == [f"-k 5 90 mount {node.root}/lustre"]


def test_the_kernel_is_held_once(node: Node) -> None:
    node.add("etc/os-release", "NAME=x\nID=ubuntu\n")
    node.fake("dpkg-query", '[ "$2" != linux-headers-aws ]')
    node.fake(
        "apt-mark", 'if [ "$1" = hold ]; then shift; printf "%s\\n" "$@" >>"$STATE/held"; fi; cat "$STATE/held" || true'
    )
    for _ in range(2):
        assert node.run(COMPUTE, *ACCOUNT).returncode == 0
    assert (node.state / "held").read_text() == "linux-aws\nlinux-image-aws\n"


def test_any_text_is_json(node: Node) -> None:
    node.fake("hostname", "printf 'a\"b\\\\c\\nd\\te'")
    gpu_node(node).fake("nvidia-smi", "printf 'H100 \"x\" \\\\, 1\\001\\n'")
    done = node.run(COMPUTE, *ACCOUNT)
    assert done.returncode == 0, done.stderr
    assert status(done)["node"] == 'a"b\\c de'
    assert '"name": "H100 \\"x\\" \\\\"' in node.read("var/log/pcinfra/node.json")


def test_an_unforeseen_failure_says_the_command(node: Node) -> None:
    node.add("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
    node.fake("sysctl", "exit 7")
    done = node.run(HEAD, *ACCOUNT)
    assert done.returncode == 7
    assert 'sysctl -q -w "$key=0": exit status 7' in status(done)["reason"]
    assert node.report()["status"] == "failed"


def test_a_signal_ends_with_a_status_line_too(node: Node) -> None:
    node.fake("mountpoint", 'touch "$STATE/there"; sleep 0.5')
    process = subprocess.Popen(["bash", COMPUTE, *ACCOUNT], env=node.env(), stderr=subprocess.PIPE, text=True)
    while not (node.state / "there").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143
    assert status(subprocess.CompletedProcess([], 143, "", stderr))["reason"] == "ended by a signal"


def test_images_are_brought_to_the_node_once(node: Node) -> None:
    gpu_node(node).fake("enroot", '[ "$1" = import ] && echo "$*" >>"$STATE/calls" && echo squashfs >"$3"')
    node.add("lustre/images/train.sqsh", "squashfs")
    reference = "123456789012.dkr.ecr.eu-west-1.amazonaws.com#pcinfra/train:1"
    for _ in range(2):
        done = node.run(COMPUTE, *ACCOUNT, "--image", "/lustre/images/train.sqsh", "--image", reference)
        assert (done.returncode, status(done)["warnings"]) == (0, 0), done.stderr
    assert node.read("scratch/enroot/images/train.sqsh") == "squashfs"
    assert node.read("scratch/enroot/images/train+1.sqsh") == "squashfs\n"
    assert len([call for call in node.calls() if call.endswith(f"docker://{reference}")]) == 1
    assert len(list((node.root / "scratch/enroot/images").iterdir())) == 2


def test_an_image_that_cannot_be_had_is_a_warning(node: Node) -> None:
    gpu_node(node).fake("enroot", 'echo half >"$3"; exit 1')
    done = node.run(COMPUTE, *ACCOUNT, "--image", "/lustre/none.sqsh", "--image", "ubuntu:24.04")
    assert (done.returncode, status(done)["warnings"]) == (0, 2)
    assert list((node.root / "scratch/enroot/images").iterdir()) == []


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a network of its own needs root")
@pytest.mark.parametrize("arguments", [ACCOUNT, ()], ids=["told", "asks the instance"])
def test_without_any_network(node: Node, arguments: tuple[str, ...]) -> None:
    """The programs are the system's own; the namespace has no address and no route."""
    (node.stubs / "curl").unlink()
    done = node.run(COMPUTE, *arguments, through=("unshare", "--net"))
    if arguments:
        assert status(done)["status"] == "ok"
    else:
        assert (done.returncode, status(done)["reason"]) == (1, "no instance identity; give --account and --region")
