"""The real accelerate and deepspeed, where they are installed: two pods of one job, as two programs of this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pcinfra.jobs.kubernetes.dialect import Dialect
from pcinfra.jobs.kubernetes.render import pytorchjob, trainjob
from tests.unit.jobs.kubernetes.jobs import JOBS, job
from tests.unit.jobs.kubernetes.operator import moved, pytorchjob_pod, trainjob_pod

TRAIN = """\
import os, sys
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.ones(1)
dist.all_reduce(total)
print("rank", dist.get_rank(), "local", os.environ["LOCAL_RANK"], "sum", int(total), sys.argv[1:], flush=True)
dist.destroy_process_group()
"""
WORDS = ["a b", "$(id)", "--num_machines=9"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TrainJob", "PyTorchJob"])
@pytest.mark.parametrize("launcher", ["accelerate", "deepspeed"])
def test_two_pods_make_one_group_of_four(launcher: str, kind: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("torch") is None or shutil.which(launcher) is None:
        pytest.skip(f"torch or {launcher} is not installed: pip install torch {launcher}")
    (tmp_path / "train.py").write_text(TRAIN)
    command = [sys.executable, str(tmp_path / "train.py"), *WORDS]
    made = job({**JOBS[launcher], "command": command, "gpus": None, "cpus": 2, "processes": 2})
    rendered = trainjob.render(made, Dialect.V2_2) if kind == "TrainJob" else pytorchjob.render(made)
    (tmp_path / "job").mkdir()
    for name, text in rendered.objects[1]["data"].items():
        (tmp_path / "job" / name).write_text(moved(text, tmp_path))
    own = {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(_free()), "HOME": str(tmp_path),
           "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}  # fmt: skip
    pods = []
    for index in range(2):
        replica = ("Worker" if index else "Master", 0)
        words, variables = (
            trainjob_pod(rendered.job, index) if kind == "TrainJob" else pytorchjob_pod(rendered.job, *replica)
        )
        words = [moved(word, tmp_path) for word in words]
        with (tmp_path / f"out{index}").open("w") as out:
            pods.append(subprocess.Popen(words, env={**os.environ, **variables, **own}, stdout=out, stderr=out))
    try:
        ends = [pod.wait(300) for pod in pods]
    finally:
        for pod in pods:
            pod.kill()
    said = "".join((tmp_path / f"out{index}").read_text() for index in range(2))
    assert ends == [0, 0], said
    lines = sorted(line for line in said.splitlines() if line.startswith("rank"))
    assert lines == [f"rank {rank} local {rank % 2} sum 4 {WORDS}" for rank in range(4)]


def _free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
