"""Programs as an ordinary user of this machine runs them, when the tests run as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

ORDINARY = 1000


def interpreter() -> str:
    """Return a Python that an ordinary user can run; root's own may be in a directory of root's."""
    others = (shutil.which(name, path="/usr/local/bin:/usr/bin") for name in ("python3.13", "python3.12", "python3"))
    for candidate in (sys.executable, *filter(None, others)):
        if _works(candidate):
            return candidate
    pytest.skip("an ordinary user of this machine has no Python 3.11 or later")


def _works(program: str) -> bool:
    again = (
        "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-S', '-c', 'from enum import StrEnum']))"
    )
    return subprocess.run([*become(), program, "-c", again], capture_output=True, check=False).returncode == 0


def become() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups", "--"]
