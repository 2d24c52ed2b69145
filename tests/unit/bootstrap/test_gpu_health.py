"""The health check before a job, with programs that answer as those of a healthy or a broken node do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.bootstrap.node import ACCOUNT, HEAD, Node, mode, program

CHECK = HEAD.parent / "parts" / "gpu-health.sh"

# What nvidia-smi of driver 570 prints on a p5.48xlarge, cut down to two GPUs with two links.
NVIDIA_SMI = """\
case "$*" in
  --query-gpu=*) printf '0, {ecc}\\n1, 0\\n' ;;
  --query-remapped-rows=*) printf 'No, No\\n{pending}, {failed}\\n' ;;
  "nvlink --status")
    printf 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)\\n\\t Link 0: 26.562 GB/s\\n\\t Link 1: 26.562 GB/s\\n'
    printf 'GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-2)\\n\\t Link 0: 26.562 GB/s\\n\\t Link 1: {link}\\n' ;;
esac"""
HEALTHY = {"ecc": "0", "pending": "No", "failed": "No", "link": "26.562 GB/s"}
FI_INFO = """\
[ "$*" = "-p efa -t FI_EP_RDM" ] || exit 1
for card in 0 1; do
  printf 'provider: efa\\n    fabric: efa\\n    domain: rdmap%ss0-rdm\\n    type: FI_EP_RDM\\n' $card
done"""
DCGM = """\
[ "$*" = "diag -r 1" ] || exit 1
echo "Successfully ran diagnostic for group."
echo "| Deployment                | {deployment}"
echo "| Denylist                  | Pass                                           |" """
DMESG = (
    "echo '[   12.3] NVRM: loading NVIDIA UNIX Open Kernel Module'; echo '[   99.1] NVRM: Xid (PCI:0000:53:00): {xid}'"
)


@pytest.fixture
def healthy(node: Node) -> Node:
    (node.root / "proc/driver/nvidia/gpus").mkdir(parents=True)
    node.add("var/lib/pcinfra/expected", "gpus=2 efa=2\n")
    nvidia_smi(node)
    node.fake("fi_info", FI_INFO)
    node.fake("dcgmi", DCGM.format(deployment="Pass |"))
    node.fake("dmesg", DMESG.format(xid="31, pid=1, name=python, Ch 00000008"))  # a program's own fault
    program(node.root / "opt/slurm/bin/scontrol", 'printf "%s\\n" "$@" >>"$STATE/calls"')
    return node


def nvidia_smi(node: Node, **changes: str) -> None:
    node.fake("nvidia-smi", NVIDIA_SMI.format(**(HEALTHY | changes)))


def check(node: Node, bound: int = 60) -> str:
    """Return the reason with which the node is drained; empty when it is not. A busy machine is given its time."""
    env = {
        "PCINFRA_CHECK_SECONDS": str(bound),
        "SCONTROL": str(node.root / "opt/slurm/bin/scontrol"),
        "SLURMD_NODENAME": "gpu-st-p5-1",
        "SLURM_JOB_ID": "7",
    }
    done = node.run(CHECK, extra=env)
    if done.returncode == 0:
        assert (node.calls(), done.stderr) == ([], "")
        return ""
    assert done.returncode == 1
    *words, reason = node.calls()
    assert words == ["update", "nodename=gpu-st-p5-1", "state=drain"]
    assert done.stderr == reason.removeprefix("reason=") + "\n"
    assert reason.removeprefix("reason=pcinfra: ") in log(node)
    return reason.removeprefix("reason=pcinfra: ")


def log(node: Node) -> str:
    return node.read("var/log/parallelcluster/slurm_health_check.log")


def test_a_healthy_node_takes_the_job(healthy: Node) -> None:
    assert check(healthy) == ""
    assert "INFO - Job 7 - healthy: 2 GPUs, 2 EFA devices" in log(healthy)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ecc": "3"}, "GPU 0: 3 uncorrected memory errors"),
        ({"failed": "Yes"}, "GPU 1: remapping a row of its memory failed"),
        ({"pending": "Yes"}, "GPU 1: its memory needs a reset (row remapping pending)"),
        ({"link": "<inactive>"}, "GPU 1: 1 NVLinks are inactive"),
        ({"ecc": "[N/A]", "failed": "[N/A]"}, ""),  # a GPU that counts no such errors
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_broken_gpu_drains_the_node(healthy: Node, changes: dict[str, str], reason: str) -> None:
    nvidia_smi(healthy, **changes)
    assert check(healthy) == reason


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        (
            "nvidia-smi",
            "echo 'No devices were found'; exit 6",
            "nvidia-smi failed with status 6: No devices were found",
        ),
        ("nvidia-smi", "echo '0, 0'", "nvidia-smi shows 1 of 2 GPUs"),
        ("dmesg", DMESG.format(xid="79, pid=1, GPU has fallen off the bus."), "PCI:0000:53:00: Xid 79"),
        ("dmesg", DMESG.format(xid="119, pid=5, Timeout after 6s of waiting for RPC"), "PCI:0000:53:00: Xid 119"),
        ("dmesg", "exit 1", ""),
        ("fi_info", "echo 'fi_getinfo: -61'; exit 61", "fi_info failed with status 61: fi_getinfo: -61"),
        (
            "fi_info",
            "printf '    domain: rdmap0s0-rdm\\n    domain: rdmap0s0-rdm\\n'",
            "fi_info shows 1 of 2 EFA devices",
        ),
        ("dcgmi", DCGM.format(deployment="Fail |"), "DCGM: Deployment failed"),
        ("dcgmi", "exit 124", ""),  # slow is not broken
        ("dcgmi", "echo 'Error: unable to establish a connection to the specified host'; exit 255", ""),
    ],
)
def test_what_the_programs_say(healthy: Node, name: str, body: str, reason: str) -> None:
    healthy.fake(name, body)
    assert check(healthy) == reason


HANGS = "trap '' TERM; while [ -e \"$STATE/hang\" ]; do sleep 0.2; done"


def test_what_hangs_is_ended(healthy: Node) -> None:
    """The programs do not even end on SIGTERM."""
    (healthy.state / "hang").touch()
    for name in ("nvidia-smi", "fi_info", "dcgmi"):
        healthy.fake(name, HANGS)
    assert check(healthy) == "nvidia-smi does not answer"
    (healthy.state / "hang").unlink()


def test_what_cannot_be_ended_is_left_behind(healthy: Node) -> None:
    """A program that waits for a broken driver does not end on SIGKILL, and timeout waits for it."""
    (healthy.state / "hang").touch()
    healthy.fake("timeout", f'shift 3; case $1 in nvidia-smi) {HANGS} ;; *) exec "$@" ;; esac')
    assert check(healthy, bound=2) == "check gpus has not ended within 2 s"
    (healthy.state / "hang").unlink()


def test_a_node_without_gpus_asks_nothing(node: Node) -> None:
    for name in ("nvidia-smi", "dcgmi", "fi_info", "dmesg"):
        node.fake(name, 'echo "$0" >>"$STATE/calls"; exit 1')
    assert node.run(CHECK).returncode == 0
    assert node.calls() == []


def test_a_node_whose_kind_is_not_known_is_not_counted(healthy: Node) -> None:
    (healthy.root / "var/lib/pcinfra/expected").unlink()
    healthy.fake("fi_info", "exit 1")
    assert check(healthy) == ""


def test_the_head_node_installs_it_for_every_node(node: Node, tmp_path: Path) -> None:
    assert node.run(HEAD, *ACCOUNT).returncode == 0
    installed = node.root / "opt/slurm/etc/scripts/prolog.d/50_pcinfra_gpu_health"
    assert installed.read_text() == CHECK.read_text()
    assert mode(installed) == 0o755
