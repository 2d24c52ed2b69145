"""What this machine must have: Python, Node.js, pcluster and something to build images."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from pcinfra.clusters.pcluster import INSTALL, INSTALL_NODE
from pcinfra.doctor.model import Line, failure, ok, warning
from pcinfra.errors import CommandFailed

if TYPE_CHECKING:
    from pcinfra.doors import Doors
    from pcinfra.project import Project

OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 18
PCLUSTER = "3.16.1"
PATIENCE = 15.0  # seconds for a program to answer


def python(_: Project, doors: Doors) -> Iterator[Line]:
    version, wanted = platform.python_version(), ".".join(map(str, OLDEST_PYTHON))
    if sys.version_info >= OLDEST_PYTHON:
        yield ok("Python", f"{version} ({sys.executable})")
    else:
        yield failure("Python", f"{version}; pcinfra needs {wanted}", f"install Python {wanted} or newer")


def node(_: Project, doors: Doors) -> Iterator[Line]:
    """pcluster writes its CloudFormation template with the AWS CDK, which runs on Node.js."""
    path = doors.shell.which("node")
    if not path:
        yield failure("Node.js", "not installed; pcluster needs it to create clusters", INSTALL_NODE)
        return
    said = doors.shell.run(["node", "--version"], timeout=PATIENCE).check().stdout.strip()
    major = re.match(r"v?(\d+)\.", said)
    if major and int(major[1]) >= OLDEST_NODE:
        yield ok("Node.js", f"{said.lstrip('v')} ({path})")
    else:
        yield failure("Node.js", f"{said or 'says no version'}; pcluster needs {OLDEST_NODE}", INSTALL_NODE)


def pcluster(_: Project, doors: Doors) -> Iterator[Line]:
    try:
        version = metadata.version("aws-parallelcluster")
    except metadata.PackageNotFoundError:
        yield failure("pcluster", "not installed; clusters cannot be created", INSTALL)
        return
    if version == PCLUSTER:
        yield ok("pcluster", version)
    else:
        yield warning("pcluster", f"{version}; pcinfra is made for {PCLUSTER}", INSTALL)


def session_manager(_: Project, doors: Doors) -> Iterator[Line]:
    """pcinfra opens sessions itself; what it does not do is to encrypt them with a key of the account's."""
    path = doors.shell.which("session-manager-plugin")
    absent = "not installed, and needed only where the account encrypts sessions with a key of KMS"
    yield ok("Session Manager plugin", path or absent)


def engine(project: Project, doors: Doors) -> Iterator[Line]:
    """Find what builds the images: what the project asks for, or the first that runs here, or CodeBuild."""
    for wanted in dict.fromkeys(image.builder for image in project.images.values()):
        yield _builder(wanted, doors)


def _builder(wanted: str, doors: Doors) -> Line:
    if wanted == "codebuild":
        return ok("image builder", "codebuild builds in the account")
    reasons = {name: _why_not(name, doors) for name in (ENGINES if wanted == "auto" else (wanted,))}
    runs = [name for name, why in reasons.items() if not why]
    said = "; ".join(f"{name}: {why}" for name, why in reasons.items())
    if runs:
        return ok("image builder", f"{runs[0]} runs")
    if wanted == "auto":
        return ok("image builder", f"codebuild builds in the account, because none runs here ({said})")
    fix = "sudo systemctl start docker" if wanted == "docker" and doors.shell.which(wanted) else _INSTALL[wanted]
    return failure("image builder", said, f"{fix}   or builder: auto for the image in pcinfra.yaml")


ENGINES = ("docker", "podman", "buildah")
_INSTALL = {
    "docker": "sudo apt-get install docker.io",
    "podman": "sudo apt-get install podman",
    "buildah": "sudo apt-get install buildah",
}


def _why_not(name: str, doors: Doors) -> str:
    """Return why the engine cannot be used; empty when it can."""
    if not doors.shell.which(name):
        return "not installed"
    try:
        done = doors.shell.run([name, "info"], timeout=PATIENCE)
    except CommandFailed as error:
        return error.stderr
    lines = (done.stderr or done.stdout).strip().splitlines()
    return "" if not done.status else lines[-1] if lines else f"exit status {done.status}"
