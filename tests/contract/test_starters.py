"""What every way of starting a command keeps to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from pcinfra.jobs.slurm.render import command_sh, env_sh, node_sh
from pcinfra.jobs.slurm.starters import REGISTRY
from pcinfra.jobs.spec import JobSpec, LauncherName

WORDS = ("", "-x", "--", "$(id)", "a\nb", 'it\'s # "no"', "한글", "*")
PROBE = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['NOTE']]))"
STAND_IN = """#!/bin/bash
# As every launcher does in the end: what stands behind its own options is the program.
printf '%s\\n' "$@" >"$OUT"
while [ "$1" != bash ]; do shift; done
exec "$@"
"""
SHELLCHECK = str(Path(sys.executable).with_name("shellcheck"))


def spec(launcher: str, **fields: object) -> JobSpec:
    command = (sys.executable, "-c", PROBE, *WORDS)
    values = {
        "launcher": launcher,
        "command": command,
        "environment": {"NOTE": "\n".join(WORDS)},
        "nodes": 2,
        "gpus": 4,
    }
    return JobSpec.model_validate({**values, **fields})


def test_the_registry_is_what_job_files_may_say() -> None:
    assert tuple(REGISTRY) == get_args(LauncherName)


@pytest.mark.parametrize("launcher", REGISTRY)
@pytest.mark.parametrize("fields", [{}, {"gpus": None, "processes": 3}, {"gpus": None, "cpus": 6, "processes": 2}])
def test_every_node_script_is_clean_bash(launcher: str, fields: dict[str, object]) -> None:
    text = node_sh(spec(launcher, **fields))
    done = subprocess.run(
        [SHELLCHECK, "-s", "bash", "-e", "SC1091,SC2154", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


@pytest.mark.parametrize("launcher", REGISTRY)
@pytest.mark.parametrize("node", [0, 1])
def test_the_command_arrives_exactly_on_every_node(launcher: str, node: int, tmp_path: Path) -> None:
    job = spec(launcher)
    for name, text in (("node.sh", node_sh(job)), ("command.sh", command_sh(job)), ("env.sh", env_sh(job))):
        (tmp_path / name).write_text(text)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("torchrun", "deepspeed", "accelerate"):
        (programs / name).write_text(STAND_IN)
        (programs / name).chmod(0o755)
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin", "PCINFRA_RUN_DIR": str(tmp_path), "PCINFRA_ATTEMPT": "1",
        "OUT": str(tmp_path / "told"), "SLURM_NODEID": str(node), "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "5",
        "SLURM_GPUS_ON_NODE": "8", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "61005", "LANG": "C.UTF-8",
        "TMPDIR": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", str(tmp_path / "node.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [list(WORDS), "\n".join(WORDS)]
    if REGISTRY[launcher].tasks(job) == 1 and launcher != "srun":
        told = (tmp_path / "told").read_text()
        for word in ("10.0.0.1", "61005", str(node)):
            assert word in told
