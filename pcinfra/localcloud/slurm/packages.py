"""The programs of the local Slurm: which are needed, which are missing, and what installs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable

from pcinfra.errors import MissingTool

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge", "iproute2", "util-linux", "curl")
"""Of Debian 12 and later and Ubuntu 22.04 and later."""

INSTALL = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(PACKAGES)}"
"""What installs them, as root. The services that come along need not run, and do no harm when they do."""

_ALWAYS = ("slurmctld", "slurmd", "sbatch", "sinfo", "munged", "setpriv")
_NAMESPACES = ("ip", "nsenter")
_ADMINISTRATION = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where daemons are, whether or not it is on the PATH of an ordinary user."""


def find(program: str) -> str | None:
    """Return the path of ``program``, or None when it is not installed."""
    return shutil.which(program) or shutil.which(program, path=_ADMINISTRATION)


def version() -> tuple[int, int]:
    """Return the release of the installed Slurm, as (22, 5)."""
    text = subprocess.run([find("slurmd") or "slurmd", "-V"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", text)
    if found is None:
        raise MissingTool(f"slurmd does not say its version: {text.strip()!r}", where="slurmd", hint=INSTALL)
    return int(found[1]), int(found[2])


def missing(*, root: bool, which: Callable[[str], str | None] = find) -> tuple[str, ...]:
    """Return the programs that are needed and not there; with ``root`` also those that make namespaces."""
    needed = _ALWAYS + (_NAMESPACES if root else ())
    return tuple(program for program in needed if which(program) is None)


def require(*, root: bool | None = None, which: Callable[[str], str | None] = find) -> None:
    """Raise :class:`MissingTool` with the command that installs what is missing, if anything is."""
    absent = missing(root=os.geteuid() == 0 if root is None else root, which=which)
    if absent:
        command = INSTALL if os.geteuid() == 0 else f"sudo sh -c '{INSTALL}'"
        raise MissingTool(f"the local Slurm needs {', '.join(absent)}", where=absent[0], hint=command)
