"""Builder *docker*."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pcinfra.shell import Shell


@dataclass(frozen=True)
class Docker:
    """docker's command line."""

    name: ClassVar[str] = "docker"

    def storage(self, shell: Shell) -> str:
        return shell.run(["docker", "info", "--format", "{{.DockerRootDir}}"]).stdout.strip()

    def exists(self, image: str) -> list[str]:
        return ["docker", "image", "inspect", image]

    def build(self, names: tuple[str, ...], path: Path) -> list[str]:
        return ["docker", "build", *(f"--tag={name}" for name in names), str(path)]

    def login(self, registry: str, user: str, private: Path) -> list[str]:
        return ["docker", "--config", str(private), "login", "--username", user, "--password-stdin", registry]

    def push(self, image: str, private: Path) -> list[str]:
        return ["docker", "--config", str(private), "push", image]

    def environment(self, shell: Shell) -> dict[str, str]:
        """The user's context is part of the configuration that ``--config`` leaves out: name its engine."""
        if os.environ.get("DOCKER_HOST"):
            return {}
        host = shell.run(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
        return {"DOCKER_HOST": host.stdout.strip()} if not host.status and host.stdout.strip() else {}
