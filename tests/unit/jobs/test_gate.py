"""Which node is to blame when an all-reduce fails, and when a job has had enough. Real bash; the exchange is data."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import pcinfra.jobs.slurm.render as slurm

SCRIPTS = Path(slurm.__file__).parent / "scripts"

# Of "on SECONDS NODES ... COMMAND" an exchange works unless its nodes are in WRONG (names with commas between).
STUB = """
on() {
  local names=$2
  case $* in *"import torch"*) echo "$HOW"; return ;; esac
  for wrong in $WRONG; do
    if [[ ",$names," == *",${wrong%,*},"* && ",$names," == *",${wrong#*,},"* ]]; then
      printf 'srun: error: it failed\\nNCCL: lost\\n'
      return 1
    fi
  done
  echo "# Avg bus bandwidth    : $BUS"
}
address_of() { echo "$1"; }
give_up() { echo "gave up $1: $2"; exit "$1"; }
"""


def blamed(place: Path, nodes: int, wrong: str = "", *, how: str = "torch", bus: str = "300", least: str = "") -> str:
    """Return what the gate says of nodes n0, n1, ...; ``wrong``: pairs that cannot exchange data, one with itself."""
    names = " ".join(f"n{number}" for number in range(nodes))
    ask = f'nodes=({names}); sick=(); boxed=(); gate_nccl; printf "%s\\n" "${{sick[@]}}"'
    values = {"WRONG": wrong, "HOW": how, "BUS": bus, "least": least, "mine": str(place), "PATH": "/usr/bin:/bin",
              "PCINFRA_RUN_DIR": str(place)}  # fmt: skip
    text = "\n".join([(SCRIPTS / "gate.sh").read_text(), (SCRIPTS / "gate-nccl.sh").read_text(), STUB, ask])
    return subprocess.run(["bash", "-uc", text], env=values, capture_output=True, text=True, check=False).stdout.strip()


def everyone(node: str, nodes: int) -> str:
    """Return the pairs of a node that can speak to no other."""
    return " ".join(f"{node},n{number}" for number in range(nodes) if node != f"n{number}")


@pytest.mark.parametrize(("nodes", "wrong", "said"), [
    (1, "", ""),
    (4, "", ""),
    (1, "n0,n0", "n0 NCCL: lost"),
    (4, "n2,n2", "n2 alone: NCCL: lost"),
    (5, everyone("n3", 5), "n3 with both neighbours: NCCL: lost"),
    (4, everyone("n0", 4), "n0 with both neighbours: NCCL: lost"),
    (2, "n0,n1", "n0 with n1: NCCL: lost\nn1 with n0: NCCL: lost"),
    (4, "n1,n3", "gave up 1: health: an all-reduce over all nodes fails, and not for one of them: NCCL: lost"),
])  # fmt: skip
def test_the_node_that_cannot_exchange_data_is_named(nodes: int, wrong: str, said: str, tmp_path: Path) -> None:
    assert blamed(tmp_path, nodes, wrong) == said


def test_between_nodes_it_must_be_fast_enough(tmp_path: Path) -> None:
    assert blamed(tmp_path, 4, bus="200.5", least="200") == ""
    assert blamed(tmp_path, 1, bus="20", least="200") == ""
    slow = "20 GB/s between its GPUs and those of other nodes; at least 200 are wanted"
    assert blamed(tmp_path, 2, bus="20", least="200") == f"n0 with n1: {slow}\nn1 with n0: {slow}"


def test_without_a_program_for_it_the_job_ends(tmp_path: Path) -> None:
    assert blamed(tmp_path, 2, how="").startswith("gave up 1: health: nccl needs PyTorch or all_reduce_perf")


@pytest.mark.parametrize("before", [2, 3])
def test_a_job_goes_elsewhere_three_times(before: int, tmp_path: Path) -> None:
    (tmp_path / "unhealthy").write_text("".join(f"{number} n0 lost\n" for number in range(before)))
    ask = f"""
    mine=$PWD PCINFRA_ATTEMPT={before} SLURM_JOB_PARTITION=gpu SLURM_JOB_NUM_NODES=1 job=7 sick=("n1 GPU 3: Xid 79")
    spared() {{ cut -d' ' -f1 unhealthy | sort -u | grep -c .; }}
    record() {{ printf '%s|' "$@" >record; }}
    give_up() {{ record "$1" failed false "$2"; exit "$1"; }}
    scontrol() {{ echo "$*" >>calls; }}
    sinfo() {{ printf 'n0 idle\\nn1 mix\\nn2 %s\\n' idle~; }}
    turn_away
    """
    done = subprocess.run(
        ["bash", "-uc", (SCRIPTS / "gate.sh").read_text() + ask], cwd=tmp_path, capture_output=True, check=False
    )
    record = (tmp_path / "record").read_text()
    if before == 2:
        assert (done.returncode, record) == (0, "75|unhealthy|true|n1 GPU 3: Xid 79|")
        calls = (tmp_path / "calls").read_text().splitlines()
        assert calls[-3:] == ["update JobId=7 Requeue=1", "requeue 7", "update JobId=7 ExcNodeList=n0,n1"]
    else:
        assert (done.returncode, record) == (75, "75|failed|false|Unhealthy nodes, 4 times: n1 GPU 3: Xid 79|")
