"""The command line as a user runs it, with a kubeconfig and a job file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

JOB = """\
image: python:3.12
command: [python3, -c, "print('hi')"]
cpus: 1
nodes: 2
time_limit: "1:00:00"
"""


class Pcinfra:
    """Runs the command line in a folder of its own."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(folder)}

    def __call__(self, *words: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "pcinfra.cli.main", *words]
        done = subprocess.run(argv, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        assert status in (None, done.returncode), done.stderr + done.stdout
        return done
