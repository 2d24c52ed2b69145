"""The shell scripts that travel to the head node and to the job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pcinfra.jobs
from pcinfra.jobs.headnode import wrapped

SCRIPTS = sorted(Path(pcinfra.jobs.__file__).parent.rglob("*.sh"))

SHELLCHECK = str(Path(sys.executable).with_name("shellcheck"))


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 8


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_against_it(script: Path) -> None:
    # Variables come from the lines that are put before a script, and some are read by the script after it.
    shell = "sh" if script.name == "as-user.sh" else "bash"
    command = [SHELLCHECK, "-s", shell, "-e", "SC2154,SC2034", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_the_text_for_ssm_is_plain_sh() -> None:
    done = subprocess.run(
        [SHELLCHECK, "-s", "sh", "-"], input=wrapped("true", "ubuntu"), capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
